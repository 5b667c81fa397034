//! `/msg/send_simple_msg?key=…`: a bot answers in the chat that a webhook named.

use axum::{
    Extension,
    body::Bytes,
    extract::{Query, State},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, FROM_USER, session},
    go_json,
    sdkws::{MsgData, OfflinePushInfo},
    user::GetDesignateUsersReq,
};
use rpc::Context;
use serde::{Deserialize, Serialize};

use super::{Answer, send};
use crate::{Api, envelope, route::parse};

/// The platform that a bot's messages come from (contract: Admin).
const ADMIN_PLATFORM: i32 = 10;

#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    #[serde(default)]
    key: String,
}

/// The chat, as webhooks describe it.
#[derive(Debug, Deserialize)]
struct Chat {
    #[serde(default, rename = "sendID")]
    send_id: String,
    #[serde(default, rename = "recvID")]
    recv_id: String,
    #[serde(default, rename = "groupID")]
    group_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default, rename = "sendID")]
    send_id: String,
    content: String,
    #[serde(default)]
    offline_push_info: Option<OfflinePushInfo>,
    #[serde(default)]
    ex: String,
}

#[derive(Serialize)]
struct Content<'a> {
    content: &'a str,
}

fn parse_key(key: &str) -> Result<Chat> {
    let refuse = || Error::args("key must be base64 of a JSON object with sendID, recvID, groupID");
    let json = BASE64_STANDARD.decode(key).map_err(|_| refuse())?;
    go_json::from_slice(&json).map_err(|_| refuse())
}

fn to_message(chat: Chat, body: Body) -> Result<MsgData> {
    check::non_empty("content", &body.content)?;
    let (session_type, send_id, recv_id) = if chat.group_id.is_empty() {
        (session::SINGLE, chat.recv_id, chat.send_id)
    } else {
        (session::GROUP, body.send_id, String::new())
    };
    check::non_empty("sendID", &send_id)?;
    Ok(MsgData {
        send_id,
        recv_id,
        group_id: chat.group_id,
        client_msg_id: model::random_id(),
        sender_platform_id: ADMIN_PLATFORM,
        session_type,
        msg_from: FROM_USER,
        content_type: kind::MARKDOWN,
        content: go_json::to_text(&Content { content: &body.content }).into(),
        offline_push_info: body.offline_push_info,
        ex: body.ex,
        ..Default::default()
    })
}

pub(crate) async fn handle(
    State(api): State<Api>,
    Query(parameters): Query<Parameters>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    envelope::answer_of(run(&api, &parameters, &context, &body).await)
}

async fn run(api: &Api, parameters: &Parameters, context: &Context, body: &[u8]) -> Result<Answer> {
    let mut message = to_message(parse_key(&parameters.key)?, parse(body)?)?;
    context.require_self("sendID", &message.send_id)?;
    let request = GetDesignateUsersReq { user_ids: vec![message.send_id.clone()] };
    let found = api.peers.call(context, &request).await?;
    let Some(sender) = found.users_info.into_iter().next() else {
        return Err(ErrorCode::UserNotFound.with(format!("sender {} is not registered", message.send_id)));
    };
    message.sender_nickname = sender.nickname;
    message.sender_face_url = sender.face_url;
    send(api, context, message).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, body: &str) -> Result<MsgData> {
        to_message(parse_key(&BASE64_STANDARD.encode(key))?, parse(body.as_bytes())?)
    }

    #[test]
    fn an_answer_goes_back_to_who_wrote() {
        let single = message(r#"{"sendID":"u","recvID":"bot","groupID":""}"#, r#"{"content":"hi"}"#).unwrap();
        assert_eq!((single.send_id.as_str(), single.recv_id.as_str(), single.session_type), ("bot", "u", 1));
        let group = message(r#"{"sendID":"u","groupID":"g"}"#, r#"{"sendID":"bot","content":"hi"}"#).unwrap();
        assert_eq!((group.send_id.as_str(), group.group_id.as_str(), group.session_type), ("bot", "g", 3));
        assert!(message(r#"{"groupID":"g"}"#, r#"{"content":"hi"}"#).is_err());
        assert!(parse_key("%%").is_err());
    }
}
