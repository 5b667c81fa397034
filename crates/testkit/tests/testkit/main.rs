//! Schedules of the data path, the faults that they must find, and handlers.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used)] // all of it is tests

mod groups;
mod handlers;
mod mutants;
mod schedules;
mod sessions;
mod stored;
mod streams;
mod users;
