//! The operator: dereference (read the current state) → validate (pure) → plan (pure) → apply → clean up → status.

pub mod accepted;
mod application;
pub mod apply;
pub mod authority;
pub mod backup;
pub mod build;
pub mod by_hand;
pub mod calls;
pub mod controller;
pub mod credentials;
pub mod dereference;
pub mod doctor;
pub mod doors;
pub mod drain;
mod kafka_disk;
pub mod lease;
pub mod live;
pub mod logs;
mod memo;
pub mod moves;
pub mod neighbours;
pub mod plan;
mod pods;
pub mod probe;
pub mod prove;
pub mod replica_set;
pub mod rivals;
pub mod rollout;
pub mod rotation;
pub mod scaling;
pub mod secret_rotation;
pub mod sent;
pub mod servers;
pub mod shared;
pub mod status;
mod turns;
pub mod unreadable;
pub mod validate;
pub mod version;
pub mod view;
pub mod volumes;
mod watched;
pub mod window;

/// The field manager of everything this operator applies.
pub const MANAGER: &str = "openim-operator";
/// The version of the operator, and the default version of the services.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
