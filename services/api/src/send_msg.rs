//! Sending by REST: an administrator or back end sends on behalf of any user. Message routes whose bodies are not protobuf.

mod batch;
mod business;
mod simple;

pub(crate) use batch::handle as batch;
pub(crate) use business::handle as business;
pub(crate) use simple::handle as simple;

use axum::{Extension, body::Bytes, extract::State, response::Response};
use model::options;
use protocol::{
    Error, Result, check,
    content_type::{self as kind, FROM_SYSTEM, session, status},
    msg::{SendMsgReq, SetSendMsgStatusReq},
    sdkws::{MsgData, NotificationElem, OfflinePushInfo},
};
use rpc::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Api, envelope, route::parse};

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default, rename = "recvID")]
    recv_id: String,
    #[serde(rename = "sendID")]
    send_id: String,
    #[serde(default, rename = "groupID")]
    group_id: String,
    #[serde(default)]
    sender_nickname: String,
    #[serde(default, rename = "senderFaceURL")]
    sender_face_url: String,
    #[serde(default, rename = "senderPlatformID")]
    sender_platform_id: i32,
    /// Only of a stream, so that a repeated call begins it once.
    #[serde(default, rename = "clientMsgID")]
    client_msg_id: String,
    content: Map<String, Value>,
    content_type: i32,
    session_type: i32,
    #[serde(default)]
    is_online_only: bool,
    #[serde(default)]
    not_offline_push: bool,
    #[serde(default)]
    send_time: i64,
    /// A message from elsewhere, with its time.
    #[serde(default)]
    is_import: bool,
    #[serde(default)]
    offline_push_info: Option<OfflinePushInfo>,
    #[serde(default)]
    ex: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(rename = "serverMsgID")]
    server_msg_id: String,
    #[serde(rename = "clientMsgID")]
    client_msg_id: String,
    send_time: i64,
    /// What a webhook changed, by JSON name.
    #[serde(skip_serializing_if = "Map::is_empty")]
    modify: Map<String, Value>,
}

/// The fields that differ; the content as plain text.
fn changes(before: &MsgData, after: Option<&MsgData>) -> Map<String, Value> {
    let Some(after) = after else { return Map::new() };
    let text = |message: &MsgData| Value::from(String::from_utf8_lossy(&message.content).into_owned());
    let fields = |message: &MsgData| match serde_json::to_value(message) {
        Ok(Value::Object(mut fields)) => {
            fields.insert("content".into(), text(message));
            fields
        }
        _ => Map::new(),
    };
    let known = fields(before);
    let decided = ["serverMsgID", "sendTime", "createTime", "status", "options"];
    fields(after)
        .into_iter()
        .filter(|(key, value)| !decided.contains(&key.as_str()) && known.get(key) != Some(value))
        .collect()
}

/// Keys that the content of a type must have.
fn required_keys(content_type: i32) -> Result<&'static [&'static str]> {
    Ok(match content_type {
        kind::TEXT | kind::MARKDOWN => &["content"],
        102 => &["sourcePicture", "bigPicture", "snapshotPicture"],
        103 => &["sourceUrl", "duration"],
        104 => &[
            "videoUrl",
            "videoType",
            "videoSize",
            "duration",
            "snapshotUrl",
            "snapshotWidth",
            "snapshotHeight",
        ],
        105 => &["sourceUrl", "fileName", "fileSize"],
        kind::AT_TEXT => &["atUserList"],
        110 => &["data"],
        kind::QUOTE => &[],
        kind::STREAM => &["type"],
        kind::OA_NOTIFICATION => &["notificationName", "notificationType", "text"],
        other => return Err(Error::args(format!("contentType {other} cannot be sent by this call"))),
    })
}

/// A field of the content, whose keys match without case too.
fn content_field<'a>(content: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let folded = || content.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    content.get(key).or_else(folded)
}

/// Texts as back ends send them: in a list or single, also numbers.
fn weak_texts(value: &Value) -> Result<Vec<String>> {
    let text = |item: &Value| match item {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Error::args("content.atUserList must be a list of user ids")),
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Null => Ok(vec![]),
        one => Ok(vec![text(one)?]),
    }
}

