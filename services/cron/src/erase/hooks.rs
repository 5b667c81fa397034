//! After hooks that still wait and name an erased user. They are sent all the same, as promised, but without what the user wrote and was called.

use serde_json::{Map, Value};

use super::scrub::scrub;

/// A field that names a user, and the fields beside it that are that user's (docs/protocol/webhooks.md).
const OWNED: [(&str, &[&str]); 9] = [
    ("sendID", &["senderNickname", "content", "faceURL", "ex"]),
    ("userID", &["nickName", "nickname", "faceURL", "ex"]),
    ("fromUserID", &["reqMsg"]),
    ("toUserID", &["HandleMsg"]),
    ("blackUserID", &["HandleMsg"]), // the same user, as upstream spells it in `afterAddFriendAgree`
    ("ownerUserID", &["remark"]),
    ("friendUserID", &["remark"]),
    ("inviterUserID", &["reqMessage"]),
    ("ownerUserId", &["attachedInfo", "ex"]),
];
/// The fields of which one names who caused a hook; a message belongs only to its sender.
const DID: [&str; 5] = ["userID", "fromUserID", "ownerUserID", "inviterUserID", "ownerUserId"];

fn names(body: &Value, key: &str, user: &str) -> bool {
    body.get(key).and_then(Value::as_str) == Some(user)
}

/// Whether a hook tells of something that the user did: an export has it.
pub fn tells_what_user_did(body: &str, user: &str) -> bool {
    let Ok(body) = serde_json::from_str::<Value>(body) else { return false };
    match body.get("sendID") {
        Some(_) => names(&body, "sendID", user),
        None => DID.iter().any(|key| names(&body, key, user)),
    }
}

/// The body without what is of `user`; `None` when there is nothing of it.
pub(crate) fn without(body: &str, user: &str) -> Option<String> {
    let mut body: Value = serde_json::from_str(body).ok()?;
    let own: Vec<&str> = OWNED
        .iter()
        .filter(|(key, _)| !user.is_empty() && names(&body, key, user))
        .flat_map(|(_, owned)| owned.iter().copied())
        .collect();
    let fields = body.as_object_mut()?;
    let mut changed = blank(fields, &own);
    for field in fields.values_mut() {
        changed |= scrub(field, user, 1);
    }
    changed.then(|| protocol::go_json::to_text(&body))
}

fn blank(fields: &mut Map<String, Value>, own: &[&str]) -> bool {
    let mut changed = false;
    for field in own {
        match fields.get_mut(*field) {
            Some(Value::String(text)) if !text.is_empty() => text.clear(),
            // Texts that may be left out come as objects.
            Some(value @ Value::Object(_)) => *value = Value::Null,
            _ => continue,
        }
        changed = true;
    }
    changed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn after(body: &Value, user: &str) -> Option<Value> {
        without(&body.to_string(), user).map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_message_that_waits_is_told_without_what_was_said() {
        let message = json!({ "sendID": "alice", "callbackCommand": "callbackAfterSendSingleMsgCommand", "clientMsgID": "c1", "seq": 4,
            "senderNickname": "Alice", "content": "{\"content\":\"secret\"}", "faceURL": "u", "ex": "secret", "recvID": "bob" });
        let told = json!({ "sendID": "alice", "callbackCommand": "callbackAfterSendSingleMsgCommand", "clientMsgID": "c1", "seq": 4,
            "senderNickname": "", "content": "", "faceURL": "", "ex": "", "recvID": "bob" });
        assert_eq!(after(&message, "alice"), Some(told.clone()));
        assert_eq!(after(&told, "alice"), None, "twice is once");
        assert_eq!(after(&message, "bob"), None, "what the others said stays");
    }

    #[test]
    fn what_others_did_is_told_without_names_and_quotes_of_the_user() {
        let quote = json!({ "text": "I agree", "quoteMessage": { "sendID": "alice", "seq": 4, "content": "secret" } });
        let message = json!({ "sendID": "bob", "senderNickname": "Bob", "content": quote.to_string() });
        let told = after(&message, "alice").unwrap();
        assert_eq!(told["senderNickname"], "Bob");
        let content: Value = serde_json::from_str(told["content"].as_str().unwrap()).unwrap();
        assert_eq!(content, json!({ "text": "I agree", "quoteMessage": { "sendID": "alice", "seq": 4 } }));
        let registered = json!({ "users": [{ "userID": "alice", "nickname": "Alice" }, { "userID": "bob", "nickname": "Bob" }] });
        let told = json!({ "users": [{ "userID": "alice", "nickname": "" }, { "userID": "bob", "nickname": "Bob" }] });
        assert_eq!(after(&registered, "alice"), Some(told));
        let remark = json!({ "ownerUserID": "bob", "friendUserID": "alice", "remark": "my Alice" });
        assert_eq!(after(&remark, "alice").unwrap()["remark"], "");
    }

    #[test]
    fn texts_that_may_be_left_out_go_too() {
        let member = json!({ "groupID": "g", "userID": "alice", "nickName": { "value": "Alice" }, "faceURL": null, "ex": "x", "roleLevel": 20 });
        let told = json!({ "groupID": "g", "userID": "alice", "nickName": null, "faceURL": null, "ex": "", "roleLevel": 20 });
        assert_eq!(after(&member, "alice"), Some(told));
    }

    #[test]
    fn an_export_has_what_the_user_did_and_not_what_others_did() {
        for own in [
            json!({ "sendID": "alice", "recvID": "bob" }),
            json!({ "userID": "alice", "groupID": "g" }),
            json!({ "fromUserID": "alice", "toUserID": "bob" }),
        ] {
            assert!(tells_what_user_did(&own.to_string(), "alice"), "{own}");
            assert!(!tells_what_user_did(&own.to_string(), "bob"), "{own}");
        }
        assert!(
            !tells_what_user_did(r#"{"sendID":"bob","userID":"alice"}"#, "alice"),
            "a message is its sender's"
        );
        assert!(!tells_what_user_did("no JSON", "alice"));
    }

    proptest! {
        #[test]
        fn of_every_hook_nothing_is_left_that_is_the_users(
            (key, owned) in prop::sample::select(OWNED.to_vec()),
            id in prop::sample::select(vec!["alice", "a\"b", "ä\u{2028}<"]),
        ) {
            let mut body = json!({ key: id, "seq": 4 });
            for field in owned {
                body[field] = json!("secret");
            }
            let told = after(&body, id).unwrap();
            prop_assert!(!told.to_string().contains("secret"), "{}", told);
            prop_assert!(told[key] == id && told["seq"] == 4, "{}", told);
            prop_assert_eq!(after(&told, id), None);
            prop_assert_eq!(after(&body, "bob"), None);
        }
    }
}
