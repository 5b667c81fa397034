//! The commands of a client (docs/protocol/websocket.md#commands).

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use budget::Held;
use bytes::Bytes;
use futures::FutureExt;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result,
    frame::{MAX_RESPONSE_BYTES, Request, Response, command},
    internal::RevokeTokenReq,
    msg::{GetConversationsHasReadAndMaxSeqReq, GetLastMessageReq, GetSeqMessageReq, SendMsgReq},
    push::DelUserPushTokenReq,
    sdkws::{GetMaxSeqReq, MsgData, PullMessageBySeqsReq, SetAppBackgroundStatusReq, SubUserOnlineStatus},
};
use rpc::Context;
use tracing::Instrument;

use crate::{
    Gateway, login, operation_id,
    registry::Connection,
    subscriptions,
    truncate::{BUDGETS, fit},
    whole_maps,
};

/// What happens to the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Stay,
    Close,
}

/// Whether a command exists; any other closes the connection.
pub(crate) fn is_known(command: i64) -> bool {
    (1001..=1007).contains(&command) || (2003..=2005).contains(&command)
}

/// Most that a pull answers, in bytes: what msg reads for one, and a message more.
const LARGEST_PULL: usize = 5 << 20;
/// How long a pull waits for room in memory. Its connection asks one thing at a time, so it waits for nobody else.
const ROOM: Duration = Duration::from_secs(5);
/// Requests and answers up to this are not counted, in bytes.
pub(crate) const SMALL: usize = 4 << 10;
/// Ids of presence requests that cost as much as one other request.
const PRESENCE_PER_TOKEN: f64 = 10.0;

/// Bytes of a request that reads which cost as much as one other request: it names some twenty conversations in them.
const READ_PER_TOKEN: f64 = 1024.0;
/// Bytes of a message that cost as much as one other request. A message of half a megabyte may be a frame of two kilobytes.
const SENT_PER_TOKEN: f64 = 65_536.0;

/// What a request takes from the connection's budget: one, and more for presence, which reads Redis for each user, and for reading or
/// sending much.
pub(crate) fn cost(request: &Request) -> f64 {
    match request.req_identifier {
        command::SUBSCRIBE_PRESENCE => {}
        command::GET_NEWEST_SEQ
        | command::PULL_BY_RANGE
        | command::PULL_BY_SEQS
        | command::GET_MAX_READ_SEQ
        | command::PULL_LAST_MESSAGE => return 1.0 + (request.data.len() as f64 / READ_PER_TOKEN).floor(),
        command::SEND_MSG => return 1.0 + (request.data.len() as f64 / SENT_PER_TOKEN).floor(),
        _ => return 1.0,
    }
    let ids = decode::<SubUserOnlineStatus>(request.data.clone())
        .map_or(0, |presence| presence.subscribe_user_id.len() + presence.unsubscribe_user_id.len());
    1.0 + ids as f64 / PRESENCE_PER_TOKEN
}

/// Runs a request and encodes its answer. A task of its own: it ends its work when its connection has ended. `held` is what the request takes
/// of the budget.
pub(crate) async fn answer(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    request: Request,
    held: Held,
) -> (Bytes, After) {
    let command = request.req_identifier;
    let trusted = operation_id::trusted(&request.operation_id).into_owned();
    let mut response = Response {
        req_identifier: command,
        msg_incr: request.msg_incr,
        operation_id: operation_id::echo(request.operation_id),
        ..Default::default()
    };
    let span =
        tracing::error_span!("request", request = command, operation_id = trusted, caller = connection.user);
    let running = run(&gateway, &connection, command, &trusted, request.data);
    let outcome = AssertUnwindSafe(with_room(&gateway, command, running)).catch_unwind();
    match outcome
        .instrument(span.clone())
        .await
        .unwrap_or_else(|_panic| Err(Error::internal("the request panicked")))
    {
        Ok(data) => response.data = whole_maps::whole(command, data),
        Err(error) => span.in_scope(|| fail(&mut response, &error)),
    }
    let mut frame = response.encode(connection.encoding);
    for budget in BUDGETS {
        if frame.len() <= MAX_RESPONSE_BYTES {
            break;
        }
        let Some(data) = fit(command, &response.data, budget) else { break };
        response.data = whole_maps::whole(command, data);
        frame = response.encode(connection.encoding);
    }
    if frame.len() > MAX_RESPONSE_BYTES {
        response.data = Bytes::new();
        let error = Error::args("the response exceeds 1 MiB; request fewer messages");
        span.in_scope(|| fail(&mut response, &error));
        frame = response.encode(connection.encoding);
    }
    drop(held);
    let frame = if frame.len() > SMALL { gateway.budgets.frames.hold_bytes(frame) } else { frame };
    (frame, if command == command::LOGOUT { After::Close } else { After::Stay })
}

