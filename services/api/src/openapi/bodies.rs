//! What routes take and answer whose bodies are not messages.

use protocol::bounds::{self, Bound};
use serde_json::{Value, json};

use super::{envelope, object, reference};

fn text() -> Value {
    json!({ "type": "string" })
}

fn integer() -> Value {
    json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn strings() -> Value {
    json!({ "type": ["array", "null"], "items": text() })
}

fn push_info() -> Value {
    json!({ "anyOf": [reference("openim.sdkws.OfflinePushInfo"), { "type": "null" }] })
}

/// Nothing that is looked at, and no data.
pub(crate) fn nothing() -> [Value; 2] {
    [object(&[], json!({})), object(&[], json!({}))]
}

const SENT: [&str; 3] = ["serverMsgID", "clientMsgID", "sendTime"];

fn sent() -> Value {
    json!({
        "serverMsgID": text(), "clientMsgID": text(), "sendTime": { "type": "integer", "description": "ms" },
        "modify": { "type": "object", "description": "fields changed by a webhook, by JSON name" },
    })
}

fn message_fields() -> Value {
    let mut message = json!({
        "sendID": text(), "recvID": text(), "groupID": text(), "senderNickname": text(), "senderFaceURL": text(),
        "senderPlatformID": integer(), "content": { "type": "object" }, "contentType": integer(), "sessionType": integer(),
        "isOnlineOnly": flag(), "notOfflinePush": flag(), "sendTime": { "type": "integer", "description": "ms, from a day ago to five minutes from now; 0: now" },
        "isImport": { "type": "boolean", "description": "allows any earlier sendTime" }, "offlinePushInfo": push_info(), "ex": text(),
        "clientMsgID": { "type": "string", "maxLength": bounds::CLIENT_MSG_ID_BYTES, "description": "only for contentType 143, a stream; other messages get one" },
    });
    message["content"]["description"] = format!(
        "by contentType; as text at most {} bytes, with everything else of the message {}",
        bounds::CONTENT_BYTES,
        bounds::RECORD_BYTES
    )
    .into();
    bound_fields(&mut message, bounds::MESSAGE);
    message
}

const REQUIRED_OF_MESSAGE: [&str; 4] = ["sendID", "content", "contentType", "sessionType"];

/// A message on behalf of a user.
pub(crate) fn message() -> [Value; 2] {
    [object(&REQUIRED_OF_MESSAGE, message_fields()), object(&SENT, sent())]
}

/// The same message to many.
pub(crate) fn batch() -> [Value; 2] {
    let mut batch = message_fields();
    batch["isSendAll"] = flag();
    batch["recvIDs"] = strings();
    bound_fields(&mut batch, bounds::MESSAGE);
    let mut each = sent();
    each["recvID"] = text();
    let results = json!({ "type": ["array", "null"], "items": object(&SENT, each) });
    [
        object(&REQUIRED_OF_MESSAGE, batch),
        object(&[], json!({ "results": results, "failedUserIDs": strings() })),
    ]
}

/// A bot's reply.
pub(crate) fn simple_message() -> [Value; 2] {
    let mut body =
        json!({ "sendID": text(), "content": text(), "offlinePushInfo": push_info(), "ex": text() });
    bound_fields(&mut body, bounds::MESSAGE);
    [object(&["content"], body), object(&SENT, sent())]
}

/// The chat of a bot's reply.
pub(crate) fn key_of_chat() -> Value {
    json!({ "name": "key", "in": "query", "required": true, "schema": text(), "description": "the chat, from the webhook's URL" })
}

/// A custom notification.
pub(crate) fn business_notification() -> [Value; 2] {
    let body = json!({
        "key": text(), "data": text(), "sendUserID": text(), "recvUserID": text(), "recvGroupID": text(), "sendMsg": flag(),
        "reliabilityLevel": { "type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX },
    });
    [object(&["sendUserID"], body), object(&SENT, sent())]
}

fn users() -> Value {
    let users = json!({ "userIDs": { "type": "array", "items": text(), "maxItems": bounds::ITEMS } });
    object(&["userIDs"], users)
}

/// The connections of users.
pub(crate) fn users_online() -> [Value; 2] {
    let connection = json!({ "platformID": integer(), "platform": text(), "connID": text(), "isBackground": flag(), "token": text() });
    let list = json!({ "type": ["array", "null"], "items": object(&["platformID", "connID"], connection) });
    let user = json!({ "userID": text(), "status": integer(), "detailPlatformStatus": list });
    [users(), json!({ "type": "array", "items": object(&["userID", "status"], user) })]
}

/// The connections of users, counted by platform.
pub(crate) fn platforms_online() -> [Value; 2] {
    let platform =
        json!({ "platform": text(), "platformID": integer(), "token": strings(), "total": integer() });
    let list = json!({ "type": ["array", "null"], "items": object(&["platformID", "total"], platform) });
    let user = json!({ "userID": text(), "status": integer(), "singlePlatformToken": list });
    [users(), json!({ "type": "array", "items": object(&["userID", "status"], user) })]
}

/// The names of configuration files.
pub(crate) fn config_list() -> [Value; 2] {
    let list = json!({ "environment": text(), "version": text(), "configNames": strings() });
    let [nothing, _] = nothing();
    [nothing, object(&["environment", "version", "configNames"], list)]
}

/// A configuration file.
pub(crate) fn config() -> [Value; 2] {
    [object(&["configName"], json!({ "configName": text() })), text()]
}

/// Whether the configuration can be changed by the API.
pub(crate) fn config_manager() -> [Value; 2] {
    let [nothing, _] = nothing();
    [nothing, object(&["enable"], json!({ "enable": flag() }))]
}

fn plain(description: &str) -> Value {
    json!({ "description": description, "content": { "text/plain": {} } })
}

fn found(description: &str) -> Value {
    json!({ "description": description, "headers": { "location": { "schema": text() } } })
}

fn of_json(description: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

/// Targets of Prometheus.
pub(crate) fn targets() -> Value {
    let targets = object(
        &["targets", "labels"],
        json!({ "targets": { "type": "array", "items": text() }, "labels": { "type": "object" } }),
    );
    let list = json!({ "type": "array", "items": targets });
    json!({ "200": of_json("target groups, or an error", json!({ "anyOf": [list, envelope(json!({}))] })) })
}

/// The way to the dashboards.
pub(crate) fn dashboards() -> Value {
    json!({
        "200": of_json("an error", envelope(json!({}))), "302": found("to the dashboards"),
        "404": plain("no dashboards are configured"),
    })
}

/// The way to an object.
pub(crate) fn object_found() -> Value {
    json!({
        "302": found("to the object"), "400": plain("the name is not UTF-8"), "404": plain("no such object"),
        "502": plain("the object storage is unavailable"),
    })
}

/// The name of an object, in the path.
pub(crate) fn name_of_object() -> Value {
    json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}

/// The document itself.
pub(crate) fn document() -> Value {
    json!({ "200": of_json("the document", json!({ "type": "object" })) })
}

/// Describes the size limit of a field.
fn bound(schema: &mut Value, bound: Bound) {
    // What may be null has its own schema first.
    let schema = match schema.get_mut("anyOf").and_then(|either| either.get_mut(0)) {
        Some(inner) => inner,
        None => schema,
    };
    match bound {
        Bound::Bytes(most) => {
            schema["maxLength"] = most.into();
            schema["description"] = format!("at most {most} bytes of UTF-8").into();
        }
        Bound::Items(most) if schema.get("additionalProperties").is_some() => {
            schema["maxProperties"] = most.into()
        }
        Bound::Items(most) => schema["maxItems"] = most.into(),
        Bound::Between(least, most) => {
            schema["minimum"] = least.into();
            schema["maximum"] = most.into();
        }
    }
}

/// Describes the limits of existing fields.
pub(super) fn bound_fields(properties: &mut Value, fields: &[(&str, Bound)]) {
    for (field, most) in fields {
        if let Some(schema) = properties.get_mut(field) {
            bound(schema, *most);
        }
    }
}
