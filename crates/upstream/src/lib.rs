//! Moves data between the database of an upstream OpenIM 3.8 server (docs/protocol/storage.md) and ours (`store`).
//!
//! The mapping is pure: [`rows`], [`versions`], [`seqs`] and [`messages`] translate one document and know no database. [`import`] copies from
//! a [`Source`] in passes; each pass brings over what changed since the previous one. [`survey`] names beforehand what cannot be moved,
//! [`verify`] compares afterwards, [`export`] is the way back. The source is never written to.

pub mod cache;
pub mod collections;
pub mod error;
pub mod export;
pub mod import;
pub mod messages;
mod pass;
pub mod rows;
pub mod seqs;
pub mod source;
pub mod survey;
pub mod verify;
pub mod versions;
mod write;

pub use cache::{Cache, Redis};
pub use collections::Collection;
pub use error::{Error, Reason, Result};
pub use import::{Import, Progress};
pub use pass::Counts;
pub use source::{Mongo, Sink, Source};
