//! Streams that this process has appended to, and where they ended then: an append at that very position reads nothing. What is known may
//! be out of date, and does no harm: where another block is, the store refuses one.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use parking_lot::Mutex;
use protocol::{Error, Result, sdkws::MsgData};
use store::streams::{Block, Stream};

use super::{Content, bytes_in_json};

/// Shorter than the blocks of a stream that has ended stay ([`super::BLOCKS_STAY_MS`]).
const FOR: Duration = Duration::from_secs(60);
/// All of it, in bytes.
const MOST: u64 = 32 << 20;
/// What an entry takes beside its message, in bytes.
const ENTRY: usize = 1024;

/// Where a stream ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) next: i64,
    /// Bytes of the text up to there, as JSON writes it.
    pub(super) bytes: i64,
    pub(super) has_ended: bool,
}

impl From<&Block> for Position {
    fn from(block: &Block) -> Self {
        Self { next: block.next, bytes: block.bytes, has_ended: block.end }
    }
}

/// A stream that was open.
pub(super) struct Open {
    pub(super) stream: Stream,
    pub(super) message: MsgData,
    pub(super) content: Content,
    end: Mutex<Option<Position>>,
}

impl Open {
    pub(super) fn new(stream: Stream) -> Result<Self> {
        let message = stream.message().map_err(Error::internal)?;
        let content = Content::parse(&message.content)?;
        Ok(Self { stream, message, content, end: Mutex::new(None) })
    }

    /// Where it ended when it was last looked at.
    pub(super) fn end(&self) -> Option<Position> {
        *self.end.lock()
    }

    pub(super) fn set_end(&self, end: Option<Position>) {
        *self.end.lock() = end;
    }

    /// The position of a stream to which nothing was appended.
    pub(super) fn beginning(&self) -> Position {
        Position { bytes: bytes_in_json(&self.content.content) as i64, ..Position::default() }
    }
}

/// The streams; cheap to clone.
#[derive(Clone)]
pub(super) struct Known(Cache<String, Arc<Open>>);

impl Known {
    pub(super) fn new() -> Self {
        let weigh = |id: &String, open: &Arc<Open>| {
            let bytes = ENTRY + id.len() + 2 * open.message.content.len() + open.message.ex.len();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST).weigher(weigh).time_to_live(FOR).build())
    }

    pub(super) fn get(&self, conversation: &str, client_msg_id: &str) -> Option<Arc<Open>> {
        self.0.get(&store::streams::id_of(conversation, client_msg_id))
    }

    pub(super) fn put(&self, open: Arc<Open>) {
        self.0.insert(open.stream.id().to_owned(), open);
    }

    pub(super) fn forget(&self, stream: &Stream) {
        self.0.invalidate(stream.id());
    }
}
