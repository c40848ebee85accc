//! The motet server.

fn main() {}
