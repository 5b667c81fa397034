//! What the operator decides: from a checked cluster and its observed state to the plan, the objects and the status. Pure: no client, no
//! clock, no I/O (docs/adr/0037-floors-of-the-operator.md), so that `tests/simulation.rs` can run it thousands of times. `model` has the facts
//! that all of it shares: data and questions about them, no decisions.

pub mod accepted;
pub mod accounts;
pub mod affinity;
pub mod assessment;
pub mod authority;
pub mod authority_rotation;
pub mod backups;
pub mod calendar;
pub mod certificates;
pub mod connections;
mod console;
pub mod credentials;
pub mod doors;
pub mod hold;
pub mod manual_scale;
pub mod model;
pub mod moves;
pub mod plan;
pub mod render;
pub mod rollout;
pub mod rotation;
pub mod rotation_steps;
pub mod scaling;
pub mod secret_rotation;
pub mod servers;
pub mod shared;
pub mod status;
pub mod tls_switch;
pub mod validate;
pub mod version;
pub mod volumes;
pub mod window;
