//! Whether a request's body was read to its end. hyper closes a connection whose request was answered before that, unless the rest has
//! already come, and does not announce it: a proxy then sends the next request on a connection that is just being closed.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::http::{HeaderValue, Response, header};
use hyper::body::{Body, Frame, SizeHint};

/// Set when the body has ended; shared by the body and by whoever answers.
#[derive(Clone, Default)]
pub(super) struct Ended(Arc<AtomicBool>);

impl Ended {
    pub(super) fn watch<B: Body>(&self, body: B) -> WatchedBody<B> {
        if body.is_end_stream() {
            self.0.store(true, Ordering::Release);
        }
        WatchedBody { body, ended: self.clone() }
    }

    /// Says that the connection ends if the body has not.
    pub(super) fn tell<B>(&self, mut answer: Response<B>) -> Response<B> {
        if !self.0.load(Ordering::Acquire) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// A body that says when it has ended.
pub(super) struct WatchedBody<B> {
    body: B,
    ended: Ended,
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.ended.0.store(true, Ordering::Release);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