fn to_message(body: Body) -> Result<MsgData> {
    check::non_empty("sendID", &body.send_id)?;
    for key in required_keys(body.content_type)? {
        match content_field(&body.content, key) {
            None | Some(Value::Null) => {
                return Err(Error::args(format!("content.{key} is required")));
            }
            Some(Value::String(text)) if text.is_empty() => {
                return Err(Error::args(format!("content.{key} must not be empty")));
            }
            Some(_) => {}
        }
    }
    let notification = body.content_type == kind::OA_NOTIFICATION;
    let session_type = if notification { session::NOTIFICATION } else { body.session_type };
    if session_type == session::GROUP {
        check::non_empty("groupID", &body.group_id)?;
    } else {
        check::non_empty("recvID", &body.recv_id)?;
    }
    let at_user_id_list =
        content_field(&body.content, "atUserList").map(weak_texts).transpose()?.unwrap_or_default();
    let content = protocol::go_json::to_text(&body.content);
    let content = if notification {
        protocol::go_json::to_text(&NotificationElem { detail: content })
    } else {
        content
    };
    let mut off = vec![];
    if body.is_online_only {
        off.extend([
            options::HISTORY,
            options::PERSISTENT,
            options::SENDER_SYNC,
            options::CONVERSATION_UPDATE,
        ]);
    }
    if body.not_offline_push {
        off.push(options::OFFLINE_PUSH);
    }
    let mut options: options::Options = off.into_iter().map(|key| (key.to_owned(), false)).collect();
    if body.is_import {
        options.insert(options::IS_IMPORT.to_owned(), true);
    }
    Ok(MsgData {
        send_id: body.send_id,
        recv_id: if session_type == session::GROUP { String::new() } else { body.recv_id },
        group_id: if session_type == session::GROUP { body.group_id } else { String::new() },
        client_msg_id: if body.content_type == kind::STREAM && !body.client_msg_id.is_empty() {
            body.client_msg_id
        } else {
            model::random_id()
        },
        sender_platform_id: body.sender_platform_id,
        sender_nickname: body.sender_nickname,
        sender_face_url: body.sender_face_url,
        session_type,
        msg_from: FROM_SYSTEM,
        content_type: body.content_type,
        content: content.into(),
        send_time: body.send_time,
        options,
        offline_push_info: body.offline_push_info,
        at_user_id_list,
        ex: body.ex,
        ..Default::default()
    })
}

/// Sends, and remembers the success under the operation id (`check_msg_is_send_success`).
async fn send(api: &Api, context: &Context, message: MsgData) -> Result<Answer> {
    let request = SendMsgReq { msg_data: Some(message.clone()) };
    let sent = api.peers.call(context, &request).await?;
    let status = SetSendMsgStatusReq { status: status::SUCCESS };
    // The message is accepted whatever becomes of this note.
    let noted = api.peers.call(&context.as_system(), &status).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "send.status_not_noted");
    }
    Ok(Answer {
        server_msg_id: sent.server_msg_id,
        client_msg_id: sent.client_msg_id,
        send_time: sent.send_time,
        modify: changes(&message, sent.modify.as_ref()),
    })
}

pub(crate) async fn handle(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    let answer = async {
        context.require_admin()?;
        send(&api, &context, to_message(parse(&body)?)?).await
    };
    envelope::answer_of(answer.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> Result<MsgData> {
        to_message(parse(json.as_bytes())?)
    }

    #[test]
    fn a_text_is_stored_as_the_text_of_its_object() {
        let message = body(
            r#"{"sendID":"a","recvID":"b","content":{"content":"hi"},"contentType":101,"sessionType":1,
                "notOfflinePush":true}"#,
        )
        .unwrap();
        assert_eq!(message.content, r#"{"content":"hi"}"#);
        assert!(!options::is_set(&message.options, options::OFFLINE_PUSH));
    }

    #[test]
    fn unset_fields_may_be_null_and_keys_in_another_case() {
        let message = body(
            r#"{"sendId":"a","recvID":null,"groupId":"g","senderNickname":null,
                "senderFaceURL":null,"senderPlatformID":null,
                "content":{"Text":"hi","atuserlist":[1,"b"]},"contentType":106,"sessionType":3,
                "isOnlineOnly":null,"notOfflinePush":null,"sendTime":null,"offlinePushInfo":null,"ex":null}"#,
        )
        .unwrap();
        assert_eq!((message.send_id.as_str(), message.group_id.as_str()), ("a", "g"));
        assert_eq!(message.at_user_id_list, ["1", "b"]);
        assert!(message.offline_push_info.is_none());
    }

    #[test]
    fn half_an_emoji_is_a_replacement_character() {
        let message = body(
            r#"{"sendID":"a","recvID":"b","senderNickname":"\ud83d","content":{"content":"x\ude00"},
                "contentType":101,"sessionType":1}"#,
        )
        .unwrap();
        assert_eq!(message.sender_nickname, "\u{fffd}");
        assert_eq!(message.content, "{\"content\":\"x\u{fffd}\"}");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (json, expected) in [
            (
                r#"{"sendID":"a","recvID":"b","content":{},"contentType":101,"sessionType":1}"#,
                "content.content",
            ),
            (r#"{"sendID":"a","content":{"content":"x"},"contentType":101,"sessionType":1}"#, "recvID"),
            (r#"{"sendID":"a","content":{"content":"x"},"contentType":101,"sessionType":3}"#, "groupID"),
            (
                r#"{"sendID":"a","recvID":"b","content":{},"contentType":2101,"sessionType":1}"#,
                "contentType 2101",
            ),
            (r#"{"recvID":"b","content":{},"contentType":101,"sessionType":1}"#, "sendID"),
        ] {
            let error = body(json).unwrap_err();
            assert!(error.detail.contains(expected), "{json}: {error}");
        }
    }
}
