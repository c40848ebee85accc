//! Sessions that end after a while, the wills they leave, and last values that expire: what must be there at this
//! millisecond, and what must be gone.

use super::history::History;
use super::place::{Place, at};
use crate::sim::Dice;
use motet_core::RetainedCursor;
use motet_core::core::Vhost;
use motet_core::engine::Position;
use motet_core::message::{BatchBuilder, FaceId, MessageParts, Reliability};
use motet_core::session::{CloseSession, Expiry, OpenSession, SessionHandle, SubscribeOptions, Will};
use motet_core::spelling::mqtt;
use motet_core::time::WallMillis;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Clients, each with at most one session.
const GUESTS: usize = 4;
/// Addresses that keep a last value.
const VALUES: [&str; 3] = ["v/0", "v/1", "v/2"];
/// Where wills go.
const WILLS: &str = "wills";

/// A session as it must be.
#[derive(Debug, Clone)]
struct Guest {
    expiry: Expiry,
    /// It survives the process.
    durable: bool,
    connected: bool,
    /// When its connection ended.
    since: u64,
    /// What is said when it is gone, and after how many milliseconds.
    will: Option<(String, u64)>,
}

impl Guest {
    fn ends_at(&self) -> Option<u64> {
        match self.expiry {
            Expiry::WithConnection => Some(self.since),
            Expiry::After(secs) => Some(self.since + u64::from(secs) * 1_000),
            Expiry::Never => None,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Book {
    guests: [Option<Guest>; GUESTS],
    /// Wills that have been published.
    said: BTreeSet<String>,
    /// The last value of each address, and when it expires.
    values: [Option<(String, Option<u64>)>; VALUES.len()],
}

impl Book {
    /// What is due by `now` has happened.
    fn pass(&mut self, now: u64) {
        for place in &mut self.guests {
            let Some(guest) = place.as_mut().filter(|guest| !guest.connected) else { continue };
            let ended = guest.ends_at().is_some_and(|end| end <= now);
            if let Some((will, _)) = guest.will.take_if(|(_, delay)| ended || guest.since + *delay <= now) {
                self.said.insert(will);
            }
            if ended {
                *place = None;
            }
        }
    }

    /// The process is gone: with it what was not durable, and every connection.
    fn crash(&mut self, now: u64) {
        for place in &mut self.guests {
            *place = place.take().filter(|guest| guest.durable);
            if let Some(guest) = place.as_mut().filter(|guest| guest.connected) {
                (guest.connected, guest.since) = (false, now);
            }
        }
    }
}

pub(super) struct Guests {
    book: History<Book>,
    handles: [Option<SessionHandle>; GUESTS],
    wills: u64,
    values: u64,
    pub(super) looked: u64,
}

impl Guests {
    pub(super) fn new(place: &Place) -> Self {
        place.queue(0, WILLS, &[]);
        place.bind(0, WILLS);
        Guests { book: History::new(Book::default()), handles: Default::default(), wills: 0, values: 0, looked: 0 }
    }

    pub(super) fn acts(&mut self, place: &mut Place, dice: &mut Dice) -> Result<String, String> {
        let which = dice.below(GUESTS);
        match dice.below(8) {
            0..=3 => self.comes(place, dice, which),
            4 | 5 => Ok(self.leaves(place, dice, which)),
            _ => Ok(self.value(place, dice)),
        }
    }

    fn comes(&mut self, place: &Place, dice: &mut Dice, which: usize) -> Result<String, String> {
        let now = place.now();
        let clean = dice.one_in(4);
        let expiry = [Expiry::WithConnection, Expiry::After(1), Expiry::After(3), Expiry::Never][dice.below(4)];
        let left = (!dice.one_in(3)).then(|| {
            self.wills += 1;
            (format!("w{}", self.wills), [0, 1_000, 2_000, 5_000][dice.below(4)])
        });
        let before = place.staged();
        let will = left.as_ref().map(|(name, delay)| will(place, name, (*delay / 1_000) as u32));
        let client = format!("guest-{which}");
        let open = OpenSession {
            vhost: vhost(place),
            client: &client,
            owner: &Arc::from(""),
            clean_start: clean,
            expiry,
            credit: 10,
            will,
            mailbox: &place.mailbox,
        };
        let opened = place.core.open_session(at(now), open).map_err(|refused| refused.to_string())?;
        let known = self.book.now.guests[which].take();
        let resumes = |guest: &Guest| !(clean || guest.connected && guest.expiry == Expiry::WithConnection);
        let present = known.as_ref().is_some_and(resumes);
        let line =
            format!("{now} {client} comes, clean {clean}, {expiry:?}, will {left:?}, present {}", opened.present);
        if opened.present != present {
            return Err(format!("{line}: and that is wrong, it was {known:?}"));
        }
        let was_durable = known.as_ref().is_some_and(|guest| guest.durable);
        if let Some(Guest { connected, will: Some((will, delay)), .. }) = known {
            // [3.1.3.2.2] a session that goes on takes its delayed will back.
            if !present || connected && delay == 0 {
                self.book.now.said.insert(will);
                self.book.staged(Position(before.0 + 1));
            }
        }
        if was_durable && !present {
            self.book.staged(Position(before.0 + 1));
        }
        // A will waits no longer than its session, so without one there is nothing to write down.
        let durable = present || expiry != Expiry::WithConnection;
        self.book.now.guests[which] = Some(Guest { expiry, durable, connected: true, since: 0, will: left });
        self.book.staged(place.staged());
        self.handles[which] = Some(opened.handle);
        Ok(line)
    }

    fn leaves(&mut self, place: &Place, dice: &mut Dice, which: usize) -> String {
        let now = place.now();
        let (Some(handle), Some(guest)) = (self.handles[which].take(), &mut self.book.now.guests[which]) else {
            return format!("{now} guest-{which} is not there");
        };
        let publish_will = !dice.one_in(4);
        // Who comes without an expiry may not ask for one when it goes. [3.14.2.2.2]
        let expiry = (guest.expiry != Expiry::WithConnection && dice.one_in(4)).then_some(Expiry::After(2));
        place.core.close_session(at(now), &handle, CloseSession { publish_will, expiry });
        guest.expiry = expiry.unwrap_or(guest.expiry);
        (guest.connected, guest.since) = (false, now);
        guest.will.take_if(|_| !publish_will);
        self.book.now.pass(now);
        self.book.staged(place.staged());
        format!("{now} guest-{which} leaves, will {publish_will}, expiry {expiry:?}")
    }

    fn value(&mut self, place: &mut Place, dice: &mut Dice) -> String {
        let (now, which) = (place.now(), dice.below(VALUES.len()));
        self.values += 1;
        let name = if dice.one_in(5) { String::new() } else { format!("x{}", self.values) };
        let expires = dice.one_in(2).then(|| now + [1, 1_000, 3_000][dice.below(3)]);
        let publisher = &mut place.publishers[0];
        let address = VALUES[which];
        let known = publisher.known(address.as_bytes(), || mqtt::decode_name(address)).expect("a plain topic").clone();
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts {
            payload: name.as_bytes(),
            reliability: Reliability::AtLeastOnce,
            retain: true,
            expires_at: expires.map(WallMillis),
            ..MessageParts::default()
        });
        let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
        place.core.publish(at(now), publisher, &known, batch, None);
        self.book.now.values[which] = (!name.is_empty()).then(|| (name.clone(), expires));
        self.book.staged(place.staged());
        format!("{now} {address} is {name:?} until {expires:?}")
    }

    /// Time has passed, and what is durable has become more.
    pub(super) fn pass(&mut self, place: &Place) -> Result<(), String> {
        self.book.now.pass(place.now());
        self.book.durable(place.durable());
        let (found, wanted) = (place.core.session_count(), self.book.now.guests.iter().flatten().count() as u64);
        match found == wanted {
            true => Ok(()),
            false => Err(format!("{} sessions: {found}, and should be {:?}", place.now(), self.book.now.guests)),
        }
    }

    /// Everything up to `kept` survived; what the start wrote is durable with `restarted`.
    pub(super) fn crashed(&mut self, place: &Place, kept: Position, restarted: Position) {
        self.handles = Default::default();
        self.book.cut(kept);
        self.book.now.crash(place.now());
        self.book.staged(restarted);
        self.book.now.pass(place.now());
    }

    pub(super) fn audit(&mut self, place: &mut Place) -> Result<(), String> {
        self.pass(place)?;
        let now = place.now();
        let mut said = place.holds(0, WILLS).ok_or("the queue of wills is gone")?;
        said.sort();
        let mut wanted: Vec<String> = self.book.now.said.iter().cloned().collect();
        wanted.sort();
        if said != wanted {
            return Err(format!("{now} wills are {said:?}, and should be {wanted:?}"));
        }
        let found = last_values(place);
        for (address, value) in VALUES.into_iter().zip(&self.book.now.values) {
            let found = found.get(address);
            let (must, may) = match value {
                Some((name, None)) => (Some(name), Some(name)),
                Some((name, Some(until))) => ((now < *until).then_some(name), (now <= *until).then_some(name)),
                None => (None, None),
            };
            if found != must && found != may {
                return Err(format!("{now} {address} is {found:?}, and should be {value:?}"));
            }
        }
        self.looked += (wanted.len() + found.len()) as u64;
        Ok(())
    }
}

fn vhost(place: &Place) -> &Arc<Vhost> {
    &place.vhosts[0]
}

fn will(place: &Place, name: &str, delay_secs: u32) -> Will {
    let mut builder = BatchBuilder::new();
    builder.push(MessageParts {
        payload: name.as_bytes(),
        reliability: Reliability::AtLeastOnce,
        ..MessageParts::default()
    });
    let address = mqtt::decode_name(WILLS).expect("a plain topic");
    Will { batch: builder.finish(address, place.publishers[0].id(), FaceId::NONE), delay_secs, expiry_secs: None }
}

/// What somebody new is told who asks for all of them.
fn last_values(place: &Place) -> BTreeMap<String, String> {
    let now = at(place.now());
    let open = OpenSession {
        vhost: vhost(place),
        client: "reader",
        owner: &Arc::from(""),
        clean_start: true,
        expiry: Expiry::WithConnection,
        credit: 10,
        will: None,
        mailbox: &place.mailbox,
    };
    let handle = place.core.open_session(now, open).expect("there is room").handle;
    let pattern = mqtt::decode_pattern("v/#").expect("a filter");
    place.core.subscribe(&handle, &[(pattern.clone(), SubscribeOptions::default())]);
    let (mut cursor, mut found) = (RetainedCursor::new(pattern), BTreeMap::new());
    loop {
        let page = place.core.retained_page(now, &handle, &mut cursor, &Arc::default(), 2);
        for value in &page.direct {
            let mut address = Vec::new();
            mqtt::encode_name(value.message.address(), &mut address).expect("a plain topic");
            let payload = String::from_utf8_lossy(value.message.payload()).into_owned();
            found.insert(String::from_utf8_lossy(&address).into_owned(), payload);
        }
        if !page.more {
            break;
        }
    }
    place.core.close_session(now, &handle, CloseSession { publish_will: false, expiry: None });
    found
}
