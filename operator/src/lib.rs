//! The operator, in floors: each imports only what is below it (docs/adr/0037-floors-of-the-operator.md; `e2e/floors.py` checks it).
//!
//! `model` (facts) → `planner` (pure decisions) → `observe`, `apply`, `probe` (requests to the API server and the backing servers) → `controller`
//! (the loop); `plugin` is `kubectl openim`.

pub mod apply;
pub mod controller;
pub mod model;
pub mod observe;
pub mod planner;
pub mod plugin;
pub mod probe;
