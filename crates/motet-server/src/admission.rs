//! The bounds at the door: connections in all and from one address. Past it they are counted until they go.

use crate::telemetry::Bound;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Counts who is inside.
#[derive(Debug)]
pub(crate) struct Door {
    connections_max: u32,
    per_address_max: u32,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: u32,
    /// Peers choose these keys, so the hash is seeded.
    addresses: HashMap<IpAddr, u32, foldhash::quality::RandomState>,
}

impl Door {
    pub(crate) fn new(connections_max: u32, per_address_max: u32) -> Arc<Self> {
        Arc::new(Door { connections_max, per_address_max, inside: Mutex::default() })
    }

    /// Lets one in, or says at which bound it is refused.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Bound> {
        let mut inside = self.inside.lock();
        if inside.all >= self.connections_max {
            return Err(Bound::Connections);
        }
        let here = inside.addresses.entry(address).or_default();
        if *here >= self.per_address_max {
            return Err(Bound::PerAddress);
        }
        *here += 1;
        inside.all += 1;
        Ok(Admission { door: self.clone(), address })
    }
}

/// One who was let in; dropping it is leaving.
#[derive(Debug)]
pub(crate) struct Admission {
    door: Arc<Door>,
    address: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock();
        inside.all -= 1;
        if let Some(here) = inside.addresses.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                inside.addresses.remove(&self.address);
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
        let first = door.admit(a).unwrap();
        let _second = door.admit(a).unwrap();
        assert_eq!(door.admit(a).unwrap_err(), Bound::PerAddress);
        let _third = door.admit(b).unwrap();
        assert_eq!(door.admit(b).unwrap_err(), Bound::Connections);
        drop(first);
        door.admit(a).unwrap();
        assert_eq!(door.inside.lock().all, 3 - 1);
    }
}
