//! Rows to wire messages, with profiles filled in.

use std::collections::{HashMap, HashSet};

use protocol::{
    Result,
    sdkws::{BlackInfo, FriendInfo, FriendRequest},
};
use store::{Store, blacks::Black, friends::Friend, millis, requests, users::User};

async fn profiles(store: &Store, ids: impl Iterator<Item = String>) -> Result<HashMap<String, User>> {
    let ids: Vec<String> = ids.collect::<HashSet<_>>().into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(store.users(&ids).await?.into_iter().map(|user| (user.user_id.clone(), user)).collect())
}

pub(crate) async fn friends(store: &Store, rows: Vec<Friend>) -> Result<Vec<FriendInfo>> {
    let users = profiles(store, rows.iter().map(|row| row.friend_user_id.clone())).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(FriendInfo {
                friend_user: Some(users.get(&row.friend_user_id)?.to_info()),
                owner_user_id: row.owner_user_id,
                remark: row.remark,
                create_time: millis(row.create_time),
                add_source: row.add_source,
                operator_user_id: row.operator_user_id,
                ex: row.ex,
                is_pinned: row.is_pinned,
            })
        })
        .collect())
}

pub(crate) async fn blacks(store: &Store, rows: Vec<Black>) -> Result<Vec<BlackInfo>> {
    let users = profiles(store, rows.iter().map(|row| row.block_user_id.clone())).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(BlackInfo {
                black_user_info: Some(users.get(&row.block_user_id)?.to_public()),
                owner_user_id: row.owner_user_id,
                create_time: millis(row.create_time),
                add_source: row.add_source,
                operator_user_id: row.operator_user_id,
                ex: row.ex,
            })
        })
        .collect())
}

pub(crate) fn request(
    row: &requests::FriendRequest,
    from: Option<&User>,
    to: Option<&User>,
) -> FriendRequest {
    let name = |user: Option<&User>| user.map(|user| user.nickname.clone()).unwrap_or_default();
    let face = |user: Option<&User>| user.map(|user| user.face_url.clone()).unwrap_or_default();
    FriendRequest {
        from_user_id: row.from_user_id.clone(),
        from_nickname: name(from),
        from_face_url: face(from),
        to_user_id: row.to_user_id.clone(),
        to_nickname: name(to),
        to_face_url: face(to),
        handle_result: row.handle_result,
        req_msg: row.req_msg.clone(),
        create_time: millis(row.create_time),
        handler_user_id: row.handler_user_id.clone(),
        handle_msg: row.handle_msg.clone(),
        handle_time: millis(row.handle_time),
        ex: row.ex.clone(),
    }
}

pub(crate) async fn requests(
    store: &Store,
    rows: Vec<requests::FriendRequest>,
) -> Result<Vec<FriendRequest>> {
    let ids = rows.iter().flat_map(|row| [row.from_user_id.clone(), row.to_user_id.clone()]);
    let users = profiles(store, ids).await?;
    Ok(rows
        .iter()
        .map(|row| request(row, users.get(&row.from_user_id), users.get(&row.to_user_id)))
        .collect())
}
