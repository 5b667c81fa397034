//! Operations in the making: each setting goes to the driver's own action.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    time::Duration,
};

use bson::Document;
use futures::FutureExt;
use mongodb::{
    action,
    error::Result,
    options::{ReadConcern, ReturnDocument, SelectionCriteria},
};

use super::{ClientSession, Cursor, SessionCursor};
#[cfg(debug_assertions)]
use crate::memory::{FromReply, Request};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What an operation can answer; of the memory too, where there is one.
#[cfg(debug_assertions)]
pub(crate) trait Answer: FromReply {}
#[cfg(debug_assertions)]
impl<T: FromReply> Answer for T {}
#[cfg(not(debug_assertions))]
pub(crate) trait Answer {}
#[cfg(not(debug_assertions))]
impl<T> Answer for T {}

/// An operation that answers once.
#[cfg_attr(debug_assertions, allow(clippy::large_enum_variant))] // One variant in a release.
pub(crate) enum Act<'a, S> {
    Server(S),
    #[cfg(debug_assertions)]
    Memory(Request<'a>),
    #[cfg(not(debug_assertions))]
    #[allow(dead_code)]
    // Never made: the lifetime is that of the session, which is inside of the action here.
    Never(std::convert::Infallible, PhantomData<&'a ()>),
}

impl<'a, S, T> IntoFuture for Act<'a, S>
where
    S: IntoFuture<Output = Result<T>>,
    S::IntoFuture: Send + 'a,
    T: Answer + Send + 'a,
{
    type Output = Result<T>;
    type IntoFuture = Boxed<'a, T>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Server(action) => action.into_future().boxed(),
            #[cfg(debug_assertions)]
            Self::Memory(request) => async move { T::from_reply(request.run().await?) }.boxed(),
            #[cfg(not(debug_assertions))]
            Self::Never(never, _) => match never {},
        }
    }
}

/// A setting of an action, and of the request that stands for it.
macro_rules! setting {
    ($name:ident: $value:ty) => {
        setting!($name: $value, |_request, _value| {});
    };
    ($name:ident: $value:ty, |$request:ident, $given:ident| $set:expr) => {
        pub(crate) fn $name(self, $given: $value) -> Self {
            match self {
                Self::Server(action) => Self::Server(action.$name($given)),
                #[cfg(debug_assertions)]
                Self::Memory(mut request) => {
                    let $request = &mut request;
                    $set;
                    Self::Memory(request)
                }
                #[cfg(not(debug_assertions))]
                Self::Never(never, _) => match never {},
            }
        }
    };
}

macro_rules! session {
    () => {
        pub(crate) fn session(self, session: &'a mut ClientSession) -> Self {
            match (self, session) {
                (Self::Server(action), ClientSession::Server(session)) => {
                    Self::Server(action.session(&mut **session))
                }
                #[cfg(debug_assertions)]
                (Self::Memory(request), ClientSession::Memory(session)) => {
                    Self::Memory(request.within(session))
                }
                #[cfg(debug_assertions)]
                _ => unreachable!("a session belongs to the store that began it"),
                #[cfg(not(debug_assertions))]
                (Self::Never(never, _), _) => match never {},
            }
        }
    };
}

impl<'a, T: Send + Sync> Act<'a, action::FindOne<'a, T>> {
    setting!(sort: Document, |request, order| request.sort(order));
    setting!(projection: Document, |request, fields| request.project(fields));
    setting!(selection_criteria: SelectionCriteria);
}

impl<'a> Act<'a, action::InsertOne<'a>> {
    session!();
}

impl<'a> Act<'a, action::InsertMany<'a>> {
    setting!(ordered: bool);
    session!();
}

impl<'a> Act<'a, action::Update<'a>> {
    setting!(upsert: bool, |request, upsert| request.upsert(upsert));
    session!();
}

impl<'a> Act<'a, action::Delete<'a>> {
    session!();
}

impl<'a> Act<'a, action::RunCommand<'a>> {
    session!();
}

impl<'a> Act<'a, action::ReplaceOne<'a>> {
    setting!(upsert: bool, |request, upsert| request.upsert(upsert));
}

impl<'a, T: serde::de::DeserializeOwned + Send + Sync> Act<'a, action::FindOneAndUpdate<'a, T>> {
    setting!(upsert: bool, |request, upsert| request.upsert(upsert));
    setting!(return_document: ReturnDocument, |request, which| request.return_document(&which));
    setting!(sort: Document, |request, order| request.sort(order));
    session!();
}

