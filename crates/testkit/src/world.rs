//! What outlives every process: the log, the store, the clock, and who serves what now.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use bus::memory::Log;
use bytes::Bytes;
use config::{Config, Live, Service};
use faults::fate::{Calm, Fate, Fates, Kind, dies};
use parking_lot::Mutex;
use protocol::{Error, Request, Result};
use rpc::{Context, Local, Peers, RpcService};
use store::{Store, memory::Memory};
use webhooks::Webhooks;

use crate::{JumpingClock, Process, oracle::Oracle, process::Weather};

/// Partitions of each topic: few, so that batches have several messages.
const PARTITIONS: i32 = 2;

type Serving = HashMap<(Service, String), (Arc<Process>, Arc<dyn RpcService>)>;

/// See the module.
#[derive(Clone)]
pub struct World {
    /// The collections.
    pub memory: Memory,
    /// The topics.
    pub log: Log,
    /// What time it is.
    pub clock: JumpingClock,
    /// The configuration of all services.
    pub config: Arc<Config>,
    pub(crate) live: Live,
    pub(crate) webhooks: Webhooks,
    /// Where the gateways are called.
    pub gateways: Vec<SocketAddr>,
    pub(crate) weather: Weather,
    pub(crate) journal: Arc<Mutex<Vec<String>>>,
    pub(crate) oracle: Oracle,
    serving: Arc<Mutex<Serving>>,
}

thread_local! {
    /// Making its HTTP client takes longer than a whole schedule.
    static SHARED: (Arc<Config>, Webhooks) = {
        let config = Config { secret: "a secret of the cluster".into(), ..Config::default() };
        let webhooks = Webhooks::new(&config, None).unwrap_or_else(|error| panic!("{error}"));
        (Arc::new(config), webhooks)
    };
}

impl World {
    /// An empty world with the indexes of the store and so many gateways.
    pub async fn new(gateways: u8) -> Self {
        let (config, webhooks) = SHARED.with(Clone::clone);
        let (memory, oracle) = (Memory::default(), Oracle::default());
        let log = Log::new(PARTITIONS, Some(oracle.watch(&memory, &config)));
        let world = Self {
            memory,
            log,
            clock: JumpingClock::begin(),
            live: Live::fixed((*config).clone()),
            config,
            webhooks,
            gateways: (1..=gateways).map(|last| SocketAddr::from(([10, 0, 0, last], 1))).collect(),
            weather: Weather::default(),
            journal: Arc::default(),
            oracle,
            serving: Arc::default(),
        };
        let indexed = world.calm_store().ensure_indexes().await;
        indexed.unwrap_or_else(|error| panic!("{error}"));
        world
    }

    /// The store as somebody sees it to whom nothing happens.
    pub fn calm_store(&self) -> Store {
        Store::in_memory(&self.memory, Arc::new(Calm))
    }

    /// The store as a process sees it.
    pub fn store(&self, process: &Arc<Process>) -> Store {
        Store::in_memory(&self.memory, process.clone())
    }

    /// How a process reaches the others.
    pub fn peers(&self, caller: &Arc<Process>) -> Peers {
        let calls = Calls { caller: caller.clone(), serving: self.serving.clone() };
        Peers::local(&self.config, Arc::new(calls), &self.gateways)
    }

    /// From now on this process answers for a service; only gateways are told apart.
    pub fn serve(&self, address: &str, process: &Arc<Process>, service: Arc<dyn RpcService>) {
        let place = (service.service(), address.to_owned());
        self.serving.lock().insert(place, (process.clone(), service));
    }

    /// Calls a service as a client does whose request has been let in.
    ///
    /// # Errors
    /// That of the service; `unreachable` when its process is dead, or dies meanwhile.
    pub async fn call<R: Request>(&self, context: &Context, request: &R) -> Result<R::Response> {
        let service = Service::RPC.into_iter().find(|service| service.name() == R::SERVICE);
        let service = service.unwrap_or_else(|| panic!("no service is called {}", R::SERVICE));
        let payload = request.encode_to_vec().into();
        let answer = answer(&self.serving, (service, ""), context, R::METHOD, payload).await?;
        rpc::decode(answer)
    }
}

async fn answer(
    serving: &Mutex<Serving>,
    (service, address): (Service, &str),
    context: &Context,
    method: &str,
    payload: Bytes,
) -> Result<Bytes> {
    let gone = || Error::unreachable(format!("{service:?} {address} does not answer"));
    let found = serving.lock().get(&(service, address.to_owned())).cloned();
    let Some((process, service)) = found else { return Err(gone()) };
    // That a call arrives is a step of the process that is called.
    let work = async {
        let call = service.call(context, method, payload);
        match process.step(Kind::Call, method).await {
            Fate::Refused | Fate::Half => Err(gone()),
            Fate::Lost => call.await.and(Err(gone())),
            Fate::DiesBefore => dies(process.as_ref()).await,
            Fate::DiesAfter => {
                let _unheard = call.await;
                dies(process.as_ref()).await
            }
            Fate::Done | Fate::Twice | Fate::Conflict => call.await,
        }
    };
    tokio::select! {
        biased;
        () = process.died() => Err(gone()),
        answer = work => answer,
    }
}

/// The calls of one process.
struct Calls {
    caller: Arc<Process>,
    serving: Arc<Mutex<Serving>>,
}

#[async_trait::async_trait]
impl Local for Calls {
    async fn call(
        &self,
        context: &Context,
        place: (Service, &str),
        method: &str,
        payload: Bytes,
    ) -> Result<Bytes> {
        let lost = || Err(Error::unreachable(format!("the answer to {method} is lost")));
        let call = || answer(&self.serving, place, context, method, payload.clone());
        match self.caller.step(Kind::Call, method).await {
            Fate::Refused | Fate::Half => lost(),
            Fate::Lost => call().await.and(lost()),
            Fate::DiesBefore => dies(self.caller.as_ref()).await,
            Fate::DiesAfter => {
                let _unheard = call().await;
                dies(self.caller.as_ref()).await
            }
            Fate::Done | Fate::Twice | Fate::Conflict => call().await,
        }
    }
}
