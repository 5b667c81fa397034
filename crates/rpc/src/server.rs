//! The serving side: `/openim.<service>/<method>`, one unary call each.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{extract::Path, routing::post};
use budget::{Budget, Busy, Held};
use bytes::Bytes;
use config::Service;
use futures::FutureExt;
use http_body_util::BodyExt;

use prost::Message;
use protocol::{
    Error, Result,
    internal::{Call, Reply},
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{body::Body, server::UnaryService};
use tracing::Instrument;

use crate::{Context, InternalKey, RpcMetrics, Tls, both, tls::Accepted};

/// A service's methods by name.
#[async_trait]
pub trait RpcService: Send + Sync + 'static {
    /// Which service this is.
    fn service(&self) -> Service;

    /// Runs one method on its encoded request.
    async fn call(&self, context: &Context, method: &str, payload: Bytes) -> Result<Bytes>;
}

/// Decodes a request.
///
/// # Errors
/// `Args` when the bytes are not the expected message.
pub fn decode<M: Message + Default>(payload: Bytes) -> Result<M> {
    M::decode(payload).map_err(|error| Error::args(format!("request does not decode: {error}")))
}

/// Encodes an answer.
pub fn encode<M: Message>(message: &M) -> Bytes {
    message.encode_to_vec().into()
}

/// Largest message between services, in bytes.
pub(crate) const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// Calls of one service that run at a time, those included whose caller has gone: beyond that it answers that it is busy.
const MOST_RUNNING: usize = 10_000;
/// Calls and answers that are shorter are not counted: acknowledgements and questions always get through.
const SMALL: usize = 4 << 10;
/// How long a call waits for room in memory.
const ROOM: Duration = Duration::from_millis(500);
/// Metadata of a refusal: the call was not started and can be retried, whatever it is.
const BUSY: &str = "openim-busy";
/// After the last answer, how long operations may still run whose callers have gone.
const LAST_OPERATIONS: Duration = Duration::from_secs(10);

struct Method {
    service: Arc<dyn RpcService>,
    key: InternalKey,
    metrics: RpcMetrics,
    running: TaskTracker,
    budget: Budget,
    name: String,
}

impl UnaryService<Call> for Method {
    type Response = Reply;
    type Future =
        futures::future::BoxFuture<'static, std::result::Result<tonic::Response<Reply>, tonic::Status>>;

    /// The operation is a separate task: it runs to completion even if the caller disconnects, which drops the future that is returned here.
    fn call(&mut self, request: tonic::Request<Call>) -> Self::Future {
        let parent = request.metadata().get(telemetry::TRACE_PARENT).cloned();
        let call = request.into_inner();
        let verified = match self.key.verify((self.service.service(), &self.name), &call) {
            Ok(verified) => verified,
            Err(refused) => return Box::pin(async move { Err(tonic::Status::unauthenticated(refused)) }),
        };
        if self.running.len() >= MOST_RUNNING {
            return Box::pin(async { Err(busy()) });
        }
        let budget = self.budget.clone();
        let (service, metrics, key) = (self.service.clone(), self.metrics.clone(), self.key.clone());
        let name = std::mem::take(&mut self.name);
        let Call { caller, operation_id, payload, .. } = call;
        let context = Context { caller: caller.unwrap_or_default(), operation_id };
        let span = tracing::error_span!(
            "rpc",
            rpc = format_args!("{}/{name}", service.service().name()),
            operation_id = context.operation_id,
            caller = context.caller.user_id,
        );
        telemetry::continue_trace(&span, parent.as_ref().and_then(|parent| parent.to_str().ok()));
        let operation = async move {
            let started = tokio::time::Instant::now();
            let _held = room(&budget, payload.len()).await?;
            let outcome = AssertUnwindSafe(service.call(&context, &name, payload)).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
            let reply = reply(outcome);
            metrics.answered(service.service().name(), &name, &reply, started.elapsed());
            // It is there already: refusing it would undo nothing.
            let held = (reply.payload.len() > SMALL).then(|| Arc::new(budget.hold(reply.payload.len())));
            Ok((key.answer(&verified, reply), held))
        };
        let operation = self.running.spawn(operation.instrument(span));
        Box::pin(async move {
            let answered = operation.await.map_err(|error| tonic::Status::internal(error.to_string()))?;
            let (reply, held) = answered.map_err(|_: Busy| busy())?;
            let mut response = tonic::Response::new(reply);
            if let Some(held) = held {
                response.extensions_mut().insert(held);
            }
            Ok(response)
        })
    }
}

