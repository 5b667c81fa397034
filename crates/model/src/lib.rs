//! Logic shared by all services, without I/O: conversation ids, message options, platform classes, the clock, the multi-login
//! arbiter and the sequencer. Everything here is a pure function or a small trait, with property tests.

pub mod access;
pub mod clock;
pub mod conversation_id;
pub mod id_hash;
pub mod login;
pub mod options;
pub mod platform;
pub mod sequencer;

pub use clock::{Clock, SystemClock};

/// A random 32-character lowercase hexadecimal id (serverMsgID, operation ids of our own).
pub fn random_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
