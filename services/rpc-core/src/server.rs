//! The serving side: `/openim.<service>/<method>`, one unary call each.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{extract::Path, routing::post};
use bytes::Bytes;
use config::Service;
use prost::Message;
use protocol::{
    Error, Result,
    internal::{Call, Reply},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::UnaryService};

use crate::{Context, InternalKey, RpcMetrics, Tls};

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

struct Method {
    service: Arc<dyn RpcService>,
    key: InternalKey,
    metrics: RpcMetrics,
    name: String,
}

impl UnaryService<Call> for Method {
    type Response = Reply;
    type Future =
        futures::future::BoxFuture<'static, std::result::Result<tonic::Response<Reply>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<Call>) -> Self::Future {
        let (service, key, metrics) = (self.service.clone(), self.key.clone(), self.metrics.clone());
        let name = std::mem::take(&mut self.name);
        Box::pin(async move {
            let Call { caller, operation_id, payload, mac } = request.into_inner();
            let caller = caller.unwrap_or_default();
            if !key.verify(&caller, &operation_id, &mac) {
                return Err(tonic::Status::unauthenticated(
                    "the calling service does not hold this cluster's secret",
                ));
            }
            let context = Context { caller, operation_id };
            let started = tokio::time::Instant::now();
            let reply = match service.call(&context, &name, payload).await {
                Ok(payload) => Reply { payload, ..Default::default() },
                Err(error) => {
                    if error.code == protocol::ErrorCode::Internal {
                        tracing::error!(
                            operation_id = context.operation_id,
                            method = name,
                            detail = error.detail,
                            "rpc.failed"
                        );
                    } else {
                        tracing::debug!(operation_id = context.operation_id, method = name, %error, "rpc.refused");
                    }
                    Reply {
                        err_code: error.code.number(),
                        err_msg: error.code.name().into(),
                        err_dlt: error.detail,
                        unreachable: error.unreachable,
                        ..Default::default()
                    }
                }
            };
            metrics.answered(service.service().name(), &name, &reply, started.elapsed());
            Ok(tonic::Response::new(reply))
        })
    }
}

/// Serves a service on `listener` until `stop`, then lets running calls finish.
///
/// # Errors
/// When the transport fails.
pub async fn serve(
    service: Arc<dyn RpcService>,
    listener: TcpListener,
    key: InternalKey,
    tls: Option<Tls>,
    metrics: RpcMetrics,
    stop: CancellationToken,
) -> std::result::Result<(), tonic::transport::Error> {
    let path = format!("/openim.{}/{{method}}", service.service().name());
    let router = axum::Router::new().route(
        &path,
        post(async move |Path(name): Path<String>, request: http::Request<axum::body::Body>| {
            let codec = tonic_prost::ProstCodec::<Reply, Call>::default();
            let mut grpc = tonic::server::Grpc::new(codec)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES);
            grpc.unary(Method { service, key, metrics, name }, request.map(Body::new)).await
        }),
    );
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = tonic::transport::Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls.server)?;
    }
    server
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .add_routes(tonic::service::Routes::from(router))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
}
