//! Calls between services. One gRPC method per contract method, the verified caller as typed data in every call,
//! authenticated with the cluster's secret, a deadline on everything.

mod both;
mod client;
mod context;
mod discovery;
mod etcd;
mod key;
mod method;
mod metrics;
mod server;
mod targets;
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
pub use method::is_complete;
pub use metrics::RpcMetrics;
pub use server::{RpcService, decode, encode, serve};
pub use targets::admin_ports;
pub use tls::Tls;

/// Implements [`RpcService`] by a table `package::Request => handler`; every handler is
/// `async fn(&self, &Context, Request) -> Result<Request::Response>`. It compiles when the table has each method that `services.proto`
/// declares for the service, and no other. A method of a later version answers a clear error.
#[macro_export]
macro_rules! service {
    ($type:ty, $service:expr, { $($package:ident::$request:ident => $handler:ident),* $(,)? }) => {
        const _: () = assert!(
            $crate::is_complete($service, &[$((
                <protocol::$package::$request as protocol::Request>::SERVICE,
                <protocol::$package::$request as protocol::Request>::METHOD,
            )),*]),
            "the handlers are not those of the methods in services.proto"
        );

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
                    $(<protocol::$package::$request as protocol::Request>::METHOD => {
                        let request: protocol::$package::$request = $crate::decode(payload)?;
                        let response: <protocol::$package::$request as protocol::Request>::Response =
                            Box::pin(self.$handler(context, request)).await?;
                        Ok($crate::encode(&response))
                    })*
                    other => Err(protocol::Error::internal(format!("{} has no method {other} in this version", self.service().name()))),
                }
            }
        }
    };
}
