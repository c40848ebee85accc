//! The task that sees to it that there is a certificate.

use super::board::Board;
use super::order::{Failure, fetch};
use super::schedule::{pause, renewal};
use super::settings::Settings;
use super::shelf::{Issued, Shelf};
use crate::config::Config;
use crate::error::ServerError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// For one order with everything in it.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest sleep: then the wall clock is looked at, which an operator or NTP may have set.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// Called on a thread that may wait, after a certificate was stored.
pub(crate) type Fresh = Arc<dyn Fn() + Send + Sync>;

/// What is to be fetched; changed by a reload.
pub(crate) struct Fetcher(watch::Sender<Option<Settings>>);

impl Fetcher {
    /// # Errors
    /// A file that a key names is not good.
    pub(crate) fn new(config: &Config) -> Result<Self, ServerError> {
        Ok(Fetcher(watch::Sender::new(Settings::read(config)?)))
    }

    /// Takes what has changed. After a failure it is tried again at once: whoever reloads may have mended something.
    ///
    /// # Errors
    /// A file that a key names is not good; then what was before holds.
    pub(crate) fn take(&self, config: &Config) -> Result<(), ServerError> {
        self.0.send_replace(Settings::read(config)?);
        Ok(())
    }

    /// Fetches and renews as long as it is polled.
    pub(crate) fn run(&self, board: Arc<Board>, fresh: Fresh) -> impl Future<Output = ()> + use<> {
        let mut wanted = self.0.subscribe();
        // Before anybody can ask how it goes.
        board.turn(wanted.borrow().is_some());
        async move {
            loop {
                let settings = wanted.borrow_and_update().clone();
                board.turn(settings.is_some());
                let changed = match settings {
                    None => wanted.changed().await,
                    Some(settings) => tokio::select! {
                        changed = wanted.changed() => changed,
                        never = keep(settings, &board, &fresh) => match never {},
                    },
                };
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Sleeps until something is due and does it, by these settings.
async fn keep(settings: Settings, board: &Arc<Board>, fresh: &Fresh) -> std::convert::Infallible {
    let (mut failures, mut not_before) = (0, 0);
    let random = getrandom::u64().unwrap_or_default();
    loop {
        let held = stored(&settings.shelf).await;
        let due = match &held {
            Ok(Some(held)) if held.is_for(&settings.acme.domains) => {
                renewal(held.begins, held.expires, settings.acme.renew_before, random)
            }
            _ => 0,
        };
        let due = due.max(not_before);
        let expires = held.as_ref().map_or(0, |held| held.as_ref().map_or(0, |held| held.expires));
        board.plan(expires, due.max(now()));
        if due > now() {
            tokio::time::sleep(Duration::from_secs(due - now().min(due)).min(SLEEP_MAX)).await;
            continue;
        }
        // Boxed: it is rare, and the sleep before needs no such room.
        match Box::pin(attempt(&settings, board, fresh)).await {
            Ok(()) => {
                // An authority's certificate that is over as soon as it comes shall not make us ask all the time.
                (failures, not_before) = (0, now() + settings.acme.retry_interval.as_secs().clamp(1, 60));
            }
            Err(failure) => {
                failures += 1;
                let random = getrandom::u64().unwrap_or_default();
                let again = pause(settings.acme.retry_interval, failures, settings.courier.told(), random);
                board.missed(&settings.acme.domains, &failure, again);
                not_before = now() + again.as_secs().max(1);
            }
        }
    }
}

/// Fetches, stores and says so. A reload may end the fetching; what is stored is also told.
async fn attempt(settings: &Settings, board: &Arc<Board>, fresh: &Fresh) -> Result<(), Failure> {
    let fetched = tokio::time::timeout(ORDER_TIMEOUT, fetch(settings, &board.answers)).await;
    let issued = fetched.unwrap_or(Err(Failure::Late(ORDER_TIMEOUT)))?;
    let (settings, board, fresh) = (settings.clone(), board.clone(), fresh.clone());
    let kept = on_a_thread(move || {
        settings.shelf.keep_certificate(&issued)?;
        fresh();
        board.done(&settings.acme.domains, issued.expires);
        Ok(())
    });
    Ok(kept.await?)
}

async fn stored(shelf: &Shelf) -> io::Result<Option<Issued>> {
    let shelf = shelf.clone();
    on_a_thread(move || shelf.certificate()).await
}

/// The disk may take its time, and a thread that carries bytes has none.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Seconds since 1970, as certificates count.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
