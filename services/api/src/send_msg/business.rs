//! `/msg/send_business_notification`: a notification of the integrator's own (contentType 2001).

use axum::{Extension, body::Bytes, extract::State, response::Response};
use model::options::NotificationOptions;
use protocol::{
    Error, Result, check,
    content_type::{self as kind, FROM_SYSTEM, session},
    sdkws::{MsgData, NotificationElem},
};
use rpc::Context;
use serde::{Deserialize, Serialize};

use super::send;
use crate::{Api, envelope, route::parse};

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    key: String,
    #[serde(default)]
    data: String,
    #[serde(default, rename = "sendUserID")]
    sender: String,
    #[serde(default, rename = "recvUserID")]
    user: String,
    #[serde(default, rename = "recvGroupID")]
    group: String,
    #[serde(default, rename = "sendMsg")]
    also_chat: bool,
    /// 2 is stored; any other number, like 1, reaches only online users.
    #[serde(default, rename = "reliabilityLevel")]
    reliability: Option<i32>,
}

#[derive(Serialize)]
struct Detail<'a> {
    key: &'a str,
    data: &'a str,
}

fn to_message(body: &Body) -> Result<MsgData> {
    check::non_empty("sendUserID", &body.sender)?;
    if body.user.is_empty() == body.group.is_empty() {
        return Err(Error::args("exactly one of recvUserID and recvGroupID is required"));
    }
    let stored = body.reliability == Some(2);
    let detail = protocol::go_json::to_text(&Detail { key: &body.key, data: &body.data });
    let options = NotificationOptions { also_chat: body.also_chat, offline_push: false, stored };
    Ok(MsgData {
        send_id: body.sender.clone(),
        recv_id: body.user.clone(),
        group_id: body.group.clone(),
        client_msg_id: model::random_id(),
        session_type: if body.group.is_empty() { session::SINGLE } else { session::GROUP },
        msg_from: FROM_SYSTEM,
        content_type: kind::BUSINESS,
        content: protocol::go_json::to_text(&NotificationElem { detail }).into(),
        options: options.to_map(),
        ..Default::default()
    })
}

pub(crate) async fn handle(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    let answer = async {
        context.require_admin()?;
        send(&api, &context, to_message(&parse(&body)?)?).await
    };
    envelope::answer_of(answer.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_receiver() {
        let parse = |json: &str| to_message(&super::parse(json.as_bytes()).unwrap());
        assert!(parse(r#"{"sendUserID":"a","key":"k","data":"d"}"#).is_err());
        assert!(parse(r#"{"sendUserID":"a","recvUserID":"b","recvGroupID":"g"}"#).is_err());
        let message = parse(r#"{"sendUserID":"a","recvGroupID":"g","key":"k","data":"{}"}"#).unwrap();
        assert_eq!((message.session_type, message.content_type), (session::GROUP, 2001));
        assert_eq!(message.content, r#"{"detail":"{\"key\":\"k\",\"data\":\"{}\"}"}"#);
    }

    #[test]
    fn only_level_2_is_stored_and_no_level_is_refused() {
        for (level, stored) in [("null", false), ("0", false), ("1", false), ("2", true), ("3", false)] {
            let body =
                format!(r#"{{"sendUserId":"a","recvUserID":"b","key":null,"reliabilityLevel":{level}}}"#);
            let message = to_message(&parse(body.as_bytes()).unwrap()).unwrap();
            assert_eq!(model::options::is_set(&message.options, model::options::HISTORY), stored, "{level}");
        }
    }
}
