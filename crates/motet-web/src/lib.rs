//! Web carriers: WebSocket framing.
