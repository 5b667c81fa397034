//! Clients of the public protocol, thousands per process, and the rules that their histories must obey. A [`run`] has many rooms,
//! each a conversation with its members; [`nemesis`] injects faults; [`history`] and [`heard`] find violations.

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
pub mod streams;
pub mod usage;
