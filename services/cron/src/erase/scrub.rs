//! Copies of a user's data in others' messages: quotes and forwarded messages contain the user's text, notifications the name and
//! picture. The message stays, the copies are removed.

use serde_json::{Map, Value};

/// Of a copied message, what says nothing.
const KEPT_OF_A_COPY: [&str; 15] = [
    "clientMsgID",
    "serverMsgID",
    "createTime",
    "sendTime",
    "sessionType",
    "sendID",
    "recvID",
    "groupID",
    "msgFrom",
    "contentType",
    "senderPlatformID",
    "seq",
    "isRead",
    "status",
    "options",
];
/// A field that names a user, and the fields beside it that are that user's.
const NAMED: [(&str, &[&str]); 3] = [
    ("userID", &["nickname", "faceURL", "ex"]),
    ("fromUserID", &["fromNickname", "fromFaceURL"]),
    ("toUserID", &["toNickname", "toFaceURL"]),
];
/// Texts inside texts are looked into so deep.
const DEEPEST: usize = 16;

/// The content without what is of `user`; `None` when there is nothing of it.
pub(crate) fn scrubbed(content: &[u8], user: &str) -> Option<Vec<u8>> {
    // Most contents do not name the user at all.
    let named = user.as_bytes();
    if named.is_empty() || !content.windows(named.len()).any(|part| part == named) {
        return None;
    }
    let mut value: Value = serde_json::from_slice(content).ok()?;
    scrub(&mut value, user, 0).then(|| protocol::go_json::to_text(&value).into_bytes())
}

/// Takes what is of `user` out of a value that is `depth` deep in a text; whether there was anything.
pub(super) fn scrub(value: &mut Value, user: &str, depth: usize) -> bool {
    if depth > DEEPEST {
        return false;
    }
    match value {
        Value::Object(fields) => {
            let mut changed = scrub_object(fields, user);
            for field in fields.values_mut() {
                changed |= scrub(field, user, depth + 1);
            }
            changed
        }
        Value::Array(items) => {
            let mut changed = false;
            for item in items {
                changed |= scrub(item, user, depth + 1);
            }
            changed
        }
        // Notifications carry JSON as text, and so do the contents of copies.
        Value::String(text) if text.starts_with(['{', '[']) && text.contains(user) => {
            let Ok(mut inner) = serde_json::from_str::<Value>(text) else { return false };
            if !scrub(&mut inner, user, depth + 1) {
                return false;
            }
            *text = protocol::go_json::to_text(&inner);
            true
        }
        _ => false,
    }
}

fn scrub_object(fields: &mut Map<String, Value>, user: &str) -> bool {
    let is = |fields: &Map<String, Value>, key: &str| fields.get(key).and_then(Value::as_str) == Some(user);
    let before = fields.len();
    if is(fields, "sendID") {
        fields.retain(|key, _| KEPT_OF_A_COPY.contains(&key.as_str()));
    }
    let mut changed = fields.len() != before;
    for (key, owned) in NAMED {
        if !is(fields, key) {
            continue;
        }
        for field in owned {
            match fields.get_mut(*field) {
                Some(Value::String(text)) if !text.is_empty() => text.clear(),
                _ => continue,
            }
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn after(content: &Value, user: &str) -> Option<Value> {
        scrubbed(content.to_string().as_bytes(), user).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn a_quote_keeps_what_the_quoting_user_said() {
        let quote = json!({ "text": "I agree", "quoteMessage": {
            "sendID": "alice", "seq": 4, "contentType": 101, "senderNickname": "Alice", "content": "secret",
            "textElem": { "content": "secret" }, "clientMsgID": "c1",
        }});
        let kept = after(&quote, "alice").unwrap();
        assert_eq!(
            kept,
            json!({ "text": "I agree", "quoteMessage": { "sendID": "alice", "seq": 4, "contentType": 101, "clientMsgID": "c1" } })
        );
        assert_eq!(after(&quote, "bob"), None);
        assert_eq!(after(&kept, "alice"), None, "twice is once");
    }

    #[test]
    fn a_notification_keeps_who_did_what_and_loses_the_name() {
        let detail = json!({ "opUser": { "userID": "alice", "nickname": "Alice", "faceURL": "u", "ex": "" },
            "invitedUserList": [{ "userID": "bob", "nickname": "Bob" }, { "userID": "alice", "nickname": "A" }] });
        let kept = after(&json!({ "detail": detail.to_string() }), "alice").unwrap();
        let inner: Value = serde_json::from_str(kept["detail"].as_str().unwrap()).unwrap();
        assert_eq!(inner["opUser"], json!({ "userID": "alice", "nickname": "", "faceURL": "", "ex": "" }));
        assert_eq!(inner["invitedUserList"][0]["nickname"], "Bob");
        assert_eq!(inner["invitedUserList"][1]["nickname"], "");
        let request = json!({ "request": { "fromUserID": "alice", "fromNickname": "Alice", "toUserID": "bob", "toNickname": "Bob" } });
        let kept = after(&request, "alice").unwrap();
        assert_eq!(
            (&kept["request"]["fromNickname"], &kept["request"]["toNickname"]),
            (&json!(""), &json!("Bob"))
        );
    }

    #[test]
    fn what_is_no_json_stays() {
        for content in [&b"alice"[..], b"{\"sendID\":\"alice\"", b"\xffalice", b""] {
            assert_eq!(scrubbed(content, "alice"), None);
        }
        assert_eq!(scrubbed(br#"{"a":1}"#, ""), None);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let user = prop::sample::select(vec!["alice", "bob", "secret of alice", "{}"]);
        let leaf =
            prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), user.prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 4, |inner| {
            let key =
                prop::sample::select(vec!["sendID", "userID", "nickname", "content", "text", "detail", "x"]);
            let fields = prop::collection::btree_map(key, inner.clone(), 0..4);
            let object = fields.prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            });
            prop_oneof![
                object.clone(),
                object.prop_map(|value| Value::from(value.to_string())),
                prop::collection::vec(inner, 0..3).prop_map(Value::from)
            ]
        })
    }

    /// No copy of what a user said, and no name of it, however deep.
    fn tells_of(value: &Value, user: &str) -> bool {
        match value {
            Value::Object(fields) => {
                let is = |key: &str| fields.get(key).and_then(Value::as_str) == Some(user);
                let copy = is("sendID") && fields.keys().any(|key| !KEPT_OF_A_COPY.contains(&key.as_str()));
                let name = is("userID")
                    && fields.get("nickname").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
                copy || name || fields.values().any(|field| tells_of(field, user))
            }
            Value::Array(items) => items.iter().any(|item| tells_of(item, user)),
            Value::String(text) => serde_json::from_str(text)
                .is_ok_and(|inner: Value| !inner.is_string() && tells_of(&inner, user)),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn nothing_of_the_user_is_left_and_the_second_time_changes_nothing(content in json_value()) {
            let left = after(&content, "alice").unwrap_or_else(|| content.clone());
            prop_assert!(!tells_of(&left, "alice"), "{content} → {left}");
            prop_assert_eq!(after(&left, "alice"), None);
        }
    }
}
