//! The calling side: balanced channels that follow discovery, and direct channels to one gateway.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use config::{Config, DiscoveryKind, Service};
use parking_lot::Mutex;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result,
    internal::{Call, Reply},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::{Channel, Endpoint, channel::Change};

use crate::{Context, InternalKey, server::MAX_MESSAGE_BYTES};

const CALL_DEADLINE: Duration = Duration::from_secs(10);
const DISCOVERY_PERIOD: Duration = Duration::from_secs(2);
/// A message whose receiver cannot be connected to waits this long for discovery to bring another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One service, by name.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    service: Service,
    key: InternalKey,
}

impl Client {
    /// Calls a method and waits for its answer, at most ten seconds.
    ///
    /// # Errors
    /// The service's own error, or `Internal` when it cannot be reached: then the outcome is unknown.
    pub async fn call<Req: Message, Resp: Message + Default>(
        &self,
        context: &Context,
        method: &str,
        request: &Req,
    ) -> Result<Resp> {
        let payload = self.call_raw(context, method, request.encode_to_vec().into()).await?;
        Resp::decode(payload)
            .map_err(|error| Error::internal(format!("{method} answered what does not decode: {error}")))
    }

    /// [`Client::call`] for bytes that are already encoded.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_raw(&self, context: &Context, method: &str, payload: Bytes) -> Result<Bytes> {
        let name = self.service.name();
        let call = Call {
            caller: Some(context.caller.clone()),
            operation_id: context.operation_id.clone(),
            payload,
            mac: self.key.sign(&context.caller, &context.operation_id),
        };
        let path =
            http::uri::PathAndQuery::try_from(format!("/openim.{name}/{method}")).map_err(Error::internal)?;
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let answer = timeout(CALL_DEADLINE, async {
            grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
            grpc.unary(tonic::Request::new(call), path, tonic_prost::ProstCodec::<Call, Reply>::default())
                .await
        });
        let reply = match answer.await {
            Err(_elapsed) => {
                return Err(Error::internal(format!("service {name} did not answer {method} within 10 s")));
            }
            Ok(Err(status)) => {
                return Err(Error::internal(format!("service {name}, {method}: {}", status.message())));
            }
            Ok(Ok(response)) => response.into_inner(),
        };
        match reply.err_code {
            0 => Ok(reply.payload),
            code => Err(ErrorCode::from_number(code).with(reply.err_dlt)),
        }
    }
}

/// All services, followed through discovery, and every single gateway.
#[derive(Clone)]
pub struct Peers {
    clients: Arc<HashMap<Service, Client>>,
    key: InternalKey,
    direct: Arc<Mutex<HashMap<String, Client>>>,
    gateways: watch::Receiver<HashSet<SocketAddr>>,
}

impl Peers {
    /// Starts following discovery; tasks end with `stop`.
    pub fn start(config: &Config, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let key = InternalKey::derive(&config.secret);
        let (gateways_sender, gateways) = watch::channel(HashSet::new());
        let mut gateways_sender = Some(gateways_sender);
        let clients = Service::ALL.into_iter().map(|service| {
            let (channel, changes) = Channel::balance_channel(64);
            let found = if service == Service::Gateway { gateways_sender.take() } else { None };
            tasks.spawn(follow(target(config, service), changes, found, stop.clone()));
            (service, Client { channel, service, key: key.clone() })
        });
        Self { clients: Arc::new(clients.collect()), key, direct: Arc::default(), gateways }
    }

    /// A service, balanced over its instances.
    pub fn get(&self, service: Service) -> &Client {
        // `start` fills every variant.
        self.clients.get(&service).unwrap_or_else(|| unreachable!("every service has a client"))
    }

    /// The RPC addresses of all gateways discovery knows.
    pub fn gateways(&self) -> Vec<String> {
        self.gateways.borrow().iter().map(ToString::to_string).collect()
    }

    /// One gateway by its RPC address (`ip:port`).
    ///
    /// # Errors
    /// When the address is malformed.
    pub fn gateway(&self, address: &str) -> Result<Client> {
        if let Some(client) = self.direct.lock().get(address) {
            return Ok(client.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(Error::internal)?;
        let client = Client {
            channel: tuned(endpoint).connect_lazy(),
            service: Service::Gateway,
            key: self.key.clone(),
        };
        let mut direct = self.direct.lock();
        if direct.len() > 1024 {
            direct.clear();
        }
        direct.insert(address.to_owned(), client.clone());
        Ok(client)
    }
}

fn target(config: &Config, service: Service) -> String {
    let port = config.rpc_port(service);
    match config.discovery.enable {
        DiscoveryKind::Static => format!("{}:{port}", config.discovery.host),
        DiscoveryKind::Kubernetes => format!("{}{}:{port}", config.discovery.service_prefix, service.name()),
    }
}

fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
}

/// Resolves `target` again and again and tells the channel what came and went.
async fn follow(
    target: String,
    changes: tokio::sync::mpsc::Sender<Change<SocketAddr, Endpoint>>,
    found: Option<watch::Sender<HashSet<SocketAddr>>>,
    stop: CancellationToken,
) {
    let mut known: HashSet<SocketAddr> = HashSet::new();
    loop {
        // A failed look-up keeps what is known: the name server may be away while the services are well.
        if let Ok(addresses) = tokio::net::lookup_host(&target).await {
            let seen: HashSet<SocketAddr> = addresses.collect();
            for gone in known.difference(&seen) {
                if changes.send(Change::Remove(*gone)).await.is_err() {
                    return;
                }
            }
            for new in seen.difference(&known) {
                let Ok(endpoint) = Endpoint::from_shared(format!("http://{new}")) else { continue };
                if changes.send(Change::Insert(*new, tuned(endpoint))).await.is_err() {
                    return;
                }
            }
            if let Some(sender) = &found {
                sender.send_replace(seen.clone());
            }
            known = seen;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(DISCOVERY_PERIOD) => {}
        }
    }
}
