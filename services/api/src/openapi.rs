//! `GET /openapi.json`: the API described as OpenAPI 3.1, from the route table, the protobuf messages and `routes.json`.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use protocol::{
    bounds::{self, Bound},
    operation_id,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    body,
    table::{self, Table},
};

/// The protocol's description of a route.
#[derive(Deserialize)]
struct Route {
    method: String,
    path: String,
    /// Needs a token.
    token: bool,
    /// For administrators only.
    admin: bool,
    /// Upstream does not have it.
    #[serde(default)]
    beyond: bool,
    description: String,
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| build().to_string());

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], DOCUMENT.as_str()).into_response()
}

fn contract() -> Vec<Route> {
    // A file of this crate, read by a test.
    serde_json::from_str(include_str!("../routes.json")).unwrap_or_default()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Request and response of the routes whose bodies are not messages.
fn by_hand(path: &str) -> [Value; 2] {
    let text = || json!({ "type": "string" });
    let integer = || json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX });
    let flag = || json!({ "type": "boolean" });
    let push_info = || json!({ "anyOf": [reference("openim.sdkws.OfflinePushInfo"), { "type": "null" }] });
    let sent = json!({
        "serverMsgID": text(), "clientMsgID": text(), "sendTime": { "type": "integer", "description": "ms" },
        "modify": { "type": "object", "description": "fields changed by a webhook, by JSON name" },
    });
    let names = ["serverMsgID", "clientMsgID", "sendTime"];
    let mut message = json!({
        "sendID": text(), "recvID": text(), "groupID": text(), "senderNickname": text(), "senderFaceURL": text(),
        "senderPlatformID": integer(), "content": { "type": "object" }, "contentType": integer(), "sessionType": integer(),
        "isOnlineOnly": flag(), "notOfflinePush": flag(), "sendTime": { "type": "integer", "description": "ms, from a day ago to five minutes from now; 0: now" },
        "isImport": { "type": "boolean", "description": "allows any earlier sendTime" }, "offlinePushInfo": push_info(), "ex": text(),
    });
    let strings = || json!({ "type": ["array", "null"], "items": { "type": "string" } });
    message["content"]["description"] = format!(
        "by contentType; as text at most {} bytes, with everything else of the message {}",
        bounds::CONTENT_BYTES,
        bounds::RECORD_BYTES
    )
    .into();
    bound_fields(&mut message, bounds::MESSAGE);
    let users =
        json!({ "userIDs": { "type": "array", "items": { "type": "string" }, "maxItems": bounds::ITEMS } });
    let nothing = || object(&[], json!({}));
    match path {
        "/msg/send_msg" => {
            [object(&["sendID", "content", "contentType", "sessionType"], message), object(&names, sent)]
        }
        "/msg/batch_send_msg" => {
            let mut batch = message;
            batch["isSendAll"] = flag();
            batch["recvIDs"] = strings();
            bound_fields(&mut batch, bounds::MESSAGE);
            let mut each = sent;
            each["recvID"] = text();
            let results = json!({ "type": ["array", "null"], "items": object(&names, each) });
            [
                object(&["sendID", "content", "contentType", "sessionType"], batch),
                object(&[], json!({ "results": results, "failedUserIDs": strings() })),
            ]
        }
        "/msg/send_simple_msg" => {
            let mut body =
                json!({ "sendID": text(), "content": text(), "offlinePushInfo": push_info(), "ex": text() });
            bound_fields(&mut body, bounds::MESSAGE);
            [object(&["content"], body), object(&names, sent)]
        }
        "/msg/send_business_notification" => {
            let body = json!({
                "key": text(), "data": text(), "sendUserID": text(), "recvUserID": text(), "recvGroupID": text(), "sendMsg": flag(),
                "reliabilityLevel": { "type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX },
            });
            [object(&["sendUserID"], body), object(&names, sent)]
        }
        "/user/get_users_online_status" => {
            let connection = json!({ "platformID": integer(), "platform": text(), "connID": text(), "isBackground": flag(), "token": text() });
            let list =
                json!({ "type": ["array", "null"], "items": object(&["platformID", "connID"], connection) });
            let user = json!({ "userID": text(), "status": integer(), "detailPlatformStatus": list });
            [
                object(&["userIDs"], users),
                json!({ "type": "array", "items": object(&["userID", "status"], user) }),
            ]
        }
        "/user/get_users_online_token_detail" => {
            let platform = json!({ "platform": text(), "platformID": integer(), "token": strings(), "total": integer() });
            let list =
                json!({ "type": ["array", "null"], "items": object(&["platformID", "total"], platform) });
            let user = json!({ "userID": text(), "status": integer(), "singlePlatformToken": list });
            [
                object(&["userIDs"], users),
                json!({ "type": "array", "items": object(&["userID", "status"], user) }),
            ]
        }
        "/config/get_config_list" => {
            let list = json!({ "environment": text(), "version": text(), "configNames": strings() });
            [nothing(), object(&["environment", "version", "configNames"], list)]
        }
        "/config/get_config" => [object(&["configName"], json!({ "configName": text() })), text()],
        "/config/get_enable_config_manager" => [nothing(), object(&["enable"], json!({ "enable": flag() }))],
        _ => [nothing(), nothing()],
    }
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
fn bound_fields(properties: &mut Value, fields: &[(&str, Bound)]) {
    for (field, most) in fields {
        if let Some(schema) = properties.get_mut(field) {
            bound(schema, *most);
        }
    }
}

/// The schemas of the messages, with the bounds of their fields.
fn schemas() -> Value {
    let mut schemas: Value = serde_json::from_str(protocol::JSON_SCHEMAS).unwrap_or_default();
    for (message, fields) in bounds::FIELDS {
        if let Some(properties) = schemas.get_mut(message).and_then(|schema| schema.get_mut("properties")) {
            bound_fields(properties, fields);
        }
    }
    schemas
}

/// The envelope around an answer; `data` is absent where there is none.
fn envelope(data: Value) -> Value {
    object(
        &["errCode", "errMsg", "errDlt"],
        json!({
            "errCode": { "type": "integer", "description": "0 or an error code" },
            "errMsg": { "type": "string", "description": "the error's name" },
            "errDlt": { "type": "string", "description": "what is wrong and how to fix it" },
            "data": data,
        }),
    )
}

fn header_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "required": true, "schema": { "type": "string", "minLength": 1 }, "description": description })
}