async fn room(budget: &Budget, bytes: usize) -> std::result::Result<Option<Held>, Busy> {
    if bytes <= SMALL {
        return Ok(None);
    }
    budget.take_within(bytes, ROOM).await.map(Some)
}

fn busy() -> tonic::Status {
    let mut status = tonic::Status::resource_exhausted("the service is busy");
    status.metadata_mut().insert(BUSY, tonic::metadata::MetadataValue::from_static("1"));
    status
}

/// Whether a call was refused before it was begun.
pub(crate) fn is_busy(status: &tonic::Status) -> bool {
    status.metadata().contains_key(BUSY)
}

/// What an answer takes of the budget is given back when it has been sent.
fn until_sent(answer: http::Response<Body>) -> http::Response<Body> {
    let (mut head, body) = answer.into_parts();
    let body = match head.extensions.remove::<Arc<Held>>() {
        None => body,
        Some(held) => Body::new(body.map_frame(move |frame| {
            let _held = &held;
            frame
        })),
    };
    http::Response::from_parts(head, body)
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
    Error::internal(format!("the operation panicked: {text}"))
}

fn reply(outcome: Result<Bytes>) -> Reply {
    let error = match outcome {
        Ok(payload) => return Reply { payload, ..Default::default() },
        Err(error) => error,
    };
    if error.code == protocol::ErrorCode::Internal {
        tracing::error!(detail = error.detail, "rpc.failed");
    } else {
        tracing::debug!(%error, "rpc.refused");
    }
    Reply {
        err_code: error.code.number(),
        err_msg: error.code.name().into(),
        err_dlt: error.detail,
        unreachable: error.unreachable,
        ..Default::default()
    }
}

