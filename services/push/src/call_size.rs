//! The size of one call to a gateway: limited in bytes, whatever the size of a batch.

use prost::Message;
use protocol::internal::{GatewayPush, GatewayPushReq};

use crate::receivers::Audience;

/// Bytes of a call. Only a single message that is larger makes a larger one.
const CALL_BYTES: usize = 4 << 20;
/// Largest call that is tried, below what services take from each other (32 MiB).
pub(crate) const LARGEST_CALL: usize = 30 << 20;
/// What a field of a list costs beside its bytes.
const FIELD_COST: usize = 8;

/// The calls for these messages, in order.
pub(crate) fn calls(pushes: Vec<GatewayPush>) -> Vec<GatewayPushReq> {
    let mut calls: Vec<GatewayPushReq> = Vec::new();
    let mut room = 0;
    for push in pushes.into_iter().flat_map(divided) {
        let size = push.encoded_len() + FIELD_COST;
        match calls.last_mut().filter(|_| size <= room) {
            Some(call) => call.pushes.push(push),
            None => {
                calls.push(GatewayPushReq { pushes: vec![push] });
                room = CALL_BYTES;
            }
        }
        room = room.saturating_sub(size);
    }
    calls
}

/// A message with more receivers than fit into a call, for some of them at a time.
fn divided(mut push: GatewayPush) -> Vec<GatewayPush> {
    if push.encoded_len() <= CALL_BYTES {
        return vec![push];
    }
    let users = std::mem::take(&mut push.user_ids);
    let bare = push.encoded_len();
    let mut parts = vec![push.clone()];
    // The first part carries the audience.
    push.audience.clear();
    push.except.clear();
    let mut size = bare;
    for user in users {
        let cost = user.len() + FIELD_COST;
        let part = match parts.last_mut().filter(|part| size + cost <= CALL_BYTES || part.user_ids.is_empty())
        {
            Some(part) => part,
            None => {
                size = bare;
                parts.push(push.clone());
                let Some(part) = parts.last_mut() else { continue };
                part
            }
        };
        size += cost;
        part.user_ids.push(user);
    }
    parts
}

/// The same with every receiver named.
pub(crate) fn spelled_out(request: &GatewayPushReq, audiences: &[&Audience]) -> Vec<GatewayPush> {
    let mut pushes = request.pushes.clone();
    for push in &mut pushes {
        let audience = audiences.iter().find(|audience| audience.name == push.audience);
        let members = audience.iter().flat_map(|audience| audience.users.iter());
        push.user_ids.extend(members.filter(|user| **user != push.except).cloned());
        push.audience.clear();
    }
    pushes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(number: usize, bytes: usize, users: usize) -> GatewayPush {
        GatewayPush {
            operation_id: number.to_string(),
            msg_data: vec![0; bytes].into(),
            user_ids: (0..users).map(|user| format!("user{user:016}")).collect(),
            audience: "g/1/2".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_batch_of_any_size_is_told_in_small_calls_and_in_order() {
        // A thousand messages for a group of nearly two thousand.
        let pushes: Vec<_> = (0..1000).map(|number| push(number, 300, 1900)).collect();
        let calls = calls(pushes.clone());
        assert!(calls.len() > 1);
        assert!(calls.iter().all(|call| call.encoded_len() <= CALL_BYTES));
        let told: Vec<_> = calls.into_iter().flat_map(|call| call.pushes).collect();
        assert_eq!(told, pushes);
    }

    #[test]
    fn few_messages_are_one_call_and_a_large_one_is_alone() {
        assert!(calls(vec![]).is_empty());
        assert_eq!(calls((0..100).map(|number| push(number, 300, 2)).collect()).len(), 1);
        let large = calls(vec![push(0, 1, 1), push(1, CALL_BYTES + 1, 1), push(2, 1, 1)]);
        assert_eq!(large.len(), 3);
        assert_eq!(large[1].pushes.len(), 1);
    }

    #[test]
    fn many_receivers_are_told_some_at_a_time() {
        let whole = push(7, 1 << 20, 300_000);
        let calls = calls(vec![whole.clone()]);
        assert!(calls.len() > 1 && calls.iter().all(|call| call.encoded_len() <= CALL_BYTES));
        let parts: Vec<_> = calls.into_iter().flat_map(|call| call.pushes).collect();
        assert!(parts.iter().all(|part| part.msg_data == whole.msg_data && part.operation_id == "7"));
        assert_eq!(parts.iter().filter(|part| !part.audience.is_empty()).count(), 1);
        let users: Vec<_> = parts.into_iter().flat_map(|part| part.user_ids).collect();
        assert_eq!(users, whole.user_ids);
    }
}
