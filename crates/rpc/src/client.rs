//! The calling side: balanced channels that follow discovery, and direct channels to one gateway.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use config::{Config, Service};
use parking_lot::Mutex;
use prost::Message;
use protocol::{
    Error, ErrorCode, Request, Result,
    internal::{Call, Reply},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::{Channel, Endpoint};

use crate::{
    Context, InternalKey,
    discovery::{self, Found, Listed},
    method::service_of,
    server::{MAX_MESSAGE_BYTES, is_busy},
    tls::{Tls, endpoint},
};

const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// A connection to a gateway that answers no ping is given up after this and as long again: a slow gateway answers, one that is gone without
/// a word does not, and must not hold up its callers.
const GATEWAY_PING: Duration = Duration::from_secs(2);
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// A message whose receiver cannot be connected to waits this long for discovery to bring another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// So long a call that met an instance that could not be connected to looks for another one.
const OTHERS: Duration = Duration::from_secs(1);
const OTHERS_PAUSE: Duration = Duration::from_millis(20);
/// Delay before retrying a busy service, while others are tried.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// Where calls go.
#[derive(Clone)]
enum Line {
    Grpc(Channel),
    /// To services in this process, without a network between.
    #[cfg(debug_assertions)]
    Local(Arc<dyn Local>, String),
}

/// Services that tests call without a network.
#[cfg(debug_assertions)]
#[async_trait::async_trait]
pub trait Local: Send + Sync + 'static {
    /// Calls a method of the instance at an address; an empty one: any.
    async fn call(
        &self,
        context: &Context,
        place: (Service, &str),
        method: &str,
        payload: Bytes,
    ) -> Result<Bytes>;
}

/// One service, or one instance of it.
#[derive(Clone)]
pub struct Client {
    line: Line,
    service: Service,
    key: InternalKey,
    /// Whether the channel may have other instances of the service.
    is_balanced: bool,
}

/// Decodes the response to a request.
///
/// # Errors
/// `Internal`, naming the method.
fn decoded<R: Request>(response: Bytes) -> Result<R::Response> {
    R::Response::decode(response)
        .map_err(|error| Error::internal(format!("{} returned an invalid response: {error}", R::METHOD)))
}

impl Client {
    /// Calls the method of a request on this gateway, and waits for its answer, at most ten seconds.
    ///
    /// # Errors
    /// The gateway's own error, or `Internal` when it cannot be reached: then the outcome is unknown.
    pub async fn call<R: Request>(&self, context: &Context, request: &R) -> Result<R::Response> {
        const {
            assert!(matches!(service_of::<R>(), Service::Gateway), "only gateways are called one by one");
        }
        decoded::<R>(self.call_method(context, R::METHOD, request.encode_to_vec().into()).await?)
    }

    /// Calls a method on its encoded request.
    ///
    /// # Errors
    /// The service's own error, or `Internal` when it cannot be reached.
    pub(crate) async fn call_method(&self, context: &Context, method: &str, payload: Bytes) -> Result<Bytes> {
        let channel = match &self.line {
            Line::Grpc(channel) => channel,
            #[cfg(debug_assertions)]
            Line::Local(local, address) => {
                return local.call(context, (self.service, address.as_str()), method, payload).await;
            }
        };
        let name = self.service.name();
        let (caller, operation_id) = (Some(context.caller.clone()), context.operation_id.clone());
        let call = Call { caller, operation_id, payload, ..Default::default() };
        let call = self.key.sign((self.service, method), call);
        let signature = call.signature.clone();
        let path =
            http::uri::PathAndQuery::try_from(format!("/openim.{name}/{method}")).map_err(Error::internal)?;
        let answer = timeout(CALL_DEADLINE, self.send(channel, call, path));
        let reply = match answer.await {
            Err(_elapsed) => {
                return Err(Error::unreachable(format!(
                    "service {name} did not answer {method} within {:?}",
                    CALL_DEADLINE
                )));
            }
            Ok(Err(status)) if is_busy(&status) => return Err(Error::busy(format!("service {name}"))),
            Ok(Err(status)) => {
                let detail = format!("service {name}, {method}: {}", status.message());
                // What the other side decided is no such thing.
                let unreachable = status.code() != tonic::Code::Unauthenticated;
                return Err(Error { unreachable, ..Error::internal(detail) });
            }
            Ok(Ok(response)) => response.into_inner(),
        };
        if !self.key.believes(&signature, &reply) {
            return Err(Error::internal(format!(
                "service {name}, {method}: the response is not signed with this cluster's secret"
            )));
        }
        match reply.err_code {
            0 => Ok(reply.payload),
            code => Err(Error {
                unreachable: reply.unreachable,
                ..ErrorCode::from_number(code).with(reply.err_dlt)
            }),
        }
    }
}

