//! What an operation answers, and how the driver's types are made of it.

use std::{collections::VecDeque, marker::PhantomData};

use bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::{
    error::{Error, Result},
    results::{CreateIndexResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult},
};
use serde::{Deserialize, de::DeserializeOwned};

/// What an operation did.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(super) documents: Vec<Document>,
    pub(super) matched: u64,
    pub(super) changed: u64,
    /// Errors of the parts of a command.
    pub(super) errors: Vec<Document>,
}

impl Reply {
    pub(crate) fn rows<T>(self) -> Result<Rows<T>> {
        let waiting = self.documents.iter().map(raw).collect::<Result<_>>()?;
        Ok(Rows { waiting, current: None, kind: PhantomData })
    }
}

fn raw(document: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(document).map_err(Error::custom)
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawDocument) -> Result<T> {
    bson::deserialize_from_slice(raw.as_bytes()).map_err(|error| Error::custom(error.to_string()))
}

/// What the driver's answers are made of.
pub(crate) trait FromReply: Sized {
    fn from_reply(reply: Reply) -> Result<Self>;
}

impl<T: DeserializeOwned> FromReply for Option<T> {
    fn from_reply(reply: Reply) -> Result<Self> {
        reply.documents.first().map(|document| read(&raw(document)?)).transpose()
    }
}

impl FromReply for Document {
    fn from_reply(reply: Reply) -> Result<Self> {
        let mut answer = doc! { "ok": 1, "n": reply.matched as i64 };
        if !reply.errors.is_empty() {
            answer.insert("cursor", doc! { "firstBatch": reply.errors.clone() });
            answer.insert("writeErrors", reply.errors);
        }
        Ok(answer)
    }
}

impl FromReply for u64 {
    fn from_reply(reply: Reply) -> Result<Self> {
        Ok(reply.matched)
    }
}

impl FromReply for UpdateResult {
    fn from_reply(reply: Reply) -> Result<Self> {
        let mut result = Self::default();
        (result.matched_count, result.modified_count) = (reply.matched, reply.changed);
        Ok(result)
    }
}

impl FromReply for DeleteResult {
    fn from_reply(reply: Reply) -> Result<Self> {
        let mut result = Self::default();
        result.deleted_count = reply.changed;
        Ok(result)
    }
}

impl FromReply for InsertOneResult {
    fn from_reply(_reply: Reply) -> Result<Self> {
        Ok(Self::default())
    }
}

impl FromReply for InsertManyResult {
    fn from_reply(_reply: Reply) -> Result<Self> {
        Ok(Self::default())
    }
}

impl FromReply for CreateIndexResult {
    fn from_reply(_reply: Reply) -> Result<Self> {
        Ok(Self::default())
    }
}

/// The documents of a query.
pub struct Rows<T> {
    waiting: VecDeque<RawDocumentBuf>,
    current: Option<RawDocumentBuf>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Rows<T> {
    pub(crate) fn advance(&mut self) -> bool {
        self.current = self.waiting.pop_front();
        self.current.is_some()
    }

    pub(crate) fn current(&self) -> &RawDocument {
        self.current.as_deref().unwrap_or_else(|| panic!("asked before it was advanced"))
    }

    pub(crate) fn deserialize_current<'a>(&'a self) -> Result<T>
    where
        T: Deserialize<'a>,
    {
        read(self.current())
    }

    pub(crate) fn next(&mut self) -> Option<Result<T>>
    where
        T: DeserializeOwned,
    {
        self.waiting.pop_front().map(|row| read(&row))
    }
}
