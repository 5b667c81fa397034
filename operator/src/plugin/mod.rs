//! `kubectl openim`: one file for each command that is more than a request.

pub mod backup;
pub mod doctor;
pub mod drain;
pub mod logs;
pub mod prove;
pub mod view;
