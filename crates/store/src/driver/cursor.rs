//! What a query answers with, document by document.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bson::RawDocument;
use futures::{Stream, StreamExt, stream::BoxStream};
use mongodb::error::Result;
use serde::{Deserialize, de::DeserializeOwned};

use super::ClientSession;
#[cfg(debug_assertions)]
use crate::memory::Rows;

/// The documents of a query.
#[cfg_attr(debug_assertions, allow(clippy::large_enum_variant))] // One variant in a release.
pub enum Cursor<T> {
    /// Of the server, in pieces.
    Server(mongodb::Cursor<T>),
    /// Of the memory.
    #[cfg(debug_assertions)]
    Memory(Rows<T>),
}

impl<T> Cursor<T> {
    /// Goes to the next document; `false` when there is none.
    ///
    /// # Errors
    /// When MongoDB cannot be reached.
    pub async fn advance(&mut self) -> Result<bool> {
        match self {
            Self::Server(cursor) => cursor.advance().await,
            #[cfg(debug_assertions)]
            Self::Memory(rows) => Ok(rows.advance()),
        }
    }

    /// The document that [`Cursor::advance`] has reached.
    pub fn current(&self) -> &RawDocument {
        match self {
            Self::Server(cursor) => cursor.current(),
            #[cfg(debug_assertions)]
            Self::Memory(rows) => rows.current(),
        }
    }

    /// [`Cursor::current`], read.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn deserialize_current<'a>(&'a self) -> Result<T>
    where
        T: Deserialize<'a>,
    {
        match self {
            Self::Server(cursor) => cursor.deserialize_current(),
            #[cfg(debug_assertions)]
            Self::Memory(rows) => rows.deserialize_current(),
        }
    }
}

impl<T: DeserializeOwned + Unpin> Stream for Cursor<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Server(cursor) => cursor.poll_next_unpin(context),
            #[cfg(debug_assertions)]
            Self::Memory(rows) => Poll::Ready(rows.next()),
        }
    }
}

/// The documents of a query in a transaction.
#[cfg_attr(debug_assertions, allow(clippy::large_enum_variant))] // One variant in a release.
pub(crate) enum SessionCursor<T> {
    Server(mongodb::SessionCursor<T>),
    #[cfg(debug_assertions)]
    Memory(Rows<T>),
}

impl<T: DeserializeOwned + Unpin + Send + Sync + 'static> SessionCursor<T> {
    pub(crate) fn stream<'a>(&'a mut self, session: &'a mut ClientSession) -> BoxStream<'a, Result<T>> {
        match (self, session) {
            (Self::Server(cursor), ClientSession::Server(session)) => cursor.stream(session).boxed(),
            #[cfg(debug_assertions)]
            (Self::Memory(rows), _) => futures::stream::iter(std::iter::from_fn(move || rows.next())).boxed(),
            #[cfg(debug_assertions)]
            _ => unreachable!("a session belongs to the store that began it"),
        }
    }
}
