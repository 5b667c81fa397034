//! Clients of the public protocol, thousands to a process, and the rules their histories must obey. A [`run`] has many rooms, each a conversation
//! with its members; [`nemesis`] says what goes wrong meanwhile; [`history`] and [`heard`] find what was broken.

pub mod client;
pub mod heard;
pub mod history;
pub mod latency;
mod member;
pub mod message;
pub mod nemesis;
pub mod outcome;
pub mod rest;
mod room;
pub mod run;