impl<'a> Act<'a, action::CountDocuments<'a>> {
    setting!(limit: u64, |request, most| request.limit(most));
    setting!(max_time: Duration);
    session!();
}

/// Names the documents and the session of an operation.
type Of<'a, T> = PhantomData<(&'a (), fn() -> T)>;

/// An operation that answers with documents.
#[cfg_attr(debug_assertions, allow(clippy::large_enum_variant))] // One variant in a release.
pub(crate) enum Find<'a, T: Send + Sync, S = action::Find<'a, T>> {
    Server(S),
    #[cfg(debug_assertions)]
    Memory(Request<'a>),
    #[allow(dead_code)] // Never made: it names the type of the documents.
    Never(std::convert::Infallible, Of<'a, T>),
}

impl<'a, T, S> IntoFuture for Find<'a, T, S>
where
    T: Send + Sync + 'a,
    S: IntoFuture<Output = Result<mongodb::Cursor<T>>>,
    S::IntoFuture: Send + 'a,
{
    type Output = Result<Cursor<T>>;
    type IntoFuture = Boxed<'a, Cursor<T>>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Server(action) => action.into_future().map(|cursor| cursor.map(Cursor::Server)).boxed(),
            #[cfg(debug_assertions)]
            Self::Memory(request) => async move { Ok(Cursor::Memory(request.run().await?.rows()?)) }.boxed(),
            Self::Never(never, _) => match never {},
        }
    }
}

macro_rules! find_setting {
    ($name:ident: $value:ty) => {
        find_setting!($name: $value, |_request, _value| {});
    };
    ($name:ident: $value:ty, |$request:ident, $given:ident| $set:expr) => {
        pub(crate) fn $name(self, $given: $value) -> Self {
            match self {
                Self::Server(action) => Self::Server(action.$name($given)),
                #[cfg(debug_assertions)]
                Self::Memory(mut request) => {
                    let $request = &mut request;
                    $set;
                    Self::Memory(request)
                }
                Self::Never(never, _) => match never {},
            }
        }
    };
}

impl<'a, T: Send + Sync> Find<'a, T> {
    find_setting!(sort: Document, |request, order| request.sort(order));
    find_setting!(projection: Document, |request, fields| request.project(fields));
    find_setting!(limit: i64, |request, most| request.limit(most.unsigned_abs()));
    find_setting!(skip: u64, |request, some| request.skip(some));
    find_setting!(batch_size: u32);
    find_setting!(max_time: Duration);
    find_setting!(read_concern: ReadConcern);
    find_setting!(selection_criteria: SelectionCriteria);

    pub(crate) fn session(self, session: &'a mut ClientSession) -> FindInSession<'a, T> {
        match (self, session) {
            (Self::Server(action), ClientSession::Server(session)) => {
                FindInSession::Server(action.session(&mut **session))
            }
            #[cfg(debug_assertions)]
            (Self::Memory(request), ClientSession::Memory(session)) => {
                FindInSession::Memory(request.within(session))
            }
            (Self::Never(never, _), _) => match never {},
            #[cfg(debug_assertions)]
            _ => unreachable!("a session belongs to the store that began it"),
        }
    }
}

impl<'a> Find<'a, Document, action::Aggregate<'a>> {
    find_setting!(max_time: Duration);
}

/// A query of a transaction.
#[cfg_attr(debug_assertions, allow(clippy::large_enum_variant))] // One variant in a release.
pub(crate) enum FindInSession<'a, T: Send + Sync> {
    Server(action::Find<'a, T, action::ExplicitSession<'a>>),
    #[cfg(debug_assertions)]
    Memory(Request<'a>),
}

impl<'a, T: Send + Sync + 'a> IntoFuture for FindInSession<'a, T> {
    type Output = Result<SessionCursor<T>>;
    type IntoFuture = Boxed<'a, SessionCursor<T>>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Server(action) => {
                action.into_future().map(|cursor| cursor.map(SessionCursor::Server)).boxed()
            }
            #[cfg(debug_assertions)]
            Self::Memory(request) => {
                async move { Ok(SessionCursor::Memory(request.run().await?.rows()?)) }.boxed()
            }
        }
    }
}