/// Runs a request when there is room for its answer. The size of a pull's response is known only afterwards.
async fn with_room(
    gateway: &Gateway,
    command: i64,
    running: impl Future<Output = Result<Bytes>>,
) -> Result<Bytes> {
    let pulls =
        matches!(command, command::PULL_BY_RANGE | command::PULL_BY_SEQS | command::PULL_LAST_MESSAGE);
    if !pulls {
        return running.await;
    }
    let room = gateway.budgets.frames.take_within(LARGEST_PULL, ROOM).await;
    let _held = room.map_err(|_busy| Error::busy("this gateway"))?;
    running.await
}

fn fail(response: &mut Response, error: &Error) {
    tracing::debug!(%error, "request.failed");
    response.err_code = i64::from(error.code.number());
    response.err_msg = error.code.name().to_owned();
}

fn decode<M: Message + Default>(data: Bytes) -> Result<M> {
    M::decode(data).map_err(|error| Error::args(format!("data is invalid: {error}")))
}

/// Ends the token of a connection that logs out, where the configuration wants that.
async fn revoke(gateway: &Gateway, connection: &Connection, operation_id: &str) -> Result<()> {
    if !gateway.config.multi_login.logout_revokes {
        return Ok(());
    }
    let request = RevokeTokenReq {
        user_id: connection.user.clone(),
        token_digest: connection.token_digest.clone(),
        connection_id: connection.id.clone(),
    };
    let context = Context::system(operation_id);
    gateway.peers.call(&context, &request).await?;
    Ok(())
}

