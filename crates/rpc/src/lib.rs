//! Calls between services. One gRPC method per contract method, the verified caller as typed data in every call,
//! authenticated with the cluster's secret, a deadline on everything.

mod both;
mod client;
mod context;
mod discovery;
mod etcd;
mod key;
mod metrics;
mod server;
mod tls;

pub use async_trait::async_trait;
#[doc(hidden)]
pub use bytes::Bytes; // for `service!`: who calls it need not depend on the crate
#[cfg(debug_assertions)]
pub use client::Local;
pub use client::{Client, Peers};
pub use context::Context;
pub use etcd::{announce, announce_metrics, metrics_targets};
pub use key::InternalKey;
pub use metrics::RpcMetrics;
pub use server::{RpcService, decode, encode, serve};
pub use tls::Tls;

/// Implements [`RpcService`] by a table `method => handler`; every handler is `async fn(&self, &Context, Req) -> Result<Resp>`.
/// A method that is not in the table answers a clear error.
#[macro_export]
macro_rules! service {
    ($type:ty, $service:expr, { $($method:literal => $handler:ident),* $(,)? }) => {
        #[$crate::async_trait]
        impl $crate::RpcService for $type {
            fn service(&self) -> config::Service { $service }
            async fn call(
                &self,
                context: &$crate::Context,
                method: &str,
                payload: $crate::Bytes,
            ) -> protocol::Result<$crate::Bytes> {
                match method {
                    // Boxed: one state machine that holds them all is large, and slow to compile.
                    $($method => {
                        Ok($crate::encode(&Box::pin(self.$handler(context, $crate::decode(payload)?)).await?))
                    })*
                    other => Err(protocol::Error::internal(format!("{} has no method {other} in this version", self.service().name()))),
                }
            }
        }
    };
}
