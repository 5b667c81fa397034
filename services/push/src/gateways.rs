//! Calls to gateways. One that does not answer is left out until it does: it must not hold up what is for all the others.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use protocol::internal::{GatewayPushReq, GatewayPushResp};
use routes::ROUTE_TTL;
use rpc::{Context, Peers};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::PushMetrics;

const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// All gateways, by their RPC address.
#[derive(Clone)]
pub struct Gateways {
    pub(crate) peers: Peers,
    metrics: PushMetrics,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Those that are left out. Their clients pull what they missed when they connect again, or with the next message that reaches them.
    down: Arc<Mutex<HashSet<String>>>,
}

impl Gateways {
    /// Every gateway is taken to answer until it does not. Those that are down are waited for in `tasks`, until `stop`.
    pub fn new(peers: Peers, metrics: PushMetrics, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { peers, metrics, tasks, stop, down: Arc::default() }
    }

    /// Hands a gateway what is for its connections, in order.
    pub(crate) async fn push(&self, gateway: String, request: GatewayPushReq) {
        if self.down.lock().contains(&gateway) {
            self.metrics.undelivered.inc();
            return;
        }
        for attempt in 1..=TRIES {
            match self.ask(&gateway, &request).await {
                Ok(delivered) => {
                    self.metrics.delivered.inc_by(delivered);
                    return;
                }
                Err(error) => {
                    let listed = self.listed(&gateway);
                    tracing::warn!(gateway, attempt, listed, %error, "push.gateway_failed");
                    if !listed {
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.metrics.undelivered.inc();
        if self.down.lock().insert(gateway.clone()) {
            self.tasks.spawn(self.clone().wait_for(gateway));
        }
    }

    async fn ask(&self, gateway: &str, request: &GatewayPushReq) -> protocol::Result<u64> {
        let answer: GatewayPushResp =
            self.peers.gateway(gateway)?.call(&Context::system("push"), "push", request).await?;
        Ok(answer.delivered)
    }

    fn listed(&self, gateway: &str) -> bool {
        self.peers.gateways().iter().any(|known| known == gateway)
    }

    /// Takes a gateway back in when it answers, or when no route can name it any more.
    async fn wait_for(self, gateway: String) {
        let mut last_listed = Instant::now();
        while last_listed.elapsed() < ROUTE_TTL {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            if self.listed(&gateway) {
                last_listed = Instant::now();
            }
            if self.ask(&gateway, &GatewayPushReq::default()).await.is_ok() {
                tracing::info!(gateway, "push.gateway_back");
                break;
            }
        }
        self.down.lock().remove(&gateway);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicU64, Ordering},
    };

    use bytes::Bytes;
    use config::{Config, Service};
    use rpc::{InternalKey, RpcService};
    use tokio::net::TcpListener;

    use super::*;

    struct Taker(Arc<AtomicU64>);

    #[rpc::async_trait]
    impl RpcService for Taker {
        fn service(&self) -> Service {
            Service::Gateway
        }
        async fn call(&self, _context: &Context, _method: &str, payload: Bytes) -> protocol::Result<Bytes> {
            let request: GatewayPushReq = rpc::decode(payload)?;
            self.0.fetch_add(request.pushes.len() as u64, Ordering::Relaxed);
            Ok(rpc::encode(&GatewayPushResp { delivered: request.pushes.len() as u64 }))
        }
    }

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    const SECRET: &str = "a secret of the cluster";

    fn gateways() -> Gateways {
        let config = Config { secret: SECRET.into(), ..Default::default() };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let peers = Peers::start(&config, &tasks, &stop);
        Gateways::new(peers, PushMetrics::default(), tasks, stop)
    }

    async fn end(gateways: &Gateways) {
        gateways.stop.cancel();
        gateways.tasks.close();
        gateways.tasks.wait().await;
    }

    fn one() -> GatewayPushReq {
        GatewayPushReq { pushes: vec![protocol::internal::GatewayPush::default()] }
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_answer_is_left_out_until_it_does() {
        let gateways = gateways();
        // Bound and closed again: nothing answers here until the gateway "starts".
        let address: SocketAddr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();

        gateways.push(address.to_string(), one()).await;
        assert!(gateways.down.lock().contains(&address.to_string()));

        let taken = Arc::new(AtomicU64::new(0));
        let listener = TcpListener::bind(address).await.unwrap();
        let key = InternalKey::derive(SECRET);
        let serving = rpc::serve(Arc::new(Taker(taken.clone())), listener, key, gateways.stop.clone());
        gateways.tasks.spawn(serving);
        until(|| gateways.down.lock().is_empty()).await;
        assert_eq!(taken.load(Ordering::Relaxed), 0, "what asks whether it is back delivers nothing");
        gateways.push(address.to_string(), one()).await;
        assert_eq!(taken.load(Ordering::Relaxed), 1);
        assert_eq!((gateways.metrics.delivered.get(), gateways.metrics.undelivered.get()), (1, 1));

        end(&gateways).await;
    }

    #[tokio::test]
    async fn a_gateway_that_takes_the_call_and_says_nothing_is_left_out() {
        let gateways = gateways();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let holding = async {
            let mut held = Vec::new();
            while let Ok((stream, _)) = silent.accept().await {
                held.push(stream);
            }
        };
        tokio::select! {
            () = gateways.push(address.clone(), one()) => {}
            () = holding => {}
        }
        assert!(gateways.down.lock().contains(&address));
        end(&gateways).await;
    }
}
