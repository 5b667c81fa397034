//! Memory budget of long responses: each exists as received, decoded, as JSON and compressed.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use budget::{Budget, Held};
use http_body_util::BodyExt;
use protocol::{Error, Result};

/// Answers up to this are not counted, in bytes.
const SMALL: usize = 64 << 10;
const COPIES: usize = 4;
/// How long an answer waits for room.
const ROOM: Duration = Duration::from_secs(2);

/// What an answer of so many bytes takes of the budget.
///
/// # Errors
/// [`Error::busy`].
pub(crate) async fn room(budget: &Budget, bytes: usize) -> Result<Option<Held>> {
    if bytes <= SMALL {
        return Ok(None);
    }
    let held = budget.take_within(bytes * COPIES, ROOM).await;
    held.map(Some).map_err(|_busy| Error::busy("this API"))
}

/// Marks an answer with what it takes from now on; [`until_written`] gives it back.
pub(crate) fn until_sent(mut response: Response, held: Option<Held>) -> Response {
    let Some(mut held) = held else { return response };
    // What it was received as, and decoded to, is gone.
    if let Some(bytes) = response.body().size_hint().exact() {
        held.shrink_to(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    response.extensions_mut().insert(Arc::new(held));
    response
}

/// Bytes of an answer that is counted.
struct Counted {
    data: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// Gives it back with the last byte: the server drops a body as soon as it has its last frame, which then waits for the client. The outermost
/// layer, so that compressed answers are counted too.
pub(crate) async fn until_written(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let Some(held) = head.extensions.remove::<Arc<Held>>() else {
        return Response::from_parts(head, body);
    };
    let body = body.map_frame(move |frame| {
        let held = held.clone();
        frame.map_data(move |data| Bytes::from_owner(Counted { data, _held: held }))
    });
    Response::from_parts(head, Body::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_answer_is_held_until_it_is_sent_and_others_wait_for_it() {
        let budget = Budget::new(1 << 20);
        assert!(room(&budget, SMALL).await.unwrap().is_none());
        let held = room(&budget, 200 << 10).await.unwrap();
        assert!(room(&budget, 200 << 10).await.err().unwrap().is_busy());
        let long = "long".repeat(50 << 10);
        let response = until_written(until_sent(Response::new(Body::from(long.clone())), held)).await;
        assert_eq!(budget.used(), long.len());
        let sent = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert_eq!((&sent[..], budget.used()), (long.as_bytes(), long.len()));
        drop(sent);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn an_answer_counts_until_its_bytes_are_gone_not_until_its_body_is() {
        let budget = Budget::new(1 << 20);
        let held = room(&budget, 200 << 10).await.unwrap();
        let mut body = until_written(until_sent(Response::new(Body::from("long")), held)).await.into_body();
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        // As the server does.
        drop(body);
        assert!(budget.used() > 0);
        drop(data);
        assert_eq!(budget.used(), 0);
    }
}
