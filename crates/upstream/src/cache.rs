//! What upstream's Redis knows better than its MongoDB: read positions that were only noted there, and how many seqs a conversation has given
//! out. It is only read.

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use store::Store;
use tokio::sync::Mutex;

use crate::Result;

/// Keys that one step looks at.
const KEYS_AT_ONCE: usize = 1000;
/// The keys of interest, and the field of their hash that counts.
const KINDS: [(&str, &str); 2] = [("SEQ_USER_READ:", "value"), ("MALLOC_SEQ:", "CURR")];

/// What a key says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Position {
    /// A user has read up to a seq.
    Read { user: String, conversation: String, seq: i64 },
    /// A conversation has given out seqs up to this one.
    Given { conversation: String, seq: i64 },
}

impl Position {
    /// Reads a key and its value; `None` when they are not upstream's, or say nothing.
    pub fn parse(key: &str, value: &str) -> Option<Self> {
        let seq = value.parse().ok().filter(|seq| *seq > 0)?;
        if let Some(rest) = key.strip_prefix("SEQ_USER_READ:") {
            let (conversation, user) = rest.split_once(':')?;
            let is_named = !conversation.is_empty() && !user.is_empty();
            return is_named.then(|| Self::Read {
                user: user.into(),
                conversation: conversation.into(),
                seq,
            });
        }
        let conversation = key.strip_prefix("MALLOC_SEQ:").filter(|rest| !rest.is_empty())?;
        Some(Self::Given { conversation: conversation.into(), seq })
    }
}

/// Where a scan continues; the default is the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    kind: usize,
    cursor: u64,
}

/// A Redis of upstream's.
#[async_trait]
pub trait Cache: Send + Sync {
    /// The next positions, and where the scan continues; `None` at its end. Some may come twice.
    async fn positions(&self, place: Place) -> Result<(Vec<Position>, Option<Place>)>;
}

/// One server: upstream's only one, or the master of a set.
pub struct Redis(Mutex<MultiplexedConnection>);

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// When the address is malformed or nothing answers.
    pub async fn connect(url: &str) -> Result<Self> {
        let client = redis::Client::open(url)?;
        Ok(Self(Mutex::new(client.get_multiplexed_async_connection().await?)))
    }
}

#[async_trait]
impl Cache for Redis {
    async fn positions(&self, place: Place) -> Result<(Vec<Position>, Option<Place>)> {
        let Some((prefix, field)) = KINDS.get(place.kind) else { return Ok((vec![], None)) };
        // A connection carries several requests at a time: a copy of it is enough.
        let mut connection = self.0.lock().await.clone();
        let mut scan = redis::cmd("SCAN");
        scan.arg(place.cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(KEYS_AT_ONCE);
        let (cursor, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        let next = if cursor > 0 {
            Some(Place { cursor, ..place })
        } else {
            (place.kind + 1 < KINDS.len()).then(|| Place { kind: place.kind + 1, cursor: 0 })
        };
        if keys.is_empty() {
            return Ok((vec![], next));
        }
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.cmd("HGET").arg(key).arg(*field);
        }
        let values: Vec<Option<String>> = pipeline.query_async(&mut connection).await?;
        let known = keys.iter().zip(values).filter_map(|(key, value)| Position::parse(key, &value?));
        Ok((known.collect(), next))
    }
}

/// Raises what the cache knows better; how many positions it has. Repeating it changes nothing.
///
/// # Errors
/// When the cache or MongoDB fails.
pub(crate) async fn raise(store: &Store, cache: &dyn Cache) -> Result<u64> {
    let (mut place, mut count) = (Some(Place::default()), 0);
    while let Some(at) = place {
        let (positions, next) = cache.positions(at).await?;
        count += positions.len() as u64;
        let (mut reads, mut given) = (vec![], vec![]);
        for position in positions {
            match position {
                Position::Read { user, conversation, seq } => reads.push((user, conversation, seq)),
                Position::Given { conversation, seq } => given.push((conversation, seq, 0)),
            }
        }
        store.raise_read_seqs(&reads).await?;
        // A seq that upstream gave out and whose message it lost is not given out again: clients would take the message for one they have.
        store.raise_max_seqs(&given).await?;
        place = next;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_upstream_writes_is_read() {
        let read = Position::Read { user: "bob".into(), conversation: "si_alice_bob".into(), seq: 7 };
        assert_eq!(Position::parse("SEQ_USER_READ:si_alice_bob:bob", "7"), Some(read));
        let given = Position::Given { conversation: "sg_1".into(), seq: 50 };
        assert_eq!(Position::parse("MALLOC_SEQ:sg_1", "50"), Some(given));
        for (key, value) in [
            ("SEQ_USER_READ:si_alice_bob:bob", "*"),
            ("SEQ_USER_READ:si_alice_bob:bob", "0"),
            ("SEQ_USER_READ:si_alice_bob", "7"),
            ("SEQ_USER_READ::bob", "7"),
            ("MALLOC_SEQ:", "7"),
            ("MALLOC_MIN_SEQ:sg_1", "7"),
        ] {
            assert_eq!(Position::parse(key, value), None, "{key} {value}");
        }
    }
}
