//! Memory budget of long responses: each exists as received, decoded, as JSON and compressed.

use std::time::Duration;

use axum::{body::Body, response::Response};
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

/// Gives it back when the answer has been sent, or nobody wants it any more.
pub(crate) fn until_sent(response: Response, held: Option<Held>) -> Response {
    let Some(held) = held else { return response };
    let (head, body) = response.into_parts();
    let body = body.map_frame(move |frame| {
        let _held = &held;
        frame
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
        let response = until_sent(Response::new(Body::from("long")), held);
        assert!(room(&budget, 200 << 10).await.err().unwrap().is_busy());
        let sent = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!((&sent[..], budget.used()), (b"long".as_slice(), 0));
    }
}
