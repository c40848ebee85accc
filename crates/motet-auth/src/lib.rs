//! Who is this peer.