/// Serves a service on `listener` until `stop`, within `budget`, then lets running calls finish; those whose callers have gone for ten seconds at most.
///
/// # Errors
/// When the transport fails.
pub async fn serve(
    service: Arc<dyn RpcService>,
    listener: TcpListener,
    key: InternalKey,
    tls: Option<Tls>,
    metrics: RpcMetrics,
    budget: Budget,
    stop: CancellationToken,
) -> std::result::Result<(), tonic::transport::Error> {
    let name = service.service().name();
    let path = format!("/openim.{name}/{{method}}");
    let running = TaskTracker::new();
    let operations = running.clone();
    let router = axum::Router::new().route(
        &path,
        post(async move |Path(name): Path<String>, request: http::Request<axum::body::Body>| {
            let codec = tonic_prost::ProstCodec::<Reply, Call>::default();
            let mut grpc = tonic::server::Grpc::new(codec)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES);
            let method = Method { service, key, metrics, running, budget, name };
            until_sent(grpc.unary(method, request.map(Body::new)).await)
        }),
    );
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = tonic::transport::Server::builder();
    let mut acceptor = None;
    match tls.map(|tls| tls.server) {
        None => {}
        Some(Accepted::Encrypted(only)) => server = server.tls_config(*only)?,
        Some(Accepted::Both(both)) => acceptor = Some(both),
    }
    let server = server
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .add_routes(tonic::service::Routes::from(router));
    let stopped = stop.cancelled_owned();
    match acceptor {
        None => server.serve_with_incoming_shutdown(incoming, stopped).await?,
        Some(acceptor) => {
            server.serve_with_incoming_shutdown(both::accept(incoming, acceptor), stopped).await?;
        }
    }
    operations.close();
    if tokio::time::timeout(LAST_OPERATIONS, operations.wait()).await.is_err() {
        tracing::warn!(service = name, left = operations.len(), "rpc.operations_left");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use config::Config;
    use protocol::{Request, internal::KickConnectionsReq, msggateway::KickUserOfflineReq};
    use tokio::sync::Notify;

    use super::*;
    use crate::Peers;

    /// Waits in the middle of its operation until it is told to go on.
    #[derive(Default)]
    struct Slow {
        begun: Notify,
        go_on: Notify,
        done: Notify,
    }

    #[crate::async_trait]
    impl RpcService for Slow {
        fn service(&self) -> Service {
            Service::Gateway
        }
        async fn call(&self, _context: &Context, method: &str, _payload: Bytes) -> Result<Bytes> {
            assert_ne!(method, "panic", "as asked");
            self.begun.notify_one();
            self.go_on.notified().await;
            self.done.notify_one();
            Ok(Bytes::new())
        }
    }

    #[tokio::test]
    async fn an_operation_runs_to_its_end_when_its_caller_hangs_up() {
        let config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let peers = Peers::start(&config, None, &tasks, &stop);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = peers.gateway(&listener.local_addr().unwrap().to_string()).unwrap();
        let (slow, key) = (Arc::new(Slow::default()), InternalKey::of(&config));
        let metrics = RpcMetrics::default();
        let serving =
            tasks.spawn(serve(slow.clone(), listener, key, None, metrics, Budget::new(1), stop.clone()));
        let context = Context::system("test");

        let panicked = gateway.call_method(&context, "panic", Bytes::new()).await.unwrap_err();
        assert_eq!((panicked.code, panicked.unreachable), (protocol::ErrorCode::Internal, false));
        assert!(panicked.detail.contains("as asked"), "{panicked}");

        tokio::select! {
            answer = gateway.call_method(&context, "wait", Bytes::new()) => panic!("{answer:?}"),
            () = slow.begun.notified() => {}
        }
        // The caller has hung up, and the server has seen it when it answers a later call on the same connection.
        let again = gateway.call_method(&context, "panic", Bytes::new()).await;
        assert!(again.is_err());
        // Shutdown waits for it.
        stop.cancel();
        slow.go_on.notify_one();
        slow.done.notified().await;
        drop(gateway);
        drop(peers);
        serving.await.unwrap().unwrap();
        tasks.close();
        tasks.wait().await;
    }

    /// Answers whatever it is asked, without holding the secret.
    struct Impostor(Vec<u8>);

    impl UnaryService<Call> for Impostor {
        type Response = Reply;
        type Future = std::future::Ready<std::result::Result<tonic::Response<Reply>, tonic::Status>>;

        fn call(&mut self, _request: tonic::Request<Call>) -> Self::Future {
            let (payload, signature) = (Bytes::from_static(b"an administrator"), self.0.clone().into());
            std::future::ready(Ok(tonic::Response::new(Reply { payload, signature, ..Default::default() })))
        }
    }

    #[tokio::test]
    async fn who_stands_behind_the_name_of_a_service_is_not_believed_for_it() {
        let config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let peers = Peers::start(&config, None, &tasks, &stop);
        for signature in [vec![], vec![7; 32]] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let gateway = peers.gateway(&listener.local_addr().unwrap().to_string()).unwrap();
            let answer = post(async move |request: http::Request<axum::body::Body>| {
                let mut grpc = tonic::server::Grpc::new(tonic_prost::ProstCodec::<Reply, Call>::default());
                grpc.unary(Impostor(signature), request.map(Body::new)).await
            });
            let router = axum::Router::new().route("/openim.gateway/{method}", answer);
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            let mut server = tonic::transport::Server::builder();
            let server = server.add_routes(tonic::service::Routes::from(router));
            tasks.spawn(server.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()));
            let error = gateway
                .call_method(&Context::anonymous("op"), KickUserOfflineReq::METHOD, Bytes::new())
                .await
                .unwrap_err();
            assert!(error.detail.contains("not signed with this cluster's secret"), "{error}");
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn a_recorded_call_is_refused_for_another_method() {
        let config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (service, key) = (Arc::new(crate::client::tests::Kicker), InternalKey::of(&config));
        let (metrics, budget) = (RpcMetrics::default(), Budget::new(1 << 20));
        let serving = serve(service, listener, key.clone(), None, metrics, budget, stop.clone());
        tasks.spawn(serving);
        let recorded = Call { caller: Some(Context::system("op").caller), ..Default::default() };
        let recorded = key.sign((Service::Gateway, KickUserOfflineReq::METHOD), recorded);
        let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect_lazy();
        let replay = async |method: &str, call: Call| {
            let mut grpc = tonic::client::Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            let path = http::uri::PathAndQuery::try_from(format!("/openim.gateway/{method}")).unwrap();
            let codec = tonic_prost::ProstCodec::<Call, Reply>::default();
            let answer = grpc.unary(tonic::Request::new(call), path, codec).await;
            answer.map(drop).map_err(|status| status.code())
        };
        assert_eq!(replay(KickUserOfflineReq::METHOD, recorded.clone()).await, Ok(()));
        let refused = Err(tonic::Code::Unauthenticated);
        assert_eq!(replay(KickConnectionsReq::METHOD, recorded.clone()).await, refused);
        let another = Call { payload: Bytes::from_static(b"x"), ..recorded };
        assert_eq!(replay(KickUserOfflineReq::METHOD, another).await, refused);
        stop.cancel();
    }

    /// Answers what it is asked with, once it is told to.
    #[derive(Default)]
    struct Echo {
        begun: Notify,
        go_on: Notify,
    }

    #[crate::async_trait]
    impl RpcService for Echo {
        fn service(&self) -> Service {
            Service::Gateway
        }
        async fn call(&self, _context: &Context, method: &str, payload: Bytes) -> Result<Bytes> {
            if method == "wait" {
                self.begun.notify_one();
                self.go_on.notified().await;
            }
            Ok(payload)
        }
    }

    #[tokio::test]
    async fn a_call_that_there_is_no_room_for_is_told_so_and_small_ones_get_through() {
        let config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let peers = Peers::start(&config, None, &tasks, &stop);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = peers.gateway(&listener.local_addr().unwrap().to_string()).unwrap();
        let (echo, key) = (Arc::new(Echo::default()), InternalKey::of(&config));
        let (budget, metrics) = (Budget::new(100 << 10), RpcMetrics::default());
        let serving =
            tasks.spawn(serve(echo.clone(), listener, key, None, metrics, budget.clone(), stop.clone()));
        let context = Context::system("test");
        let payload = |kibibytes: usize| Bytes::from(vec![b'x'; kibibytes << 10]);

        let held = gateway.call_method(&context, "wait", payload(90));
        let others = async {
            echo.begun.notified().await;
            let busy = gateway.call_method(&context, "echo", payload(20)).await.unwrap_err();
            assert!(busy.is_busy(), "{busy}");
            assert_eq!(gateway.call_method(&context, "echo", payload(4)).await.unwrap().len(), SMALL);
            // It comes again by itself when there is room in time.
            let again = gateway.call_method(&context, "echo", payload(20));
            let room = async { echo.go_on.notify_one() };
            let (again, ()) = tokio::join!(again, room);
            assert_eq!(again.unwrap().len(), 20 << 10);
        };
        let (first, ()) = tokio::join!(held, others);
        assert_eq!(first.unwrap().len(), 90 << 10);
        drop(gateway);
        drop(peers);
        stop.cancel();
        serving.await.unwrap().unwrap();
        tasks.close();
        tasks.wait().await;
        assert_eq!(budget.used(), 0, "what was sent is given back");
    }
}
