//! Fields shared by hooks about messages, and what hooks can change.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use protocol::{
    Error, Result, go_json,
    sdkws::{MsgData, OfflinePushInfo},
};
use rpc::Context;
use serde::Deserialize;
use serde_json::{Value, json};

/// The common fields of a message (contract: `commonMessageFields`), with its receiver.
pub fn about(context: &Context, message: &MsgData) -> Value {
    let mut body = json!({
        "sendID": message.send_id,
        "serverMsgID": message.server_msg_id,
        "clientMsgID": message.client_msg_id,
        "operationID": context.operation_id,
        "senderPlatformID": message.sender_platform_id,
        "senderNickname": message.sender_nickname,
        "sessionType": message.session_type,
        "msgFrom": message.msg_from,
        "contentType": message.content_type,
        "status": message.status,
        "sendTime": message.send_time,
        "createTime": message.create_time,
        "content": String::from_utf8_lossy(&message.content),
        "seq": message.seq,
        "atUserList": if message.at_user_id_list.is_empty() { Value::Null } else { json!(message.at_user_id_list) },
        "faceURL": message.sender_face_url,
        "ex": message.ex,
    });
    for (key, value) in [("recvID", &message.recv_id), ("groupID", &message.group_id)] {
        if !value.is_empty() {
            body[key] = json!(value);
        }
    }
    body
}

/// The query by which a bot can answer in the chat of a message (`/msg/send_simple_msg`).
pub fn reply_query(message: &MsgData) -> String {
    let chat = json!({ "sendID": message.send_id, "recvID": message.recv_id, "groupID": message.group_id });
    let key = BASE64_STANDARD.encode(chat.to_string());
    format!("?key={}", key.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

/// What `beforeMsgModify` may change.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Modified {
    content: Option<String>,
    #[serde(rename = "senderPlatformID")]
    sender_platform_id: Option<i32>,
    sender_nickname: Option<String>,
    #[serde(rename = "senderFaceURL")]
    sender_face_url: Option<String>,
    content_type: Option<i32>,
    options: Option<BTreeMap<String, bool>>,
    offline_push_info: Option<OfflinePushInfo>,
    #[serde(rename = "atUserIDList")]
    at_user_id_list: Option<Vec<String>>,
    attached_info: Option<String>,
    ex: Option<String>,
}

impl Modified {
    /// Changes the message; whether anything changed. Ids, session and sender stay: they decide where the message goes, and that
    /// was already authorized.
    ///
    /// # Errors
    /// When the new content is not a JSON object.
    pub fn apply(self, message: &mut MsgData) -> Result<bool> {
        let before = message.clone();
        if let Some(content) = self.content {
            if !go_json::from_slice::<Value>(content.as_bytes()).is_ok_and(|value| value.is_object()) {
                return Err(Error::args("webhook beforeMsgModify: content must be a JSON object as text"));
            }
            message.content = content.into();
        }
        let set = |target: &mut String, value: Option<String>| {
            if let Some(value) = value {
                *target = value;
            }
        };
        set(&mut message.sender_nickname, self.sender_nickname);
        set(&mut message.sender_face_url, self.sender_face_url);
        set(&mut message.attached_info, self.attached_info);
        set(&mut message.ex, self.ex);
        if let Some(platform) = self.sender_platform_id {
            message.sender_platform_id = platform;
        }
        if let Some(kind) = self.content_type {
            if protocol::content_type::is_notification(kind) {
                return Err(Error::args("webhook beforeMsgModify: contentType must not be a notification's"));
            }
            message.content_type = kind;
        }
        if let Some(options) = self.options {
            message.options = options;
        }
        if let Some(info) = self.offline_push_info {
            message.offline_push_info = Some(info);
        }
        if let Some(list) = self.at_user_id_list {
            message.at_user_id_list = list;
        }
        Ok(*message != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(answer: &str, message: &mut MsgData) -> Result<bool> {
        go_json::from_slice::<Modified>(answer.as_bytes()).unwrap().apply(message)
    }

    #[test]
    fn only_what_is_there_changes() {
        let mut message = MsgData { send_id: "a".into(), content: "{}".into(), ..Default::default() };
        assert!(!change("{}", &mut message).unwrap());
        assert!(
            change(r#"{"content":"{\"content\":\"***\"}","ex":"x","sendID":"b"}"#, &mut message).unwrap()
        );
        assert_eq!((message.send_id.as_str(), message.ex.as_str()), ("a", "x"));
        for content in ["plain", "null", "[]", r#"{"a":1}{}"#] {
            let answer = serde_json::json!({ "content": content }).to_string();
            assert!(change(&answer, &mut message).is_err(), "{content}");
        }
        // As clients that are written in Go read it.
        assert!(change(r#"{"content":"{\"content\":\"\\ud800\"}"}"#, &mut message).unwrap());
        assert!(change(r#"{"contentType":1511}"#, &mut message).is_err());
    }
}
