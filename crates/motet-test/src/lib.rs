//! Simulator, wire scripts, bridge matrix, tidy.
