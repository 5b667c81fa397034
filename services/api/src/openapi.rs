//! `GET /openapi.json`: the API described as OpenAPI 3.1, from the routes and the protobuf messages.

pub(crate) mod bodies;

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use protocol::{bounds, operation_id};
use serde_json::{Map, Value, json};

use crate::{
    body,
    route::{Access, Bodies, Route},
    routes,
};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| build().to_string());

pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], DOCUMENT.as_str()).into_response()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// The schemas of the messages, with the bounds of their fields.
fn schemas() -> Value {
    let mut schemas: Value = serde_json::from_str(protocol::JSON_SCHEMAS).unwrap_or_default();
    for (message, fields) in bounds::FIELDS {
        if let Some(properties) = schemas.get_mut(message).and_then(|schema| schema.get_mut("properties")) {
            bodies::bound_fields(properties, fields);
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
fn price(route: &Route) -> String {
    let fixed = (route.cost > 1).then(|| format!(" Counts as {} requests.", route.cost));
    let by_size =
        route.cost_every.map(|per| format!(" Counts as one more request for every {per} items of its list."));
    fixed.into_iter().chain(by_size).collect()
}

fn too_large() -> String {
    format!(
        "the body exceeds {} bytes (without a valid token {}, for administrators api.maxBodyBytes)",
        body::USER,
        body::OPEN
    )
}

fn description(route: &Route) -> String {
    let mut description = route.description.to_owned();
    if let Some(list) = route.needs {
        description.push_str(&format!(" `{list}` is required, and can be empty."));
    }
    if route.access == Access::Admin {
        description.push_str(" For administrators.");
    }
    if route.audited {
        description.push_str(" Calls by administrators are recorded in the audit log.");
    }
    if route.beyond {
        description.push_str(" Not in OpenIM v3.8.");
    }
    description.push_str(&price(route));
    description
}

/// The part of a POST that others do not have: headers, body, and the responses of all calls.
fn posted(operation: &mut Value, [request, response]: [Value; 2]) {
    let mut operation_id = header_parameter("operationID", "identifies the call in logs; visible ASCII");
    operation_id["schema"]["maxLength"] = operation_id::MAX_BYTES.into();
    operation["parameters"] = json!([operation_id]);
    operation["requestBody"] =
        json!({ "required": true, "content": { "application/json": { "schema": request } } });
    let content = json!({ "application/json": { "schema": envelope(response) } });
    let retry = json!({ "retry-after": { "schema": { "type": "string" } } });
    operation["responses"] = json!({
        "200": { "description": "success, and every error of the API", "content": content },
        "400": { "description": "the body is shorter than its content length", "content": { "text/plain": {} } },
        "408": { "description": "the body took too long", "content": { "text/plain": {} } },
        "413": { "description": too_large(), "content": { "text/plain": {} } },
        "429": { "description": "rate limit of the user or address exceeded",
            "headers": retry, "content": content },
        "503": { "description": "the server's memory budget is exhausted: retry later", "headers": retry,
            "content": { "application/json": content["application/json"], "text/plain": {} } },
    });
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.path.trim_start_matches('/').replace('/', "_").replace(['*', '{', '}'], ""),
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "description": description(route),
        "parameters": [],
    });
    match &route.bodies {
        Bodies::Messages(names) => posted(&mut operation, names.each_ref().map(|name| reference(name))),
        Bodies::Schemas(schemas) => posted(&mut operation, schemas()),
        Bodies::Answers(answers) => operation["responses"] = answers(),
    }
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.extend(route.parameters.iter().map(|parameter| parameter()));
    }
    if route.access != Access::Open {
        operation["security"] = json!([{ "token": [] }]);
    }
    operation
}

fn build() -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in routes::all() {
        let method = if route.is_post() { "post" } else { "get" };
        let path = route.path.replace("{*", "{");
        paths.entry(path).or_default().insert(method.to_owned(), operation(&route));
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
    fn every_route_is_described() {
        let document = build();
        let routes = routes::all();
        assert_eq!(document["paths"].as_object().unwrap().len(), routes.len());
        for route in &routes {
            let path = route.path.replace("{*", "{");
            let described = &document["paths"][&path][if route.is_post() { "post" } else { "get" }];
            let text = described["description"].as_str().unwrap();
            assert!(text.starts_with(route.description), "{path}");
            assert_eq!(text.contains("For administrators."), route.access == Access::Admin, "{path}");
            assert_eq!(described["security"].is_array(), route.access != Access::Open, "{path}");
            assert!(described["responses"].as_object().is_some_and(|answers| !answers.is_empty()), "{path}");
        }
        // These are refused whatever their body is; the others have one that is described.
        let empty = |route: &&Route| matches!(route.bodies, Bodies::Schemas(of) if of() == bodies::nothing());
        let refused: BTreeSet<&str> = routes.iter().filter(empty).map(|route| route.path).collect();
        let expected =
            ["/config/set_config", "/config/reset_config", "/config/set_enable_config_manager", "/restart"];
        assert_eq!(refused, BTreeSet::from(expected));
    }

    #[test]
    fn what_is_refused_or_never_shown_is_described_so() {
        let routes = routes::all();
        let says = |path: &str, text: &str| {
            let route = routes.iter().find(|route| route.path == path).unwrap();
            assert!(route.description.contains(text), "{path}: {}", route.description);
        };
        for path in
            ["/config/set_config", "/config/reset_config", "/config/set_enable_config_manager", "/restart"]
        {
            says(path, "Always refused (500)");
        }
        says("/friend/get_incremental_blacks", "Always refused (1001)");
        says("/user/get_users_online_token_detail", "`token` is always empty");
        assert!(routes.iter().all(|route| !route.description.to_lowercase().contains("etcd")));
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
