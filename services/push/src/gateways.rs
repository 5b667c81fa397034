//! Calls to gateways. One that does not answer is skipped until it does: it must not delay the others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use faults::mutants::{Mutant, is_on};
use model::Clock;
use parking_lot::Mutex;
use presence::INCARNATION_TTL;
use prost::Message;
use protocol::internal::{GatewayPush, GatewayPushReq, PutAudienceReq, ResyncReq};
use rpc::{Client, Context, Peers};
use store::{
    DAY_MS,
    jobs::{Job, Jobs},
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    PushMetrics,
    call_size::{LARGEST_CALL, calls, spelled_out},
    receivers::Audience,
};

const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// A gateway that did not take a call after this is not asked again before it is back: all others wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Receivers that are remembered one by one of what a gateway did not take; beyond that it is everybody.
const MOST_REMEMBERED: usize = 50_000;

/// How it is kept that a gateway misses something.
const MISSED: &str = "missed";
/// How often this process says that it remembers what a gateway misses.
const RENEW: Duration = Duration::from_secs(5);
/// Of what nobody has said so for this long, nobody knows any more who missed it.
const FORGOTTEN_MS: i64 = 15_000;
/// How often it is looked for what others have forgotten.
const LOOK: Duration = Duration::from_secs(5);

/// What a gateway did not take. Its clients may be connected all the while: when it is back it closes their connections, so that they
/// pull.
#[derive(Debug, Clone)]
struct Missed {
    users: HashSet<String>,
    everybody: bool,
    last: Instant,
    /// Under which it is kept that there is something.
    id: String,
    /// It is kept.
    kept: bool,
}

impl Default for Missed {
    fn default() -> Self {
        let id = format!("{MISSED}/{}", model::random_id());
        Self { users: HashSet::new(), everybody: false, last: Instant::now(), id, kept: false }
    }
}

impl Missed {
    fn add(&mut self, pushes: &[GatewayPush], audiences: &[&Audience]) {
        self.last = Instant::now();
        let told = |name: &String| pushes.iter().any(|push| push.audience == *name);
        let members = audiences.iter().filter(|audience| told(&audience.name));
        let members = members.flat_map(|audience| audience.users.iter());
        for user in pushes.iter().flat_map(|push| &push.user_ids).chain(members) {
            if self.everybody {
                break;
            }
            if !self.users.contains(user) {
                self.users.insert(user.clone());
                self.everybody = self.users.len() > MOST_REMEMBERED;
            }
        }
        if self.everybody {
            self.users = HashSet::new();
        }
    }

    fn request(&self) -> ResyncReq {
        ResyncReq {
            user_ids: self.users.iter().cloned().collect(),
            everybody: self.everybody,
            missed_ms_ago: self.last.elapsed().as_millis() as u64,
        }
    }
}

/// All gateways, by their RPC address.
#[derive(Clone)]
pub struct Gateways {
    pub(crate) peers: Peers,
    metrics: PushMetrics,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Skipped gateways, and what they miss meanwhile.
    down: Arc<Mutex<HashMap<String, Missed>>>,
    /// That they miss something, for the time after this process.
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
}

impl Gateways {
    /// Every gateway is taken to answer until it does not. Those that are down are waited for in `tasks`, until `stop`.
    pub fn new(
        peers: Peers,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
        metrics: PushMetrics,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { peers, metrics, tasks, stop, down: Arc::default(), jobs, clock }
    }

    /// Hands a gateway what is for its connections, in order.
    pub(crate) async fn push(&self, gateway: String, request: GatewayPushReq, audiences: &[&Audience]) {
        for call in calls(request.pushes) {
            if call.encoded_len() > LARGEST_CALL {
                tracing::error!(gateway, bytes = call.encoded_len(), "push.too_large: its receivers pull it");
                self.metrics.undelivered.inc();
            } else if self.is_down(&gateway, &call, audiences) || !self.tell(&gateway, &call, audiences).await
            {
                self.metrics.undelivered.inc();
                self.keep(&gateway).await;
            }
        }
    }

    /// Whether a gateway is skipped; then what it misses is remembered.
    fn is_down(&self, gateway: &str, call: &GatewayPushReq, audiences: &[&Audience]) -> bool {
        let mut down = self.down.lock();
        let missed = down.get_mut(gateway);
        missed.map(|missed| missed.add(&call.pushes, audiences)).is_some()
    }

