//! `/jssdk/…`: conversations with everything that a small client shows, in one call. They always act for the caller.

use std::collections::HashMap;

use axum::{Extension, body::Bytes, extract::State, http::HeaderMap, response::Response};
use protocol::{
    Error, Result,
    content_type::session,
    conversation::{Conversation, GetConversationsReq},
    group::GetGroupsInfoReq,
    jssdk, lists,
    msg::{
        GetConversationsHasReadAndMaxSeqReq, GetConversationsHasReadAndMaxSeqResp, GetLastMessageReq, Seqs,
    },
    relation::{FriendInfoOnly, GetDesignatedFriendsReq},
    sdkws::{FriendInfo, GroupInfo, UserInfo},
    user::GetDesignateUsersReq,
};
use rpc::Context;

use crate::{Api, form::Form};

const MAX_ACTIVE: i64 = protocol::bounds::ACTIVE_CONVERSATIONS as i64;
const DEFAULT_ACTIVE: i64 = 100;

pub(crate) async fn conversations(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::of(&headers);
    let answer = async {
        let mut request: jssdk::GetConversationsReq = form.read(&body)?;
        lists::distinct_some("conversationIDs", &mut request.conversation_ids, MAX_ACTIVE as usize)?;
        let seqs = seqs_of(&api, &context, request.conversation_ids).await?;
        let unread_count = unread(&seqs);
        let conversations = describe(&api, &context, seqs).await?;
        Ok(jssdk::GetConversationsResp { unread_count, conversations })
    };
    form.answer(answer.await)
}

pub(crate) async fn active(
    State(api): State<Api>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::of(&headers);
    let answer = async {
        let request: jssdk::GetActiveConversationsReq = form.read(&body)?;
        let count = if request.count == 0 { DEFAULT_ACTIVE } else { request.count };
        if !(1..=MAX_ACTIVE).contains(&count) {
            return Err(Error::args(format!("count must be between 1 and {MAX_ACTIVE}")));
        }
        let found = seqs_of(&api, &context, vec![]).await?;
        let pinned = found.pinned_conversation_ids.clone();
        let unread_count = unread(&found);
        let mut seqs: Vec<(String, Seqs)> =
            found.seqs.into_iter().filter(|(_, seq)| seq.max_seq > 0).collect();
        seqs.sort_by_key(|(id, seq)| (!pinned.contains(id), -seq.max_seq_time));
        seqs.truncate(count as usize);
        let order: Vec<String> = seqs.iter().map(|(id, _)| id.clone()).collect();
        let chosen = GetConversationsHasReadAndMaxSeqResp {
            seqs: seqs.into_iter().collect(),
            pinned_conversation_ids: vec![],
        };
        let mut conversations = describe(&api, &context, chosen).await?;
        let place = |item: &jssdk::ConversationMsg| {
            let id = item.conversation.as_ref().map(|row| &row.conversation_id);
            order.iter().position(|known| Some(known) == id)
        };
        conversations.sort_by_key(place);
        Ok(jssdk::GetActiveConversationsResp { unread_count, conversations })
    };
    form.answer(answer.await)
}

async fn seqs_of(
    api: &Api,
    context: &Context,
    conversation_ids: Vec<String>,
) -> Result<GetConversationsHasReadAndMaxSeqResp> {
    let request = GetConversationsHasReadAndMaxSeqReq {
        user_id: context.user_id().to_owned(),
        conversation_ids,
        return_pinned: true,
    };
    api.peers.call(context, &request).await
}

fn unread(found: &GetConversationsHasReadAndMaxSeqResp) -> i64 {
    found.seqs.values().map(|seq| (seq.max_seq - seq.has_read_seq).max(0)).sum()
}

async fn describe(
    api: &Api,
    context: &Context,
    found: GetConversationsHasReadAndMaxSeqResp,
) -> Result<Vec<jssdk::ConversationMsg>> {
    let ids: Vec<String> = found.seqs.keys().cloned().collect();
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let user = context.user_id().to_owned();
    let request = GetConversationsReq { owner_user_id: user.clone(), conversation_ids: ids.clone() };
    let rows = api.peers.call(context, &request).await?;
    let request = GetLastMessageReq { user_id: user, conversation_ids: ids };
    let mut newest = api.peers.call(context, &request).await?;
    let people = People::of(api, context, &rows.conversations).await?;
    Ok(rows
        .conversations
        .into_iter()
        .map(|row| {
            let seq = found.seqs.get(&row.conversation_id);
            let single = row.conversation_type != session::GROUP;
            jssdk::ConversationMsg {
                last_msg: newest.msgs.remove(&row.conversation_id),
                user: people.users.get(&row.user_id).filter(|_| single).cloned(),
                friend: people.friends.get(&row.user_id).filter(|_| single).map(only),
                group: people.groups.get(&row.group_id).cloned(),
                max_seq: seq.map_or(0, |seq| seq.max_seq),
                read_seq: seq.map_or(0, |seq| seq.has_read_seq),
                conversation: Some(row),
            }
        })
        .collect())
}

/// Who and what the conversations are about.
struct People {
    users: HashMap<String, UserInfo>,
    friends: HashMap<String, FriendInfo>,
    groups: HashMap<String, GroupInfo>,
}

impl People {
    async fn of(api: &Api, context: &Context, rows: &[Conversation]) -> Result<Self> {
        let ids = |of: fn(&Conversation) -> &String| -> Vec<String> {
            let mut ids: Vec<String> = rows.iter().map(of).filter(|id| !id.is_empty()).cloned().collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let (peers, groups) = (ids(|row| &row.user_id), ids(|row| &row.group_id));
        let mut people = Self { users: HashMap::new(), friends: HashMap::new(), groups: HashMap::new() };
        if !peers.is_empty() {
            let request = GetDesignateUsersReq { user_ids: peers.clone() };
            let found = api.peers.call(context, &request).await?;
            people.users = found.users_info.into_iter().map(|user| (user.user_id.clone(), user)).collect();
            let request = GetDesignatedFriendsReq {
                owner_user_id: context.user_id().to_owned(),
                friend_user_ids: peers,
            };
            let found = api.peers.call(context, &request).await?;
            let by_id = |friend: FriendInfo| Some((friend.friend_user.as_ref()?.user_id.clone(), friend));
            people.friends = found.friends_info.into_iter().filter_map(by_id).collect();
        }
        if !groups.is_empty() {
            let request = GetGroupsInfoReq { group_ids: groups };
            let found = api.peers.call(context, &request).await?;
            people.groups =
                found.group_infos.into_iter().map(|group| (group.group_id.clone(), group)).collect();
        }
        Ok(people)
    }
}

fn only(friend: &FriendInfo) -> FriendInfoOnly {
    FriendInfoOnly {
        owner_user_id: friend.owner_user_id.clone(),
        friend_user_id: friend.friend_user.as_ref().map(|user| user.user_id.clone()).unwrap_or_default(),
        remark: friend.remark.clone(),
        create_time: friend.create_time,
        add_source: friend.add_source,
        operator_user_id: friend.operator_user_id.clone(),
        ex: friend.ex.clone(),
        is_pinned: friend.is_pinned,
    }
}