/// What a call takes of the user's requests per second, where it is more than one.
fn price(path: &str, table: &Table) -> String {
    let fixed = table.costs.get(path).map(|cost| format!(" Counts as {cost} requests."));
    let by_size = table
        .costs_by_size
        .get(path)
        .map(|per| format!(" Counts as one more request for every {per} items of its list."));
    fixed.into_iter().chain(by_size).collect()
}

fn too_large() -> String {
    format!(
        "the body exceeds {} bytes (without a valid token {}, for administrators api.maxBodyBytes)",
        body::USER,
        body::OPEN
    )
}

fn operation(route: &Route, table: &Table) -> Value {
    let [request, response] = match table.types.get(route.path.as_str()) {
        Some([request, response]) => [reference(request), reference(response)],
        None => by_hand(&route.path),
    };
    let mut operation_id = header_parameter("operationID", "identifies the call in logs; visible ASCII");
    operation_id["schema"]["maxLength"] = operation_id::MAX_BYTES.into();
    let mut parameters = vec![operation_id];
    let mut responses = json!({
        "200": { "description": "success, and every error of the API", "content": { "application/json": { "schema": envelope(response) } } },
        "413": { "description": too_large(), "content": { "text/plain": {} } },
    });
    let mut description = route.description.clone();
    if route.admin {
        description.push_str(" For administrators.");
    }
    if route.beyond {
        description.push_str(" Not in OpenIM v3.8.");
    }
    description.push_str(&price(&route.path, table));
    let mut operation = json!({
        "operationId": route.path.trim_start_matches('/').replace('/', "_").replace(['*', '{', '}'], ""),
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "description": description,
    });
    if route.method == "POST" {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": request } } });
    } else {
        parameters.clear();
        responses = by_get(&route.path);
    }
    if route.path == "/object/*name" {
        parameters.push(json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }));
    }
    if route.path == "/msg/send_simple_msg" {
        parameters
            .push(json!({ "name": "key", "in": "query", "required": true, "schema": { "type": "string" },
            "description": "the chat, from the webhook's URL" }));
    }
    if route.token {
        operation["security"] = json!([{ "token": [] }]);
    }
    if route.method == "POST" {
        responses["429"] = json!({ "description": "rate limit of the user or address exceeded", "headers": { "retry-after": { "schema": { "type": "string" } } },
            "content": responses["200"]["content"].clone() });
    }
    operation["parameters"] = parameters.into();
    operation["responses"] = responses;
    operation
}

/// Routes that are not calls: pages, redirects, discovery.
fn by_get(path: &str) -> Value {
    let plain = |description: &str| json!({ "description": description, "content": { "text/plain": {} } });
    let found = |description: &str| json!({ "description": description, "headers": { "location": { "schema": { "type": "string" } } } });
    if path.starts_with("/prometheus_discovery/") {
        let targets = object(
            &["targets", "labels"],
            json!({ "targets": { "type": "array", "items": { "type": "string" } }, "labels": { "type": "object" } }),
        );
        let list = json!({ "type": "array", "items": targets });
        let answer = json!({ "anyOf": [list, envelope(json!({}))] });
        return json!({ "200": { "description": "target groups, or an error", "content": { "application/json": { "schema": answer } } } });
    }
    if path == "/third/prometheus" {
        let refused = json!({ "description": "an error", "content": { "application/json": { "schema": envelope(json!({})) } } });
        return json!({ "200": refused, "302": found("to the dashboards"), "404": plain("no dashboards are configured") });
    }
    json!({
        "302": found("to the object"), "400": plain("the name is not UTF-8"), "404": plain("no such object"),
        "502": plain("the object storage is unavailable"),
    })
}