impl Client {
    /// One that was never sent, because its instance could not be connected to, is tried with another; one that was not begun, because there
    /// was no room for it, once more.
    async fn send(
        &self,
        channel: &Channel,
        call: Call,
        path: http::uri::PathAndQuery,
    ) -> std::result::Result<tonic::Response<Reply>, tonic::Status> {
        let mut grpc = tonic::client::Grpc::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let until = Instant::now() + OTHERS;
        loop {
            grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
            let codec = tonic_prost::ProstCodec::<Call, Reply>::default();
            let mut request = tonic::Request::new(call.clone());
            if let Some(parent) = telemetry::trace_parent().and_then(|parent| parent.parse().ok()) {
                request.metadata_mut().insert(telemetry::TRACE_PARENT, parent);
            }
            let answer = grpc.unary(request, path.clone(), codec).await;
            match answer.as_ref().err().and_then(|status| self.pause(status)) {
                Some(pause) if Instant::now() < until => tokio::time::sleep(pause).await,
                _ => return answer,
            }
        }
    }
}

impl Client {
    /// The delay before a failed call is retried, if it certainly did not run.
    fn pause(&self, status: &tonic::Status) -> Option<Duration> {
        if is_busy(status) {
            return Some(BUSY_PAUSE);
        }
        (self.is_balanced && was_never_sent(status)).then_some(OTHERS_PAUSE)
    }
}

fn was_never_sent(status: &tonic::Status) -> bool {
    let first = std::error::Error::source(status);
    std::iter::successors(first, |error| error.source()).any(|error| error.is::<tonic::ConnectError>())
}

/// All services, followed through discovery, and every single gateway.
#[derive(Clone)]
pub struct Peers {
    clients: Arc<HashMap<Service, Client>>,
    key: InternalKey,
    tls: Option<Tls>,
    direct: Arc<Mutex<HashMap<String, Client>>>,
    gateways: watch::Receiver<Listed>,
}

impl Peers {
    /// Starts following discovery; tasks end with `stop`.
    pub fn start(config: &Config, tls: Option<Tls>, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let key = InternalKey::of(config);
        let (gateways_sender, gateways) = watch::channel(None);
        let mut gateways_sender = Some(gateways_sender);
        let clients = Service::RPC.into_iter().map(|service| {
            let (channel, changes) = Channel::balance_channel(64);
            let all = if service == Service::Gateway { gateways_sender.take() } else { None };
            let found = Found::new(changes, all, tls.clone());
            tasks.spawn(discovery::follow(config.clone(), service, found, stop.clone()));
            (service, Client { line: Line::Grpc(channel), service, key: key.clone(), is_balanced: true })
        });
        Self { clients: Arc::new(clients.collect()), key, tls, direct: Arc::default(), gateways }
    }

    /// Services of this process, and the addresses of all gateways.
    #[cfg(debug_assertions)]
    pub fn local(config: &Config, local: Arc<dyn Local>, gateways: &[std::net::SocketAddr]) -> Self {
        let key = InternalKey::of(config);
        let client = |service, address: String| Client {
            line: Line::Local(local.clone(), address),
            service,
            key: key.clone(),
            is_balanced: false,
        };
        let clients = Service::RPC.into_iter().map(|service| (service, client(service, String::new())));
        let clients = Arc::new(clients.collect());
        let direct = gateways
            .iter()
            .map(|address| (address.to_string(), client(Service::Gateway, address.to_string())));
        let direct = Arc::new(Mutex::new(direct.collect()));
        let (_unused, gateways) = watch::channel(Some(gateways.iter().copied().collect()));
        Self { clients, key, tls: None, direct, gateways }
    }

    /// What its calls are signed with; services that this process serves verify by it.
    pub fn key(&self) -> &InternalKey {
        &self.key
    }

    /// Calls the method of a request on any instance of its service, and waits for its answer, at most ten seconds.
    ///
    /// # Errors
    /// The service's own error, or `Internal` when it cannot be reached: then the outcome is unknown.
    pub async fn call<R: Request>(&self, context: &Context, request: &R) -> Result<R::Response> {
        decoded::<R>(self.call_encoded::<R>(context, request.encode_to_vec().into()).await?)
    }

