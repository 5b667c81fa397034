//! The commands of a client (websocket.md 5).

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use config::Service;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result,
    frame::{MAX_RESPONSE_BYTES, Request, Response, command},
    msg::SendMsgReq,
    sdkws::{MsgData, SetAppBackgroundStatusReq, SubUserOnlineStatus},
};

use crate::{Gateway, handshake, presence, registry::Connection};

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

/// Runs a request and encodes its answer.
pub(crate) async fn answer(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    request: Request,
) -> (Bytes, After) {
    let command = request.req_identifier;
    let mut response = Response {
        req_identifier: command,
        msg_incr: request.msg_incr,
        operation_id: request.operation_id,
        ..Default::default()
    };
    match run(gateway, connection, command, &response.operation_id, request.data).await {
        Ok(data) => response.data = data,
        Err(error) => fail(&mut response, &error),
    }
    let mut frame = response.encode(connection.encoding);
    if frame.len() > MAX_RESPONSE_BYTES {
        response.data = Bytes::new();
        fail(&mut response, &Error::args("the answer exceeds 1 MiB; ask for fewer messages"));
        frame = response.encode(connection.encoding);
    }
    (frame, if command == command::LOGOUT { After::Close } else { After::Stay })
}

fn fail(response: &mut Response, error: &Error) {
    tracing::debug!(operation_id = response.operation_id, command = response.req_identifier, %error, "request.failed");
    response.err_code = i64::from(error.code.number());
    response.err_msg = error.code.name().to_owned();
}

fn decode<M: Message + Default>(data: Bytes) -> Result<M> {
    M::decode(data).map_err(|error| Error::args(format!("data does not decode: {error}")))
}

async fn run(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    command: i64,
    operation_id: &str,
    data: Bytes,
) -> Result<Bytes> {
    let context = handshake::caller(gateway, connection, operation_id);
    let messages = gateway.peers.get(Service::Msg);
    match command {
        command::SEND_MSG => {
            let mut message: MsgData = decode(data)?;
            message.sender_platform_id = connection.platform.number();
            let request = SendMsgReq { msg_data: Some(message) };
            messages.call_raw(&context, "sendMsg", request.encode_to_vec().into()).await
        }
        command::GET_NEWEST_SEQ => messages.call_raw(&context, "GetMaxSeq", data).await,
        command::PULL_BY_RANGE => messages.call_raw(&context, "PullMessageBySeqs", data).await,
        command::PULL_BY_SEQS => messages.call_raw(&context, "GetSeqMessage", data).await,
        command::GET_MAX_READ_SEQ => {
            messages.call_raw(&context, "GetConversationsHasReadAndMaxSeq", data).await
        }
        command::PULL_LAST_MESSAGE => messages.call_raw(&context, "GetLastMessage", data).await,
        command::LOGOUT => {
            gateway.peers.get(Service::Third).call_raw(&context, "DelUserPushToken", data).await
        }
        command::SET_BACKGROUND => {
            let request: SetAppBackgroundStatusReq = decode(data)?;
            connection.background.store(request.is_background, Ordering::Relaxed);
            Ok(Bytes::new())
        }
        command::SUBSCRIBE_PRESENCE => {
            let request: SubUserOnlineStatus = decode(data)?;
            Ok(presence::subscribe(gateway, connection, &request).await?.encode_to_vec().into())
        }
        _ => Err(ErrorCode::Args.with("signalling is not supported")),
    }
}
