//! MQTT 3.1, 3.1.1 and 5.0 as a sans-IO machine.

pub mod error;
pub mod packet;
