//! The table carrier × machine: what is spoken on which listener, and over what.
//!
//! | listener | carrier | machine |
//! |---|---|---|
//! | `mqtt` | TCP | MQTT |

use crate::admission::Admission;
use crate::config::Protocol;
use crate::driver::framing::Framing;
use crate::driver::{Arrival, Connection};
use crate::house::{House, MachineMaker};
use motet_core::engine::Engine;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Index of a protocol's figures in [`crate::telemetry::PROTOCOLS`].
pub(crate) const MQTT: usize = 0;

/// One listener's line of the table.
pub(crate) struct Endpoint<E: Engine> {
    pub(crate) house: Arc<House<E>>,
    pub(crate) protocol: Protocol,
    /// Bound to loopback.
    pub(crate) loopback: bool,
    pub(crate) mqtt: MachineMaker<E>,
}

impl<E: Engine> Endpoint<E> {
    /// Takes a fresh connection.
    pub(crate) fn serve(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, admission: Admission) {
        let arrival = |protocol| Arrival { protocol, peer: Some(peer), loopback: self.loopback, admission };
        match self.protocol {
            // No wrapping future: this one is all that an idle connection holds.
            Protocol::Mqtt => {
                tokio::spawn(Connection::new(
                    self.house.clone(),
                    stream,
                    Framing::Plain,
                    (self.mqtt)(),
                    arrival(MQTT),
                    &[],
                ));
            }
            Protocol::Mqtts | Protocol::Http | Protocol::Https | Protocol::Ws => {}
        }
    }
}