    /// Makes a call; a gateway that does not accept it is skipped from then on, `false`.
    async fn tell(&self, gateway: &str, call: &GatewayPushReq, audiences: &[&Audience]) -> bool {
        let started = Instant::now();
        for attempt in 1..=TRIES {
            match self.ask(gateway, call, audiences).await {
                Ok(delivered) => {
                    self.metrics.delivered.inc_by(delivered);
                    return true;
                }
                Err(error) => {
                    let listed = self.listed(gateway);
                    tracing::warn!(gateway, attempt, listed, %error, "push.gateway_failed");
                    if !listed || started.elapsed() >= PATIENCE {
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if is_on(Mutant::MissedForgotten) {
            return false;
        }
        let mut down = self.down.lock();
        let is_first = !down.contains_key(gateway);
        down.entry(gateway.to_owned()).or_default().add(&call.pushes, audiences);
        drop(down);
        if is_first {
            self.tasks.spawn(self.clone().wait_for(gateway.to_owned()));
        }
        false
    }

    async fn ask(
        &self,
        gateway: &str,
        request: &GatewayPushReq,
        audiences: &[&Audience],
    ) -> protocol::Result<u64> {
        let (peer, context) = (self.peers.gateway(gateway)?, Context::system("push"));
        let mut answer = peer.call(&context, request).await?;
        if !answer.unknown_audiences.is_empty() {
            for name in &answer.unknown_audiences {
                let Some(audience) = audiences.iter().find(|audience| audience.name == *name) else {
                    continue;
                };
                let told = PutAudienceReq { audience: name.clone(), user_ids: audience.users.to_vec() };
                // One that does not fit into a call is named with every message.
                if told.encoded_len() <= LARGEST_CALL {
                    peer.call(&context, &told).await?;
                }
            }
            answer = peer.call(&context, request).await?;
        }
        if answer.unknown_audiences.is_empty() {
            return Ok(answer.delivered);
        }
        // More than the gateway keeps at a time.
        let mut delivered = 0;
        for call in calls(spelled_out(request, audiences)) {
            let answer = peer.call(&context, &call).await?;
            delivered += answer.delivered;
        }
        Ok(delivered)
    }

    /// Returns when it is kept that a gateway misses something: only then may an offset be committed, for this process may be gone before the
    /// gateway is back.
    async fn keep(&self, gateway: &str) {
        let mut pause = PAUSE;
        loop {
            let missed = self.down.lock().get(gateway).map(|missed| (missed.id.clone(), missed.kept));
            let Some((id, false)) = missed else { return };
            let job = self.job(id.clone(), gateway);
            let kept = self.jobs.put(std::slice::from_ref(&job)).await;
            let known = self.down.lock().get_mut(gateway).filter(|missed| missed.id == id).map(|missed| {
                missed.kept = kept.is_ok();
            });
            match kept {
                Ok(()) if known.is_none() => self.forget(id).await,
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(gateway, %error, retry_in = ?pause, "push.missed_not_kept");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PATIENCE);
                }
            }
        }
    }

    fn job(&self, id: String, gateway: &str) -> Job {
        let now = self.clock.now_ms();
        let payload = gateway.as_bytes().to_vec();
        Job { id, kind: MISSED.into(), payload, free_ms: now + FORGOTTEN_MS, made_ms: now }
    }

    async fn forget(&self, id: String) {
        // If it stays, connections are closed that have missed nothing.
        if let Err(error) = self.jobs.done(&[id]).await {
            tracing::warn!(%error, "push.missed_not_forgotten");
        }
    }

    /// Looks, until the end of the process, for gateways that miss something of which the process that knew whose it was has ended, or has
    /// given the gateway up: when they are there again, they close all connections that were open then.
    pub async fn take_up(self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            self.take_up_all().await;
        }
    }

    async fn take_up_all(&self) {
        match self.jobs.free(MISSED, self.clock.now_ms()).await {
            Ok(forgotten) => {
                let each = forgotten.iter().map(|job| self.take_up_one(job));
                futures::future::join_all(each).await;
            }
            Err(error) => tracing::warn!(%error, "push.missed_unknown"),
        }
    }

    async fn take_up_one(&self, job: &Job) {
        let gateway = String::from_utf8_lossy(&job.payload).into_owned();
        let now = self.clock.now_ms();
        if now - job.made_ms > DAY_MS {
            self.forget(job.id.clone()).await;
            return;
        }
        if !self.listed(&gateway) || self.down.lock().contains_key(&gateway) {
            return;
        }
        let Ok(peer) = self.peers.gateway(&gateway) else { return };
        let everybody = ResyncReq {
            user_ids: vec![],
            everybody: true,
            missed_ms_ago: u64::try_from(now - job.free_ms).unwrap_or(0),
        };
        if resync(&peer, &gateway, &everybody).await {
            self.forget(job.id.clone()).await;
        }
    }

    fn listed(&self, gateway: &str) -> bool {
        self.peers.gateways().iter().any(|known| known == gateway)
    }

    /// Takes a gateway back in when it answers and has been told whose connections missed something, or when it is gone and no route
    /// can name it any more.
    async fn wait_for(self, gateway: String) {
        let (mut last_listed, mut renewed) = (Instant::now(), Instant::now());
        while last_listed.elapsed() < INCARNATION_TTL {
            if renewed.elapsed() >= RENEW {
                self.renew(&gateway).await;
                renewed = Instant::now();
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            if self.listed(&gateway) {
                last_listed = Instant::now();
            }
            if self.is_back(&gateway).await {
                return;
            }
        }
        // It may come back all the same, and is then asked to close what it has.
        self.down.lock().remove(&gateway);
    }

    /// Says that this process remembers what a gateway misses.
    async fn renew(&self, gateway: &str) {
        let known =
            self.down.lock().get(gateway).filter(|missed| missed.kept).map(|missed| missed.id.clone());
        let Some(id) = known else { return };
        let job = self.job(id, gateway);
        if let Err(error) = self.jobs.put(&[job]).await {
            tracing::warn!(gateway, %error, "push.missed_not_renewed");
        }
    }

    async fn is_back(&self, gateway: &str) -> bool {
        let Ok(peer) = self.peers.gateway(gateway) else { return false };
        if self.ask(gateway, &GatewayPushReq::default(), &[]).await.is_err() {
            return false;
        }
        let Some(missed) = self.down.lock().get(gateway).cloned() else { return true };
        if !resync(&peer, gateway, &missed.request()).await {
            return false;
        }
        {
            let mut down = self.down.lock();
            // What it missed during that call is sent next.
            if down.get(gateway).is_some_and(|now| now.last != missed.last) {
                return false;
            }
            down.remove(gateway);
        }
        // What it misses from here on is kept under another id.
        self.forget(missed.id).await;
        true
    }
}

/// Tells a gateway that is back whose connections missed something; whether it has heard.
async fn resync(peer: &Client, gateway: &str, missed: &ResyncReq) -> bool {
    let answer = peer.call(&Context::system("push"), missed).await;
    match answer {
        Ok(answer) => tracing::info!(gateway, connections = answer.connections, "push.gateway_back"),
        Err(error) if error.unreachable => return false,
        // One of an earlier version cannot be asked.
        Err(error) => {
            tracing::warn!(gateway, %error, "push.gateway_back: its clients pull with their next message")
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicU64, Ordering},
    };

    use bytes::Bytes;
    use config::{Config, DiscoveryKind, Service};

    use protocol::{
        Request,
        internal::{GatewayPushResp, PutAudienceResp, ResyncResp},
    };
    use rpc::RpcService;
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;
    use crate::fake_jobs::Kept;

    /// Counts what it gets; keeps audiences or not.
    #[derive(Default)]
    struct Taker {
        taken: Arc<AtomicU64>,
        keeps: bool,
        kept: Arc<Mutex<HashSet<String>>>,
        told: Arc<AtomicU64>,
        resynced: Arc<Mutex<Vec<ResyncReq>>>,
    }

    #[rpc::async_trait]
    impl RpcService for Taker {
        fn service(&self) -> Service {
            Service::Gateway
        }
        async fn call(&self, _context: &Context, method: &str, payload: Bytes) -> protocol::Result<Bytes> {
            if method == PutAudienceReq::METHOD {
                let request: PutAudienceReq = rpc::decode(payload)?;
                self.told.fetch_add(1, Ordering::Relaxed);
                if self.keeps {
                    self.kept.lock().insert(request.audience);
                }
                return Ok(rpc::encode(&PutAudienceResp {}));
            }
            if method == ResyncReq::METHOD {
                let request: ResyncReq = rpc::decode(payload)?;
                let connections = request.user_ids.len() as u64;
                self.resynced.lock().push(request);
                return Ok(rpc::encode(&ResyncResp { connections }));
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
            let named: usize = request.pushes.iter().map(|push| push.user_ids.len()).sum();
            self.taken.fetch_add(delivered + 100 * named as u64, Ordering::Relaxed);
            Ok(rpc::encode(&GatewayPushResp { delivered, unknown_audiences: vec![] }))
        }
    }

    async fn until(what: impl Fn() -> bool) {
        let looks = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG_ENOUGH, looks).await.expect("it did not come about");
    }

    /// For whatever has to happen on any machine.
    const LONG_ENOUGH: Duration = Duration::from_secs(60);

    const SECRET: &str = "a secret of the cluster";

    fn serve(gateways: &Gateways, taker: Taker, listener: TcpListener) {
        let (key, metrics) = (gateways.peers.key().clone(), rpc::RpcMetrics::default());
        gateways.tasks.spawn(rpc::serve(
            Arc::new(taker),
            listener,
            key,
            None,
            metrics,
            budget::Budget::new(32 << 20),
            gateways.stop.clone(),
        ));
    }

    /// A push process.
    fn gateways() -> Gateways {
        process(&Kept::default(), 1, 0)
    }

    /// One beside others, at another time, that is told of a gateway at a port.
    fn process(kept: &Kept, port: u16, later_ms: i64) -> Gateways {
        let mut config = Config { secret: SECRET.into(), ..Default::default() };
        config.discovery.enable = DiscoveryKind::Static;
        config.discovery.host = "127.0.0.1".into();
        let offset = config.rpc_port(Service::Gateway) - config.rpc_base_port;
        let config = Config { rpc_base_port: port.saturating_sub(offset), ..config };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let peers = Peers::start(&config, None, &tasks, &stop);
        let (jobs, clock) = (Arc::new(kept.clone()), Arc::new(Later(later_ms)));
        Gateways::new(peers, jobs, clock, PushMetrics::default(), tasks, stop)
    }

    struct Later(i64);

    impl Clock for Later {
        fn now_ms(&self) -> i64 {
            model::SystemClock.now_ms() + self.0
        }
    }

    /// An address at which nothing listens yet, and which nobody else gets: not even as the near end of a connection.
    fn reserved() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    async fn end(gateways: &Gateways) {
        gateways.stop.cancel();
        gateways.tasks.close();
        gateways.tasks.wait().await;
    }

    fn one() -> GatewayPushReq {
        GatewayPushReq { pushes: vec![GatewayPush::default()] }
    }

    fn to(user: &str) -> GatewayPushReq {
        GatewayPushReq { pushes: vec![GatewayPush { user_ids: vec![user.into()], ..Default::default() }] }
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_answer_is_left_out_until_it_does() {
        let gateways = gateways();
        // Nothing answers here until the gateway "starts".
        let (socket, address) = reserved();

        gateways.push(address.to_string(), one(), &[]).await;
        assert!(gateways.down.lock().contains_key(&address.to_string()));

        let taken = Arc::new(AtomicU64::new(0));
        let listener = socket.listen(64).unwrap();
        serve(&gateways, Taker { taken: taken.clone(), ..Default::default() }, listener);
        until(|| gateways.down.lock().is_empty()).await;
        assert_eq!(taken.load(Ordering::Relaxed), 0, "what asks whether it is back delivers nothing");
        gateways.push(address.to_string(), one(), &[]).await;
        assert_eq!(taken.load(Ordering::Relaxed), 1);
        assert_eq!((gateways.metrics.delivered.get(), gateways.metrics.undelivered.get()), (1, 1));

        end(&gateways).await;
    }

    #[tokio::test]
    async fn a_gateway_that_is_back_is_told_who_missed_something() {
        let gateways = gateways();
        let (socket, address) = reserved();
        for user in ["a", "b", "a"] {
            gateways.push(address.to_string(), to(user), &[]).await;
        }
        assert_eq!(gateways.metrics.undelivered.get(), 3);

        let resynced = Arc::<Mutex<Vec<ResyncReq>>>::default();
        let listener = socket.listen(64).unwrap();
        serve(&gateways, Taker { resynced: resynced.clone(), ..Default::default() }, listener);
        until(|| gateways.down.lock().is_empty()).await;
        gateways.push(address.to_string(), to("c"), &[]).await;
        assert_eq!(gateways.metrics.delivered.get(), 1);
        let mut told = resynced.lock().clone();
        assert_eq!(told.len(), 1);
        told[0].user_ids.sort();
        assert_eq!((told[0].user_ids.clone(), told[0].everybody), (vec!["a".into(), "b".into()], false));

        end(&gateways).await;
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_gateway_that_was_told() {
        let kept = Kept::default();
        let (socket, address) = reserved();
        let push = process(&kept, address.port(), 0);
        // Keeping fails twice: until it is kept, the batch is not finished.
        kept.failing.store(2, Ordering::Relaxed);
        push.push(address.to_string(), to("a"), &[]).await;
        push.push(address.to_string(), to("b"), &[]).await;
        assert_eq!(kept.ids().len(), 1, "once for all of it");
        serve(&push, Taker::default(), socket.listen(64).unwrap());
        until(|| kept.ids().is_empty()).await;
        end(&push).await;
    }

    #[tokio::test]
    async fn what_a_push_remembers_that_ends_is_taken_up_by_another() {
        // It ends in good order or not; the gateway comes back before or after that.
        for (in_order, back_first) in [(true, false), (false, false), (false, true)] {
            let kept = Kept::default();
            let (socket, address) = reserved();
            let first = process(&kept, address.port(), 0);
            first.push(address.to_string(), to("a"), &[]).await;
            if in_order {
                end(&first).await;
            } else {
                // Killed: nothing of it runs any more.
                first.stop.cancel();
            }
            let second = process(&kept, address.port(), FORGOTTEN_MS + 1000);
            second.peers.gateways_listed().await;
            if !back_first {
                second.take_up_all().await;
                assert_eq!(kept.ids().len(), 1, "the gateway is not there yet");
            }
            let resynced = Arc::<Mutex<Vec<ResyncReq>>>::default();
            let taker = Taker { resynced: resynced.clone(), ..Default::default() };
            serve(&second, taker, socket.listen(64).unwrap());
            until_some(&second, || !resynced.lock().is_empty()).await;
            let told = resynced.lock().clone();
            assert!(told[0].everybody && told[0].missed_ms_ago < 10_000, "{told:?}");
            assert!(kept.ids().is_empty());
            second.take_up_all().await;
            assert_eq!(resynced.lock().len(), 1);
            end(&second).await;
        }
    }

    /// Looks until it has come about.
    async fn until_some(push: &Gateways, what: impl Fn() -> bool) {
        let looks = async {
            while !what() {
                push.take_up_all().await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG_ENOUGH, looks).await.expect("it did not come about");
    }

    #[tokio::test]
    async fn what_another_remembers_is_left_to_it_and_what_is_old_goes() {
        let kept = Kept::default();
        let (socket, address) = reserved();
        let first = process(&kept, address.port(), 0);
        first.push(address.to_string(), to("a"), &[]).await;
        let resynced = Arc::<Mutex<Vec<ResyncReq>>>::default();
        let second = process(&kept, address.port(), 0);
        second.peers.gateways_listed().await;
        end(&first).await;
        serve(
            &second,
            Taker { resynced: resynced.clone(), ..Default::default() },
            socket.listen(64).unwrap(),
        );
        second.take_up_all().await;
        assert!(resynced.lock().is_empty() && kept.ids().len() == 1);
        let days_later = process(&kept, 1, DAY_MS + 1000);
        days_later.take_up_all().await;
        assert!(kept.ids().is_empty());
        end(&second).await;
        end(&days_later).await;
    }

    #[test]
    fn more_than_can_be_remembered_is_everybody() {
        let users = Arc::new((0..=MOST_REMEMBERED).map(|user| user.to_string()).collect::<Vec<_>>());
        let audience = Audience { name: "g/1/2".into(), users, except: String::new() };
        let mut missed = Missed::default();
        missed.add(&to("a").pushes, &[&audience]);
        assert_eq!((missed.users.len(), missed.everybody), (1, false), "nothing was for the audience");
        missed.add(&[GatewayPush { audience: "g/1/2".into(), ..Default::default() }], &[&audience]);
        assert!(missed.everybody && missed.request().user_ids.is_empty());
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
                let push = GatewayPush {
                    audience: audience.name.clone(),
                    except: audience.except.clone(),
                    ..Default::default()
                };
                gateways.push(address.clone(), GatewayPushReq { pushes: vec![push] }, &[&audience]).await;
            }
            // A gateway that stores no audience gets the names with every message, without the excluded one.
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
        assert!(gateways.down.lock().contains_key(&address));
        end(&gateways).await;
    }
}
