//! Discovery by etcd: every process registers its services under a lease, `<root>/<service>/<host:port>`, and follows those of the
//! others. While etcd is unavailable, the last known state is used; a crashed process is dropped when its lease expires.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use config::{Config, DiscoveryKind, Etcd, Service};
use etcd_client::{Client, ConnectOptions, Error, GetOptions, PutOptions, WatchOptions};
use tokio_util::sync::CancellationToken;

use crate::discovery::Found;

/// Seconds after which a process that died without a word is dropped.
const LEASE_SECONDS: i64 = 10;
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Delay between two tries while etcd is unavailable.
const RETRY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

async fn connect(etcd: &Etcd) -> Result<Client, Error> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(TIMEOUT)
        .with_keep_alive(KEEP_ALIVE, TIMEOUT)
        .with_keep_alive_while_idle(true);
    if !etcd.username.is_empty() {
        options = options.with_user(&etcd.username, &etcd.password);
    }
    Client::connect(&etcd.address, Some(options)).await
}

fn directory(etcd: &Etcd, name: &str) -> String {
    format!("{}/{name}/", etcd.root_directory.trim_end_matches('/'))
}

/// Where Prometheus finds the processes of a service (docs/protocol/storage.md#4-etcd).
fn metrics_of(component: &str) -> String {
    format!("prometheus_discovery/{component}")
}

/// Registers this process's instance of a service until `stop`. Does nothing with another kind of discovery.
pub async fn announce(config: Config, service: Service, stop: CancellationToken) {
    let address = config.rpc_address(service);
    register_until(&config, service.name(), &address, &stop).await;
}

/// Registers this process's metrics until `stop`. Does nothing with another kind of discovery.
pub async fn announce_metrics(config: Config, component: String, stop: CancellationToken) {
    let address = config.advertised(config.admin_port);
    register_until(&config, &metrics_of(&component), &address, &stop).await;
}

/// Where the metrics of a service are, as far as its processes have registered.
///
/// # Errors
/// When etcd does not answer.
pub async fn metrics_targets(etcd: &Etcd, component: &str) -> protocol::Result<Vec<String>> {
    let list = async {
        let mut client = connect(etcd).await?;
        let prefix = directory(etcd, &metrics_of(component));
        let listed = client.get(prefix, Some(GetOptions::new().with_prefix())).await?;
        listed.kvs().iter().map(|entry| Ok(entry.value_str()?.to_owned())).collect::<Result<Vec<_>, Error>>()
    };
    list.await.map_err(|error| protocol::Error::internal(format!("etcd: {error}")))
}

async fn register_until(config: &Config, name: &str, address: &str, stop: &CancellationToken) {
    if config.discovery.enable != DiscoveryKind::Etcd {
        return;
    }
    let mut was_told = false;
    while !stop.is_cancelled() {
        let registered = register(&config.etcd, name, address, stop).await;
        let Err(error) = registered else { return };
        if !was_told {
            tracing::warn!(name, address, %error, "discovery.not_registered: retrying");
        }
        was_told = true;
        pause(stop).await;
    }
}

async fn register(etcd: &Etcd, name: &str, address: &str, stop: &CancellationToken) -> Result<(), Error> {
    let key = format!("{}{address}", directory(etcd, name));
    let mut client = connect(etcd).await?;
    let lease = client.lease_grant(LEASE_SECONDS, None).await?.id();
    client.put(key.clone(), address, Some(PutOptions::new().with_lease(lease))).await?;
    tracing::info!(key, "discovery.registered");
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                // New callers no longer find it.
                client.lease_revoke(lease).await?;
                return Ok(());
            }
            () = tokio::time::sleep(KEEP_ALIVE) => {}
        }
        keeper.keep_alive().await?;
        let answer = tokio::time::timeout(TIMEOUT, answers.message()).await;
        let left = answer.ok().transpose()?.flatten().map_or(0, |answer| answer.ttl());
        if left == 0 {
            return Err(Error::LeaseKeepAliveError("the lease has ended".into()));
        }
    }
}

/// Tells `found` of every change of a service's instances until `stop`.
pub(crate) async fn follow(etcd: Etcd, service: Service, mut found: Found, stop: CancellationToken) {
    let mut was_told = false;
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            watched = watch(&etcd, service, &mut found) => match watched {
                Ok(()) => return,
                Err(error) => {
                    if !was_told {
                        tracing::warn!(service = service.name(), %error, "discovery.away: keeping the known addresses");
                    }
                    was_told = true;
                }
            }
        }
        pause(&stop).await;
    }
}

/// Ends well only when nobody wants to know any more.
async fn watch(etcd: &Etcd, service: Service, found: &mut Found) -> Result<(), Error> {
    let prefix = directory(etcd, service.name());
    let mut client = connect(etcd).await?;
    loop {
        let listed = client.get(prefix.clone(), Some(GetOptions::new().with_prefix())).await?;
        let mut seen = HashSet::<SocketAddr>::new();
        for entry in listed.kvs() {
            // An address that cannot be resolved now is asked for with the next change.
            if let Ok(addresses) = tokio::net::lookup_host(entry.value_str()?).await {
                seen.extend(addresses);
            }
        }
        if !found.set(seen).await {
            return Ok(());
        }
        let from = listed.header().map_or(0, |header| header.revision()) + 1;
        let options = WatchOptions::new().with_prefix().with_start_revision(from);
        let mut changes = client.watch(prefix.clone(), Some(options)).await?;
        loop {
            let change =
                changes.message().await?.ok_or_else(|| Error::WatchError("the watch has ended".into()))?;
            if change.canceled() {
                return Err(Error::WatchError(change.cancel_reason().into()));
            }
            if !change.events().is_empty() {
                break;
            }
        }
    }
}

async fn pause(stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(RETRY) => {}
    }
}
