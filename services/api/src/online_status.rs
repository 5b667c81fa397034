//! `/user/get_users_online_status` and `get_users_online_token_detail`: live connections over all gateways.

use axum::{Extension, body::Bytes, extract::State, response::Response};
use model::platform::Platform;
use protocol::{Result, lists, msggateway::GetUsersOnlineStatusReq};
use rpc::Context;
use serde::Serialize;

use crate::{Api, envelope, route::parse};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(rename = "userID")]
    user_id: String,
    status: i32,
    detail_platform_status: Option<Vec<Connection>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    #[serde(rename = "platformID")]
    platform_id: i32,
    platform: &'static str,
    #[serde(rename = "connID")]
    conn_id: String,
    is_background: bool,
    token: String,
}

pub(crate) async fn users_online(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    envelope::answer_of(collect(&api, &context, &body).await)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserTokens {
    #[serde(rename = "userID")]
    user_id: String,
    status: i32,
    single_platform_token: Option<Vec<PlatformTokens>>,
}

/// One platform of a user. Tokens are not shown: they allow impersonation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlatformTokens {
    platform: &'static str,
    #[serde(rename = "platformID")]
    platform_id: i32,
    token: Vec<String>,
    total: usize,
}

pub(crate) async fn token_detail(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    body: Bytes,
) -> Response {
    let answer = collect(&api, &context, &body).await;
    envelope::answer_of(answer.map(|users| users.into_iter().map(by_platform).collect::<Vec<_>>()))
}

fn by_platform(user: User) -> UserTokens {
    let mut platforms: Vec<PlatformTokens> = Vec::new();
    for open in user.detail_platform_status.unwrap_or_default() {
        let known = platforms.iter_mut().find(|known| known.platform_id == open.platform_id);
        match known {
            Some(known) => known.total += 1,
            None => platforms.push(PlatformTokens {
                platform: open.platform,
                platform_id: open.platform_id,
                token: vec![],
                total: 1,
            }),
        }
    }
    let single_platform_token = (!platforms.is_empty()).then_some(platforms);
    UserTokens { user_id: user.user_id, status: user.status, single_platform_token }
}

async fn collect(api: &Api, context: &Context, body: &[u8]) -> Result<Vec<User>> {
    context.require_admin()?;
    let mut request: GetUsersOnlineStatusReq = parse(body)?;
    lists::distinct_some("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
    let mut users: Vec<User> = request
        .user_ids
        .iter()
        .map(|id| User { user_id: id.clone(), status: 0, detail_platform_status: None })
        .collect();
    let (answers, failure) = api.peers.every_gateway(context, &request).await;
    if let Some(error) = failure {
        // Users on an unreachable gateway do not get messages either.
        tracing::warn!(%error, "online_status.partial");
    }
    for answer in answers {
        for found in answer.success_result {
            let Some(user) = users.iter_mut().find(|user| user.user_id == found.user_id) else { continue };
            user.status = 1;
            user.detail_platform_status.get_or_insert_default().extend(
                found.detail_platform_status.into_iter().map(|open| Connection {
                    platform_id: open.platform_id,
                    platform: Platform::parse(open.platform_id).map_or("", Platform::name),
                    conn_id: open.conn_id,
                    is_background: open.is_background,
                    token: String::new(),
                }),
            );
        }
    }
    Ok(users)
}
