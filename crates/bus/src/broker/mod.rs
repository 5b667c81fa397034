//! Requests that rdkafka does not support: access rights, single topic settings, disk usage. A connection to one broker and these few requests, in
//! versions of Kafka's protocol without tagged fields (Kafka 2.4 to 4).

mod connection;
mod disk;
mod rights;
mod wire;

pub use disk::{Room, keep_room};
pub use rights::{grant, groups};

pub(crate) use connection::Connection;
