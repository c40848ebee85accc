//! The bounds at the door: connections in all and from one address. Past it they are counted until they go.
//!
//! Behind a proxy the address is known only once the proxy has told it: such a connection is let in as one of all, and
//! [`Admission::at`] counts its address later.

use crate::telemetry::Bound;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Counts who is inside.
#[derive(Debug)]
pub(crate) struct Door {
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    connections_max: u32,
    per_address_max: u32,
    all: u32,
    /// Peers choose these keys, so the hash is seeded.
    addresses: HashMap<IpAddr, u32, foldhash::quality::RandomState>,
}

impl Door {
    pub(crate) fn new(connections_max: u32, per_address_max: u32) -> Arc<Self> {
        let inside = Inside { connections_max, per_address_max, all: 0, addresses: HashMap::default() };
        Arc::new(Door { inside: Mutex::new(inside) })
    }

    /// Other bounds from now on; nobody is sent away.
    pub(crate) fn set_bounds(&self, connections_max: u32, per_address_max: u32) {
        let mut inside = self.inside.lock();
        (inside.connections_max, inside.per_address_max) = (connections_max, per_address_max);
    }

    /// Lets one in whose address is not known yet, or says at which bound it is refused.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Admission, Bound> {
        let mut inside = self.inside.lock();
        if inside.all >= inside.connections_max {
            return Err(Bound::Connections);
        }
        inside.all += 1;
        Ok(Admission { door: self.clone(), address: None })
    }
}

/// One who was let in; dropping it is leaving.
#[derive(Debug)]
pub(crate) struct Admission {
    door: Arc<Door>,
    address: Option<IpAddr>,
}

impl Admission {
    /// The address is known: counts it, or says at which bound it is refused.
    pub(crate) fn at(mut self, address: IpAddr) -> Result<Self, Bound> {
        debug_assert!(self.address.is_none(), "an address is counted once");
        let mut inside = self.door.inside.lock();
        let per_address_max = inside.per_address_max;
        let here = inside.addresses.entry(address).or_default();
        if *here >= per_address_max {
            return Err(Bound::PerAddress);
        }
        *here += 1;
        drop(inside);
        self.address = Some(address);
        Ok(self)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock();
        inside.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(here) = inside.addresses.get_mut(&address) {
            *here -= 1;
            if *here == 0 {
                inside.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_named_and_leaving_makes_room() {
        let door = Door::new(3, 2);
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = door.admit().unwrap().at(a).unwrap();
        let _second = door.admit().unwrap().at(a).unwrap();
        assert_eq!(door.admit().unwrap().at(a).unwrap_err(), Bound::PerAddress);
        let _third = door.admit().unwrap().at(b).unwrap();
        assert_eq!(door.admit().unwrap_err(), Bound::Connections);
        drop(first);
        let _fourth = door.admit().unwrap().at(a).unwrap();
        assert_eq!(door.inside.lock().all, 3);
        door.set_bounds(4, 3);
        door.admit().unwrap().at(a).unwrap();
    }
}
