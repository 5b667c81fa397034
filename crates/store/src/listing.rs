//! Lists that are read completely, because the protocol has no pages for them: limited in bytes, whatever their owners have put
//! into them.

use std::sync::Arc;

use mongodb::error::ErrorKind;
use serde::de::DeserializeOwned;

use crate::{Cursor, Result, Store, StoreError};

/// Most that a list has, in bytes. It has to fit into a call, of 32 MiB.
const MOST: usize = 24 << 20;
/// Lists up to this are not counted, in bytes.
const SMALL: usize = 256 << 10;
/// How often a list is in memory on its way to a client.
const COPIES: usize = 2;

/// Why a list was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    TooLong,
    Busy,
}

impl Store {
    /// All rows of a query.
    pub(crate) async fn collect<T: DeserializeOwned>(&self, mut rows: Cursor<T>) -> Result<Vec<T>> {
        let (mut list, mut bytes, mut held) = (Vec::new(), 0, self.reads.nothing());
        while rows.advance().await? {
            bytes += rows.current().as_bytes().len();
            if bytes > MOST {
                return Err(unread(Unread::TooLong));
            }
            if bytes > SMALL {
                held.grow(bytes * COPIES - held.bytes()).map_err(|_busy| unread(Unread::Busy))?;
            }
            list.push(rows.deserialize_current()?);
        }
        Ok(list)
    }
}

fn unread(why: Unread) -> StoreError {
    mongodb::error::Error::custom(why).into()
}

/// The error for a list that was not read.
pub(crate) fn told(error: &StoreError) -> Option<protocol::Error> {
    let ErrorKind::Custom(why) = error.0.kind.as_ref() else { return None };
    let why: &Arc<dyn std::any::Any + Send + Sync> = why;
    Some(match why.downcast_ref::<Unread>()? {
        Unread::TooLong => protocol::Error::args(format!(
            "the list has more than {MOST} bytes; request a part of it, or delete unneeded items"
        )),
        Unread::Busy => protocol::Error::busy("reading lists"),
    })
}

#[cfg(test)]
mod tests {
    use budget::Budget;
    use faults::fate::Calm;
    use protocol::ErrorCode;

    use super::*;
    use crate::{DateTime, commands::Command, memory::Memory};

    #[tokio::test]
    async fn a_list_is_read_up_to_a_number_of_bytes_and_while_there_is_room() {
        let store = Store::in_memory(&Memory::default(), Arc::new(Calm));
        let value = "x".repeat(64 << 10);
        let command = |number: usize| Command {
            user_id: "ann".into(),
            kind: 1,
            uuid: number.to_string(),
            create_time: DateTime::from_millis(1),
            value: value.clone(),
            ex: String::new(),
        };
        let too_many = MOST / value.len();
        for number in 0..too_many {
            assert!(store.add_command(&command(number)).await.unwrap());
        }
        let refused: protocol::Error = store.commands("ann", None).await.unwrap_err().into();
        assert_eq!(refused.code, ErrorCode::Args);
        for number in 0..2 {
            assert!(store.delete_command("ann", 1, &number.to_string()).await.unwrap());
        }
        assert_eq!(store.commands("ann", None).await.unwrap().len(), too_many - 2);
        let crowded = Store { reads: Budget::new(MOST), ..store };
        let _others = crowded.reads.take(MOST).unwrap();
        let refused: protocol::Error = crowded.commands("ann", None).await.unwrap_err().into();
        assert!(refused.is_busy(), "{refused}");
    }

    #[test]
    fn who_asks_hears_why_a_list_was_not_read() {
        let long: protocol::Error = unread(Unread::TooLong).into();
        assert_eq!(long.code, ErrorCode::Args);
        assert!(long.detail.contains("25165824"), "{long}");
        let busy: protocol::Error = unread(Unread::Busy).into();
        assert!(busy.is_busy());
        let other: protocol::Error = StoreError(mongodb::error::Error::custom("a bug")).into();
        assert_eq!(other.code, ErrorCode::Internal);
    }
}
