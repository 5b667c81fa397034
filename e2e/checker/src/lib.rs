//! Clients of the public protocol, thousands to a process, and the rules their histories must obey.

pub mod client;
pub mod heard;
pub mod history;
pub mod latency;
pub mod rest;
