//! Connections without a socket, for tests: what would be written to one is taken from its queue. Never part of a release.

use std::sync::{Arc, atomic::AtomicBool};

use bytes::Bytes;
use model::platform::Platform;
use protocol::frame::{Codec, Encoding, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Gateway,
    outbox::{Outbound, Outbox},
    registry::Connection,
};

const ENCODING: Encoding = Encoding { codec: Codec::Json, gzip: false };
const QUEUE_BYTES: usize = 2 << 20;

/// An open connection.
pub struct Socket {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
}

impl Gateway {
    /// Opens a connection of a user, as after its handshake.
    pub fn open(self: &Arc<Self>, user: &str) -> Socket {
        let connection = Arc::new(Connection {
            id: model::random_id(),
            user: user.to_owned(),
            platform: Platform::WEB,
            address: [127, 0, 0, 1].into(),
            token: String::new(),
            token_digest: String::new(),
            encoding: ENCODING,
            background: AtomicBool::new(false),
            opened: Instant::now(),
            opened_ms: 0,
            outbox: Outbox::new(QUEUE_BYTES, self.budgets.queues.clone()),
            cut: CancellationToken::new(),
            watches: parking_lot::Mutex::default(),
        });
        self.registry.add(connection.clone());
        Socket { gateway: self.clone(), connection }
    }
}

impl Socket {
    /// The data of the next frame that is pushed; `None` when the connection is closed.
    pub async fn next(&self) -> Option<Bytes> {
        let next = tokio::select! {
            biased;
            () = self.connection.cut.cancelled() => return None,
            next = self.connection.outbox.take() => next,
        };
        match next {
            Outbound::Frame(frame) => Some(Response::decode(frame, ENCODING, QUEUE_BYTES).ok()?.data),
            Outbound::Kick(_) | Outbound::Close(_) => None,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.connection.outbox.close();
        self.gateway.registry.remove(&self.connection);
    }
}
