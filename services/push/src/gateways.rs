//! Calls to gateways. One that does not answer is left out until it does: it must not hold up what is for all the others.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use protocol::internal::{GatewayPushReq, GatewayPushResp, PutAudienceReq, PutAudienceResp};
use routes::ROUTE_TTL;
use rpc::{Context, Peers};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{PushMetrics, receivers::Audience};

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
    pub(crate) async fn push(&self, gateway: String, request: GatewayPushReq, audiences: &[&Audience]) {
        if self.down.lock().contains(&gateway) {
            self.metrics.undelivered.inc();
            return;
        }
        for attempt in 1..=TRIES {
            match self.ask(&gateway, &request, audiences).await {
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

    async fn ask(
        &self,
        gateway: &str,
        request: &GatewayPushReq,
        audiences: &[&Audience],
    ) -> protocol::Result<u64> {
        let (peer, context) = (self.peers.gateway(gateway)?, Context::system("push"));
        let mut answer: GatewayPushResp = peer.call(&context, "push", request).await?;
        if !answer.unknown_audiences.is_empty() {
            for name in &answer.unknown_audiences {
                let Some(audience) = audiences.iter().find(|audience| audience.name == *name) else {
                    continue;
                };
                let told = PutAudienceReq { audience: name.clone(), user_i_ds: audience.users.to_vec() };
                let _taken: PutAudienceResp = peer.call(&context, "putAudience", &told).await?;
            }
            answer = peer.call(&context, "push", request).await?;
        }
        if !answer.unknown_audiences.is_empty() {
            // More than the gateway keeps at a time.
            answer = peer.call(&context, "push", &spelled_out(request, audiences)).await?;
        }
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
            if self.ask(&gateway, &GatewayPushReq::default(), &[]).await.is_ok() {
                tracing::info!(gateway, "push.gateway_back");
                break;
            }
        }
        self.down.lock().remove(&gateway);
    }
}

/// The same with every receiver named.
fn spelled_out(request: &GatewayPushReq, audiences: &[&Audience]) -> GatewayPushReq {
    let mut request = request.clone();
    for push in &mut request.pushes {
        let audience = audiences.iter().find(|audience| audience.name == push.audience);
        let members = audience.iter().flat_map(|audience| audience.users.iter());
        push.user_i_ds.extend(members.filter(|user| **user != push.except).cloned());
        push.audience.clear();
    }
    request
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

    /// Counts what it gets; keeps audiences or not.
    #[derive(Default)]
    struct Taker {
        taken: Arc<AtomicU64>,
        keeps: bool,
        kept: Arc<Mutex<HashSet<String>>>,
        told: Arc<AtomicU64>,
    }

    #[rpc::async_trait]
    impl RpcService for Taker {
        fn service(&self) -> Service {
            Service::Gateway
        }
        async fn call(&self, _context: &Context, method: &str, payload: Bytes) -> protocol::Result<Bytes> {
            if method == "putAudience" {
                let request: PutAudienceReq = rpc::decode(payload)?;
                self.told.fetch_add(1, Ordering::Relaxed);
                if self.keeps {
                    self.kept.lock().insert(request.audience);
                }
                return Ok(rpc::encode(&PutAudienceResp {}));
            }
            let request: GatewayPushReq = rpc::decode(payload)?;
            let names = request.pushes.iter().map(|push| push.audience.clone());
            let kept = self.kept.lock();
            let unknown: Vec<String> =
                names.filter(|name| !name.is_empty() && !kept.contains(name)).collect();
            if !unknown.is_empty() {
                return Ok(rpc::encode(&GatewayPushResp { delivered: 0, unknown_audiences: unknown }));
            }
            let delivered = request.pushes.len() as u64;
            let named: usize = request.pushes.iter().map(|push| push.user_i_ds.len()).sum();
            self.taken.fetch_add(delivered + 100 * named as u64, Ordering::Relaxed);
            Ok(rpc::encode(&GatewayPushResp { delivered, unknown_audiences: vec![] }))
        }
    }

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    const SECRET: &str = "a secret of the cluster";

    fn serve(gateways: &Gateways, taker: Taker, listener: TcpListener) {
        let (key, metrics) = (InternalKey::derive(SECRET), rpc::RpcMetrics::default());
        gateways.tasks.spawn(rpc::serve(
            Arc::new(taker),
            listener,
            key,
            None,
            metrics,
            gateways.stop.clone(),
        ));
    }

    fn gateways() -> Gateways {
        let config = Config { secret: SECRET.into(), ..Default::default() };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let peers = Peers::start(&config, None, &tasks, &stop);
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

        gateways.push(address.to_string(), one(), &[]).await;
        assert!(gateways.down.lock().contains(&address.to_string()));

        let taken = Arc::new(AtomicU64::new(0));
        let listener = TcpListener::bind(address).await.unwrap();
        serve(&gateways, Taker { taken: taken.clone(), ..Default::default() }, listener);
        until(|| gateways.down.lock().is_empty()).await;
        assert_eq!(taken.load(Ordering::Relaxed), 0, "what asks whether it is back delivers nothing");
        gateways.push(address.to_string(), one(), &[]).await;
        assert_eq!(taken.load(Ordering::Relaxed), 1);
        assert_eq!((gateways.metrics.delivered.get(), gateways.metrics.undelivered.get()), (1, 1));

        end(&gateways).await;
    }

    #[tokio::test]
    async fn a_gateway_is_told_once_who_is_in_a_large_group() {
        for keeps in [true, false] {
            let gateways = gateways();
            let (taken, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let taker = Taker { taken: taken.clone(), told: told.clone(), keeps, ..Default::default() };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            serve(&gateways, taker, listener);
            let users = Arc::new(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
            let audience = Audience { name: "g/1/2".into(), users, except: "b".into() };
            for _ in 0..3 {
                let push = protocol::internal::GatewayPush {
                    audience: audience.name.clone(),
                    except: audience.except.clone(),
                    ..Default::default()
                };
                gateways.push(address.clone(), GatewayPushReq { pushes: vec![push] }, &[&audience]).await;
            }
            // One that keeps nothing is told the names with every message, without the one who is not meant.
            let expected = if keeps { (3, 1) } else { (3 + 3 * 200, 3) };
            assert_eq!((taken.load(Ordering::Relaxed), told.load(Ordering::Relaxed)), expected);
            assert_eq!(gateways.metrics.undelivered.get(), 0);
            end(&gateways).await;
        }
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
            () = gateways.push(address.clone(), one(), &[]) => {}
            () = holding => {}
        }
        assert!(gateways.down.lock().contains(&address));
        end(&gateways).await;
    }
}
