//! `/msg/batch_send_msg`: one message to many users, or to all.

use axum::{Extension, body::Bytes, extract::State, response::Response};
use futures::StreamExt;
use protocol::{
    Error, Result, lists,
    sdkws::{MsgData, RequestPagination},
    user::GetAllUserIdReq,
};
use rpc::Context;
use serde::{Deserialize, Serialize};

use super::{Body, send, to_message};
use crate::{Api, envelope, route::parse};

const MAX_RECEIVERS: usize = protocol::bounds::ITEMS;
const PAGE: i32 = 500;
/// Sends in flight at a time.
const AT_A_TIME: usize = 16;

/// What a body has beside the message.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Receivers {
    is_send_all: bool,
    #[serde(rename = "recvIDs")]
    recv_ids: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct Answer {
    results: Option<Vec<Sent>>,
    #[serde(rename = "failedUserIDs")]
    failed: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    #[serde(flatten)]
    message: super::Answer,
    #[serde(rename = "recvID")]
    recv_id: String,
}

pub(crate) async fn handle(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    envelope::answer_of(run(&api, &context, &body).await)
}

async fn run(api: &Api, context: &Context, body: &[u8]) -> Result<Answer> {
    context.require_admin()?;
    let (mut receivers, mut body): (Receivers, Body) = (parse(body)?, parse(body)?);
    // The receiver is filled in per send.
    body.recv_id = "-".into();
    let message = to_message(body)?;
    let mut answer = Answer::default();
    if receivers.is_send_all {
        for page_number in 1.. {
            let request =
                GetAllUserIdReq { pagination: Some(RequestPagination { page_number, show_number: PAGE }) };
            let users = api.peers.call(context, &request).await?;
            let last = users.user_ids.len() < PAGE as usize;
            send_to(api, context, &message, users.user_ids, &mut answer).await;
            if last {
                break;
            }
        }
    } else {
        lists::distinct_some("recvIDs", &mut receivers.recv_ids, MAX_RECEIVERS)?;
        send_to(api, context, &message, receivers.recv_ids, &mut answer).await;
    }
    if answer.results.is_none() && answer.failed.is_none() {
        return Err(Error::args("there are no receivers"));
    }
    Ok(answer)
}

async fn send_to(
    api: &Api,
    context: &Context,
    message: &MsgData,
    receivers: Vec<String>,
    answer: &mut Answer,
) {
    let sends = futures::stream::iter(receivers.into_iter().filter(|user| *user != message.send_id));
    let mut outcomes = sends
        .map(async |recv_id| {
            let outcome = send(api, context, MsgData { recv_id: recv_id.clone(), ..message.clone() }).await;
            (recv_id, outcome)
        })
        .buffered(AT_A_TIME);
    while let Some((recv_id, outcome)) = outcomes.next().await {
        match outcome {
            Ok(message) => answer.results.get_or_insert_default().push(Sent { message, recv_id }),
            Err(error) => {
                tracing::warn!(recv_id, %error, "batch_send.failed");
                answer.failed.get_or_insert_default().push(recv_id);
            }
        }
    }
}