    /// [`Peers::call`] for a request that is already encoded; its response stays so.
    ///
    /// # Errors
    /// As [`Peers::call`].
    pub async fn call_encoded<R: Request>(&self, context: &Context, request: Bytes) -> Result<Bytes> {
        // `start` fills every variant.
        let client = self.clients.get(&const { service_of::<R>() });
        let client = client.unwrap_or_else(|| unreachable!("every service has a client"));
        client.call_method(context, R::METHOD, request).await
    }

    /// The RPC addresses of all gateways discovery knows.
    pub fn gateways(&self) -> Vec<String> {
        self.gateways.borrow().iter().flatten().map(ToString::to_string).collect()
    }

    /// Waits until discovery has listed the gateways: before that nobody knows whether there are none. Returns early when nobody
    /// looks any more.
    pub async fn gateways_listed(&self) {
        let mut gateways = self.gateways.clone();
        let _nobody_looks = gateways.wait_for(Option::is_some).await;
    }

    /// Calls all gateways at once; only for methods that may run twice. One that fails is asked again until it answers or discovery
    /// drops it: a gateway that is gone has no connections. What stays failing after ten seconds is an error beside the answers.
    pub async fn every_gateway<R: Request>(
        &self,
        context: &Context,
        request: &R,
    ) -> (Vec<R::Response>, Option<Error>) {
        let deadline = Instant::now() + CALL_DEADLINE;
        let asked = self.gateways().into_iter().map(|address| async move {
            loop {
                let answer = async { self.gateway(&address)?.call(context, request).await }.await;
                match answer {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(_gone) if !self.gateways().contains(&address) => return Ok(None),
                    Err(error)
                        if !(error.code == ErrorCode::Internal || error.is_busy())
                            || Instant::now() >= deadline =>
                    {
                        return Err(Error {
                            detail: format!("gateway {address}: {}", error.detail),
                            ..error
                        });
                    }
                    Err(_again) => tokio::time::sleep(RETRY_PAUSE).await,
                }
            }
        });
        let mut answers = Vec::new();
        let mut failure = None;
        for answer in futures::future::join_all(asked).await {
            match answer {
                Ok(answer) => answers.extend(answer),
                Err(error) => failure = Some(error),
            }
        }
        (answers, failure)
    }

    /// One gateway by its RPC address (`ip:port`).
    ///
    /// # Errors
    /// When the address is malformed.
    pub fn gateway(&self, address: &str) -> Result<Client> {
        if let Some(client) = self.direct.lock().get(address) {
            return Ok(client.clone());
        }
        let endpoint = endpoint(address, self.tls.as_ref())
            .ok_or_else(|| Error::internal(format!("{address:?} is not a gateway address")))?;
        let client = Client {
            line: Line::Grpc(
                endpoint
                    .http2_keep_alive_interval(GATEWAY_PING)
                    .keep_alive_timeout(GATEWAY_PING)
                    .connect_lazy(),
            ),
            service: Service::Gateway,
            key: self.key.clone(),
            is_balanced: false,
        };
        let mut direct = self.direct.lock();
        if direct.len() > 1024 {
            direct.clear();
        }
        direct.insert(address.to_owned(), client.clone());
        Ok(client)
    }
}

pub(crate) fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
}

#[cfg(test)]
pub(crate) mod tests {
    use futures::FutureExt;
    use std::{collections::HashSet, net::SocketAddr};

    use protocol::msggateway::{KickUserOfflineReq, KickUserOfflineResp};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;
    use crate::{RpcMetrics, RpcService};

    pub(crate) struct Kicker;

    pub(crate) fn budget() -> budget::Budget {
        budget::Budget::new(1 << 20)
    }

    #[crate::async_trait]
    impl RpcService for Kicker {
        fn service(&self) -> Service {
            Service::Gateway
        }
        async fn call(&self, _context: &Context, _method: &str, _payload: Bytes) -> Result<Bytes> {
            Ok(Bytes::new())
        }
    }

    fn listed(addresses: &[SocketAddr]) -> (watch::Sender<Listed>, Peers) {
        let (sender, gateways) = watch::channel(Some(addresses.iter().copied().collect()));
        let config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        let key = InternalKey::of(&config);
        (sender, Peers { clients: Arc::default(), key, tls: None, direct: Arc::default(), gateways })
    }

    /// An address at which nothing listens yet, and which nobody else gets: not even as the near end of a connection.
    fn reserved() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    async fn serve(
        peers: &Peers,
        listener: TcpListener,
        stop: &CancellationToken,
    ) -> std::result::Result<(), tonic::transport::Error> {
        let key = peers.key.clone();
        crate::serve(Arc::new(Kicker), listener, key, None, RpcMetrics::default(), budget(), stop.clone())
            .await
    }

