//! Runs the services as they are in one process and on one thread, on a clock that jumps to the next thing that happens, over a log and a
//! store in memory. What each step to these meets is drawn from a seed, so that a failure can be run again. How to write a test on it is in
//! docs/TESTING.md; why it is made like this in docs/adr/0034-testkit.md.

#![cfg(debug_assertions)]

mod clock;
mod cluster;
mod device;
mod oracle;
mod people;
mod process;
mod schedule;
mod seeds;
mod world;

pub use clock::JumpingClock;
pub use cluster::{Doors, Handler, Role};
pub use people::{add_group, add_users, user_context};
pub use process::{Plan, Process};
pub use schedule::{Outcome, Settings, run};
pub use seeds::{explore, runs};
pub use world::World;