async fn run(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    command: i64,
    operation_id: &str,
    data: Bytes,
) -> Result<Bytes> {
    let context = login::caller(gateway, connection, operation_id);
    let peers = &gateway.peers;
    match command {
        command::SEND_MSG => {
            let mut message: MsgData = decode(data)?;
            message.sender_platform_id = connection.platform.number();
            let request = SendMsgReq { msg_data: Some(message) };
            peers.call_encoded::<SendMsgReq>(&context, request.encode_to_vec().into()).await
        }
        command::GET_NEWEST_SEQ => peers.call_encoded::<GetMaxSeqReq>(&context, data).await,
        command::PULL_BY_RANGE => peers.call_encoded::<PullMessageBySeqsReq>(&context, data).await,
        command::PULL_BY_SEQS => peers.call_encoded::<GetSeqMessageReq>(&context, data).await,
        command::GET_MAX_READ_SEQ => {
            peers.call_encoded::<GetConversationsHasReadAndMaxSeqReq>(&context, data).await
        }
        command::PULL_LAST_MESSAGE => peers.call_encoded::<GetLastMessageReq>(&context, data).await,
        command::LOGOUT => {
            let revoked = revoke(gateway, connection, operation_id).await;
            let forgotten = peers.call_encoded::<DelUserPushTokenReq>(&context, data).await;
            revoked.and(forgotten)
        }
        command::SET_BACKGROUND => {
            let request: SetAppBackgroundStatusReq = decode(data)?;
            connection.background.store(request.is_background, Ordering::Relaxed);
            Ok(Bytes::new())
        }
        command::SUBSCRIBE_PRESENCE => {
            let request: SubUserOnlineStatus = decode(data)?;
            Ok(subscriptions::subscribe(gateway, connection, &request).await?.encode_to_vec().into())
        }
        _ => Err(ErrorCode::Args.with("signalling is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use protocol::frame::{Codec, Encoding};

    use super::*;
    use crate::service::tests::{connect, gateway};

    #[test]
    fn presence_costs_by_the_number_of_users() {
        let presence = |count: usize| Request {
            req_identifier: command::SUBSCRIBE_PRESENCE,
            data: SubUserOnlineStatus { subscribe_user_id: vec!["u".into(); count], ..Default::default() }
                .encode_to_vec()
                .into(),
            ..Default::default()
        };
        assert_eq!((cost(&presence(0)), cost(&presence(1500))), (1.0, 151.0));
        assert_eq!(cost(&Request { req_identifier: command::SEND_MSG, ..presence(1500) }), 1.0);
    }

    #[test]
    fn reading_costs_by_how_much_is_asked_for() {
        for (command, bytes, expected) in [
            (command::PULL_BY_RANGE, 200, 1.0),
            (command::GET_MAX_READ_SEQ, 40 << 10, 41.0),
            (command::SEND_MSG, 40 << 10, 1.0),
            (command::SET_BACKGROUND, 2, 1.0),
        ] {
            let request =
                Request { req_identifier: command, data: vec![0; bytes].into(), ..Default::default() };
            assert_eq!(cost(&request), expected, "{command}");
        }
    }

    #[test]
    fn sending_costs_by_how_much_is_sent() {
        for (bytes, expected) in [(200, 1.0), (65_535, 1.0), (65_536, 2.0), (640 << 10, 11.0)] {
            let request = Request {
                req_identifier: command::SEND_MSG,
                data: vec![0; bytes].into(),
                ..Default::default()
            };
            assert_eq!(cost(&request), expected, "{bytes}");
        }
    }

    #[tokio::test]
    async fn an_answer_echoes_the_clients_ids() {
        let gateway = gateway();
        let connection = connect(&gateway, "a");
        let huge = "x".repeat(1 << 20);
        for (theirs, echoed) in [("1795", "1795"), ("a\nb", "a\nb"), (huge.as_str(), &huge[..1024])] {
            let request = Request {
                req_identifier: command::SEND_SIGNAL,
                msg_incr: "u_1".into(),
                operation_id: theirs.into(),
                ..Default::default()
            };
            let (frame, after) =
                answer(gateway.0.clone(), connection.clone(), request, gateway.budgets.frames.nothing())
                    .await;
            assert_eq!(after, After::Stay);
            let encoding = Encoding { codec: Codec::Json, gzip: false };
            let answer = Response::decode(frame, encoding, 1 << 20).unwrap();
            assert_eq!((answer.operation_id.as_str(), answer.msg_incr.as_str()), (echoed, "u_1"));
            assert_eq!(answer.err_code, 1001);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_without_room_is_told_to_come_again_and_other_requests_are_answered() {
        let gateway = gateway();
        let connection = connect(&gateway, "a");
        let _all = gateway.budgets.frames.take(64 << 20).unwrap();
        let ask = async |req_identifier: i64| {
            let request = Request { req_identifier, ..Default::default() };
            let held = gateway.budgets.frames.nothing();
            let (frame, _) = answer(gateway.0.clone(), connection.clone(), request, held).await;
            let encoding = Encoding { codec: Codec::Json, gzip: false };
            Response::decode(frame, encoding, 1 << 20).unwrap().err_code
        };
        assert_eq!((ask(command::PULL_BY_RANGE).await, ask(command::SEND_SIGNAL).await), (429, 1001));
    }
}
