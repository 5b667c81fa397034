//! What a cluster consists of, by name: what the operator writes into objects and the services, or the members of a set of servers,
//! rely on. Names and numbers only; no client.

pub mod redis;
