//! Bodies of REST requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use protocol::{auth, conversation, go_json, group, msg, relation, sdkws, third, user};
use serde::{Serialize, de::DeserializeOwned};

/// What is read can go to a service, and is the same there.
fn survives<M: Message + Default + Serialize + DeserializeOwned + PartialEq>(body: &[u8]) {
    let Ok(request) = go_json::from_slice::<M>(body) else { return };
    let received = M::decode(request.encode_to_vec().as_slice()).expect("what was sent is read");
    // NaN cannot be in JSON, so equality is reflexive.
    assert!(received == request);
    let text = go_json::to_text(&request);
    assert!(go_json::from_slice::<M>(text.as_bytes()).is_ok(), "{text}");
}

macro_rules! bodies {
    ($which:expr, $body:expr, $($kind:ty),* $(,)?) => {{
        let each: &[fn(&[u8])] = &[$(survives::<$kind>),*];
        each[$which % each.len()]($body);
    }};
}

fuzz_target!(|input: &[u8]| {
    let Some((which, body)) = input.split_first() else { return };
    bodies!(
        usize::from(*which),
        body,
        auth::GetUserTokenReq,
        conversation::SetConversationsReq,
        conversation::UpdateConversationReq,
        group::CreateGroupReq,
        group::InviteUserToGroupReq,
        group::SetGroupInfoExReq,
        group::SetGroupMemberInfoReq,
        msg::DeleteMsgsReq,
        msg::SearchMessageReq,
        relation::ImportFriendReq,
        relation::UpdateFriendsReq,
        sdkws::PullMessageBySeqsReq,
        third::InitiateMultipartUploadReq,
        third::UploadLogsReq,
        user::UpdateUserInfoExReq,
        user::UserRegisterReq,
    );
});