    async fn ask(peers: &Peers) -> (Vec<KickUserOfflineResp>, Option<Error>) {
        peers.every_gateway(&Context::system("test"), &KickUserOfflineReq::default()).await
    }

    #[tokio::test]
    async fn a_gateway_that_is_gone_but_still_listed_fails_nothing() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_silent, dead) = reserved();
        let address = live.local_addr().unwrap();
        let (sender, peers) = listed(&[address, dead]);
        let stop = CancellationToken::new();
        let serving = serve(&peers, live, &stop);
        let dropped = async {
            tokio::time::sleep(RETRY_PAUSE * 2).await;
            sender.send_replace(Some(HashSet::from([address])));
        };
        let asking = async {
            let (answers, failure) = ask(&peers).await;
            assert_eq!((answers.len(), failure), (1, None));
            stop.cancel();
        };
        let ((), (), served) = tokio::join!(asking, dropped, serving);
        served.unwrap();
    }

    #[tokio::test]
    async fn no_gateway_is_told_from_not_knowing_any() {
        let (sender, mut peers) = listed(&[]);
        peers.gateways_listed().await;
        drop(sender);
        let (none_yet, gateways) = watch::channel(None);
        peers.gateways = gateways;
        assert_eq!(peers.gateways_listed().now_or_never(), None);
        none_yet.send_replace(Some(HashSet::new()));
        peers.gateways_listed().await;
        assert!(peers.gateways().is_empty());
    }

    #[tokio::test]
    async fn a_call_finds_the_instance_that_can_be_connected_to() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_silent, dead) = reserved();
        let address = live.local_addr().unwrap();
        let (_sender, peers) = listed(&[]);
        let (channel, changes) = Channel::balance_channel(8);
        for one in [dead, address] {
            let endpoint = endpoint(one, None).unwrap();
            changes.send(tonic::transport::channel::Change::Insert(one, endpoint)).await.unwrap();
        }
        let (service, key) = (Service::Gateway, peers.key.clone());
        let client = Client { line: Line::Grpc(channel), service, key, is_balanced: true };
        let stop = CancellationToken::new();
        let asking = async {
            for _ in 0..20 {
                let context = Context::system("test");
                client.call_method(&context, KickUserOfflineReq::METHOD, Bytes::new()).await.unwrap();
            }
            stop.cancel();
        };
        let (served, ()) = tokio::join!(serve(&peers, live, &stop), asking);
        served.unwrap();
    }

    struct Failing(Error);

    #[crate::async_trait]
    impl RpcService for Failing {
        fn service(&self) -> Service {
            Service::Gateway
        }
        async fn call(&self, _context: &Context, _method: &str, _payload: Bytes) -> Result<Bytes> {
            Err(self.0.clone())
        }
    }

    #[tokio::test]
    async fn who_did_not_answer_is_told_from_who_failed() {
        let (_silent, gone) = reserved();
        let (_sender, peers) = listed(&[gone]);
        let ask = async |address: SocketAddr| {
            let gateway = peers.gateway(&address.to_string()).unwrap();
            let asked = gateway.call(&Context::system("test"), &KickUserOfflineReq::default()).await;
            asked.unwrap_err()
        };
        let unreachable = ask(gone).await;
        assert!(unreachable.unreachable, "{unreachable}");
        // It stays so through the service that met it, and is counted there.
        for (error, counted) in [(unreachable, 1), (Error::internal("a bug"), 0)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
            let mut registry = prometheus_client::registry::Registry::default();
            let metrics = RpcMetrics::register(&mut registry);
            let service = Arc::new(Failing(error.clone()));
            let serving =
                crate::serve(service, listener, peers.key.clone(), None, metrics, budget(), stop.clone());
            let asking = async {
                assert_eq!(ask(address).await, error);
                stop.cancel();
            };
            let (served, ()) = tokio::join!(serving, asking);
            served.unwrap();
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            assert!(text.contains(&format!("rpc_unreachable_total {counted}\n")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_gateway_that_starts_late_is_asked_again() {
        let (socket, address) = reserved();
        let (_sender, peers) = listed(&[address]);
        let stop = CancellationToken::new();
        let serving = async {
            tokio::time::sleep(RETRY_PAUSE * 2).await;
            serve(&peers, socket.listen(64).unwrap(), &stop).await.unwrap();
        };
        let asking = async {
            let (answers, failure) = ask(&peers).await;
            assert_eq!((answers.len(), failure), (1, None));
            stop.cancel();
        };
        tokio::join!(serving, asking);
    }
}
