//! What goes wrong, and why a document cannot be moved.

use protocol::{bounds::RECORD_BYTES, check::MAX_ID_BYTES};

/// The result of moving data.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A move that failed. Running the command again continues it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our database.
    #[error("the database of this cluster: {0}")]
    Store(#[from] store::StoreError),
    /// Upstream's database.
    #[error("the upstream database: {0}")]
    Source(#[from] mongodb::error::Error),
    /// Upstream's Redis.
    #[error("the upstream Redis: {0}")]
    Cache(#[from] redis::RedisError),
    /// The move cannot begin or end like this.
    #[error("{0}")]
    Refused(String),
}

/// Why a document, or a message in it, cannot be moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// Upstream's driver gives every document one.
    #[error("its _id is not an ObjectId")]
    Id,
    /// A field has a type that upstream never writes.
    #[error("{field} is not {form}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it should be.
        form: &'static str,
    },
    /// A field that identifies the document is missing.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// No request could name it here.
    #[error("{0} has more than {MAX_ID_BYTES} bytes, `:` or control characters")]
    Name(&'static str),
    /// Such rows are not read here, because they could have been planted.
    #[error("its conversation_id does not belong to its participants")]
    Participants,
    /// A block of messages that cannot be read as one.
    #[error("it is not a block of messages: {0}")]
    Block(String),
    /// A message in the place of another one.
    #[error("a message's seq does not match its place in the block")]
    Place,
    /// Longer than a message may be.
    #[error("a message has more than {RECORD_BYTES} bytes")]
    TooLong,
}