fn build() -> Value {
    let table = table::routes();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in contract() {
        let item = operation(&route, &table);
        let path = if route.path == "/object/*name" { "/object/{name}".to_owned() } else { route.path };
        paths.entry(path).or_default().insert(route.method.to_lowercase(), item);
    }
    let schemas = schemas();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "OpenIM", "version": env!("CARGO_PKG_VERSION"),
            "description": "The REST API of OpenIM v3.8. Errors are answered with HTTP status 200 and an errCode other than 0.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "apiKey", "in": "header", "name": "token", "description": "of /auth/get_user_token or /auth/get_admin_token" } },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_of_the_contract_is_described() {
        let document = build();
        let routes = contract();
        assert_eq!(routes.iter().filter(|route| !route.beyond).count(), 154);
        assert!(routes.iter().all(|route| !route.description.is_empty()));
        assert_eq!(document["paths"].as_object().unwrap().len(), routes.len());
        let known: BTreeSet<&str> = routes.iter().map(|route| route.path.as_str()).collect();
        for path in table::routes().types.keys() {
            assert!(known.contains(path), "{path} is not in routes.json");
        }
        let undescribed: Vec<&str> = routes
            .iter()
            .filter(|route| {
                route.method == "POST" && !table::routes().types.contains_key(route.path.as_str())
            })
            .map(|route| route.path.as_str())
            .filter(|path| by_hand(path) == by_hand("?"))
            .collect();
        // These are refused whatever their body is.
        let refused =
            ["/config/set_config", "/config/reset_config", "/config/set_enable_config_manager", "/restart"];
        assert_eq!(undescribed.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(refused));
    }

    #[test]
    fn every_reference_has_its_schema() {
        let document = build();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 200);
        for name in found {
            let pointer = name.trim_start_matches('#').to_owned();
            assert!(document.pointer(&pointer).is_some(), "{name}");
        }
    }

    #[test]
    fn bounds_are_described_by_the_constants_that_enforce_them() {
        let document = build();
        let field = |message: &str, field: &str| {
            document["components"]["schemas"][message]["properties"][field].clone()
        };
        assert_eq!(field("openim.relation.applyToAddFriendReq", "reqMsg")["maxLength"], bounds::NOTE_BYTES);
        assert_eq!(
            field("openim.sdkws.UserInfoWithEx", "nickname")["anyOf"][0]["maxLength"],
            bounds::NAME_BYTES
        );
        assert_eq!(field("openim.group.KickGroupMemberReq", "kickedUserIDs")["maxItems"], bounds::ITEMS);
        assert_eq!(field("openim.sdkws.MsgData", "options")["maxProperties"], bounds::OPTIONS);
        assert_eq!(field("openim.sdkws.RequestPagination", "showNumber")["maximum"], bounds::PAGE);
        let post = |path: &str| document["paths"][path]["post"].clone();
        let sent =
            &post("/msg/send_msg")["requestBody"]["content"]["application/json"]["schema"]["properties"];
        assert_eq!(sent["senderNickname"]["maxLength"], bounds::NAME_BYTES);
        assert!(sent["content"]["description"].as_str().unwrap().contains(&bounds::RECORD_BYTES.to_string()));
        let refused = &post("/user/get_users_info")["responses"]["413"]["description"];
        assert!(refused.as_str().unwrap().contains(&body::USER.to_string()));
    }

    #[test]
    fn what_a_call_costs_is_described() {
        let document = build();
        let description = |path: &str| {
            document["paths"][path]["post"]["description"].as_str().unwrap_or_default().to_owned()
        };
        assert!(description("/msg/search_own_msg").ends_with("Counts as 20 requests."));
        assert!(
            description("/user/get_users_status")
                .ends_with("one more request for every 10 items of its list.")
        );
        assert!(!description("/msg/get_server_time").contains("Counts"));
        let known: BTreeSet<String> = contract().into_iter().map(|route| route.path).collect();
        let table = table::routes();
        for path in table.costs.keys().chain(table.costs_by_size.keys()) {
            assert!(known.contains(*path), "{path}");
        }
    }

    #[test]
    fn a_message_is_described_as_it_is_written() {
        let document = build();
        let schema = |name: &str| document["components"]["schemas"][name]["properties"].clone();
        let page = schema("openim.user.getPaginationUsersReq");
        assert_eq!(
            page["pagination"]["anyOf"][0]["$ref"],
            "#/components/schemas/openim.sdkws.RequestPagination"
        );
        let answer = schema("openim.user.getPaginationUsersResp");
        assert_eq!(
            (&answer["total"]["type"], &answer["users"]["type"][1]),
            (&json!("integer"), &json!("null"))
        );
    }
}
