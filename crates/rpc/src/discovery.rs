//! The instances of a service: by DNS name, or by registration.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use config::{Config, DiscoveryKind, Service};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, channel::Change};

use crate::{
    etcd,
    tls::{Tls, endpoint},
};

/// How often names are resolved.
const PERIOD: Duration = Duration::from_secs(2);

/// The instances of a service, once they have been listed.
pub(crate) type Listed = Option<HashSet<SocketAddr>>;

/// The known instances of a service, and who is notified of changes.
pub(crate) struct Found {
    known: HashSet<SocketAddr>,
    changes: mpsc::Sender<Change<SocketAddr, Endpoint>>,
    /// Of the gateways: for callers that ask each of them.
    all: Option<watch::Sender<Listed>>,
    tls: Option<Tls>,
}

impl Found {
    pub(crate) fn new(
        changes: mpsc::Sender<Change<SocketAddr, Endpoint>>,
        all: Option<watch::Sender<Listed>>,
        tls: Option<Tls>,
    ) -> Self {
        Self { known: HashSet::new(), changes, all, tls }
    }

    /// Tells what came and went; whether anybody listens.
    pub(crate) async fn set(&mut self, seen: HashSet<SocketAddr>) -> bool {
        for gone in self.known.difference(&seen) {
            if self.changes.send(Change::Remove(*gone)).await.is_err() {
                return false;
            }
        }
        for new in seen.difference(&self.known) {
            let Some(endpoint) = endpoint(new, self.tls.as_ref()) else { continue };
            if self.changes.send(Change::Insert(*new, endpoint)).await.is_err() {
                return false;
            }
        }
        if let Some(all) = &self.all {
            all.send_replace(Some(seen.clone()));
        }
        self.known = seen;
        true
    }
}

/// Follows a service until `stop`.
pub(crate) async fn follow(config: Config, service: Service, found: Found, stop: CancellationToken) {
    let port = config.rpc_port(service);
    match config.discovery.enable {
        DiscoveryKind::Etcd => etcd::follow(config.etcd, service, found, stop).await,
        DiscoveryKind::Static => resolve(format!("{}:{port}", config.discovery.host), found, stop).await,
        DiscoveryKind::Kubernetes => {
            let name = format!("{}{}:{port}", config.discovery.service_prefix, service.name());
            resolve(name, found, stop).await;
        }
    }
}

/// Resolves a name periodically.
async fn resolve(name: String, mut found: Found, stop: CancellationToken) {
    loop {
        // A failed look-up keeps what is known: the name server may be away while the services are well.
        if let Ok(addresses) = tokio::net::lookup_host(&name).await
            && !found.set(addresses.collect()).await
        {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_and_goes_is_told_once() {
        let (changes, mut told) = mpsc::channel(8);
        let (all, listed) = watch::channel(None);
        let mut found = Found::new(changes, Some(all), None);
        let [a, b]: [SocketAddr; 2] = ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        for seen in [vec![a], vec![a, b], vec![a, b], vec![b]] {
            assert!(found.set(seen.into_iter().collect()).await);
        }
        let mut order = vec![];
        while let Ok(change) = told.try_recv() {
            order.push(match change {
                Change::Insert(address, _) => (true, address),
                Change::Remove(address) => (false, address),
            });
        }
        assert_eq!(order, [(true, a), (true, b), (false, a)]);
        assert_eq!(*listed.borrow(), Some(HashSet::from([b])));
        drop(told);
        assert!(!found.set(HashSet::from([a])).await);
    }
}
