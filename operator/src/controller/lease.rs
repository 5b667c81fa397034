//! Leader election by compare-and-swap on a Lease. Expiry is judged by locally observed time, as client-go does: clocks of different
//! machines are never compared. A lost lease ends the process: a second leader is worse than a restart.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, api::PostParams};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Another one takes over at most `LEASE` and twice `RENEW_EVERY` after the leader's death: it looks that often, and so it saw the last renewal.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// Annotation: the namespaces that the holder watches, separated by commas; empty: all.
pub(crate) const WATCHES: &str = "openim.io/watches";
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// The leader gives up before another replica can take the Lease.
const RENEW_DEADLINE: Duration = Duration::from_secs(8);

/// A candidate.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// The value of [`WATCHES`].
    watches: Option<String>,
    /// The last observed state of another holder, and when, by our own clock.
    seen: Option<(Option<MicroTime>, Instant)>,
}

impl Candidate {
    /// A candidate for the Lease `name`.
    pub fn new(api: Api<Lease>, name: &str, identity: &str) -> Self {
        Self { api, name: name.to_owned(), identity: identity.to_owned(), watches: None, seen: None }
    }

    /// Records in the Lease which namespaces this candidate watches; none: all.
    #[must_use]
    pub fn watching(self, namespaces: &[String]) -> Self {
        Self { watches: Some(namespaces.join(",")), ..self }
    }

    /// Takes or renews the Lease if that is allowed now.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    annotations: self.watches.clone().map(|watches| [(WATCHES.to_owned(), watches)].into()),
                    ..Default::default()
                },
                spec: Some(self.claim(now.clone(), now, 0)),
            };
            return settled(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let transitions = spec.lease_transitions.unwrap_or(0);
        if holder == self.identity {
            lease.spec = Some(self.claim(spec.acquire_time.unwrap_or_else(|| now.clone()), now, transitions));
        } else {
            let renewed = spec.renew_time.clone();
            let since = match &self.seen {
                Some((known, since)) if *known == renewed => *since,
                _ => {
                    let first = Instant::now();
                    self.seen = Some((renewed, first));
                    first
                }
            };
            if !holder.is_empty() && since.elapsed() < LEASE {
                return Ok(false);
            }
            lease.spec = Some(self.claim(now.clone(), now, transitions + 1));
        }
        if let Some(watches) = &self.watches {
            let annotations = lease.metadata.annotations.get_or_insert_default();
            annotations.insert(WATCHES.to_owned(), watches.clone());
        }
        // `replace` sends the resourceVersion that was read: a concurrent writer wins, and we get 409.
        settled(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn claim(&self, acquired: MicroTime, renewed: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(LEASE.as_secs() as i32),
            acquire_time: Some(acquired),
            renew_time: Some(renewed),
            lease_transitions: Some(transitions),
            ..Default::default()
        }
    }

    /// Waits until this candidate leads.
    pub async fn lead(&mut self) {
        loop {
            match timeout(RENEW_DEADLINE, self.attempt()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "lease.not_acquired"),
                Err(_elapsed) => tracing::warn!("lease.not_acquired: the API server does not answer"),
            }
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    /// Renews until `stop` or until the Lease is lost; `true` when it was lost.
    pub async fn hold(&mut self, stop: &CancellationToken) -> bool {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
            let asked = Instant::now();
            match timeout_at(renewed + RENEW_DEADLINE, self.attempt()).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => return true,
                Ok(Err(error)) => tracing::warn!(%error, "lease.not_renewed"),
                Err(_elapsed) => {
                    tracing::warn!("lease.not_renewed: the API server does not answer");
                    return true;
                }
            }
        }
    }

    /// Lets others take over at once.
    pub async fn release(&mut self) {
        let Ok(Ok(Some(mut lease))) = timeout(RENEW_EVERY, self.api.get_opt(&self.name)).await else {
            return;
        };
        let ours = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref())
            == Some(self.identity.as_str());
        if let Some(spec) = lease.spec.as_mut().filter(|_| ours) {
            spec.holder_identity = None;
            let _released =
                timeout(RENEW_EVERY, self.api.replace(&self.name, &PostParams::default(), &lease)).await;
        }
    }
}

fn settled(outcome: kube::Result<Lease>) -> kube::Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
