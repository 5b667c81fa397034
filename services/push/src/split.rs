//! Splits the call to one gateway if it is too long: a message to a group names every receiver.

use prost::Message;
use protocol::internal::GatewayPush;

/// Largest call to a gateway, in bytes; calls of more than 32 MiB are refused, and a gateway that refuses would be taken for one that is
/// gone.
const MAX_CALL_BYTES: usize = 8 << 20;

/// The pushes of as many calls as are needed, in order.
pub(crate) fn calls(pushes: Vec<GatewayPush>) -> Vec<Vec<GatewayPush>> {
    let mut calls = Vec::new();
    let mut call = Vec::new();
    let mut bytes = 0;
    for push in pushes {
        let more = push.encoded_len();
        if bytes + more > MAX_CALL_BYTES && !call.is_empty() {
            calls.push(std::mem::take(&mut call));
            bytes = 0;
        }
        bytes += more;
        call.push(push);
    }
    if !call.is_empty() {
        calls.push(call);
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_messages_to_a_group_of_two_thousand_fit_into_calls() {
        let users: Vec<String> = (0..1900).map(|number| format!("user-{number:015}")).collect();
        let push = |number: usize| GatewayPush {
            operation_id: number.to_string(),
            user_ids: users.clone(),
            msg_data: vec![b'x'; 400].into(),
            ..Default::default()
        };
        let calls = calls((0..1000).map(push).collect());
        let longest = calls.iter().map(|call| call.iter().map(GatewayPush::encoded_len).sum::<usize>()).max();
        assert!(longest <= Some(MAX_CALL_BYTES) && calls.len() > 4, "{longest:?}");
        let order: Vec<&str> = calls.iter().flatten().map(|push| push.operation_id.as_str()).collect();
        assert_eq!(order, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_is_too_long_by_itself_goes_alone() {
        let push = |bytes: usize| GatewayPush { msg_data: vec![0; bytes].into(), ..Default::default() };
        let calls = calls(vec![push(1), push(9 << 20), push(1)]);
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(super::calls(vec![]).is_empty());
    }
}
