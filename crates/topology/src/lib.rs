//! What a cluster consists of, by name: what the operator writes into objects and the services, or the members of a set of servers,
//! rely on. Names and numbers only; no client. Names are text only at the edges: in objects, labels and messages.

mod component;
mod extra;
pub mod redis;
mod server;
mod service;

pub use component::{Component, Job};
pub use extra::Extra;
pub use server::Server;
pub use service::Service;
