//! Operators in other namespaces that watch the same clusters: two of them would revert each other's changes. The one with the older Lease leads, the
//! others wait. Only an operator that watches all namespaces has the rights to look for others.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, ResourceExt, api::ListParams};
use planner::model::names::MANAGER;
use tokio::time::sleep;

use crate::controller::lease::{LEASE, WATCHES};

/// How often the leader looks for others.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Finds the operators of other namespaces.
pub struct Rivals {
    leases: Api<Lease>,
    namespace: String,
}

impl Rivals {
    /// The rivals of the operator in a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { leases: Api::all(client), namespace: namespace.to_owned() }
    }

    /// Waits until no operator with an older Lease leads.
    pub async fn gone(&self) {
        while let Some(rival) = self.look().await {
            tracing::error!(rival, "operator.waits: {REMEDY}");
            sleep(LEASE).await;
        }
    }

    /// Waits until an operator with an older Lease leads; returns its namespace.
    pub async fn appears(&self) -> String {
        loop {
            sleep(LOOK_EVERY).await;
            if let Some(rival) = self.look().await {
                return rival;
            }
        }
    }

    /// The namespace of an older Lease whose holder is alive, judged by its renewals: clocks are not compared.
    async fn look(&self) -> Option<String> {
        let before = self.list().await;
        if before.iter().all(|lease| lease.namespace().as_ref() == Some(&self.namespace)) {
            return None;
        }
        sleep(LEASE).await;
        older(&self.namespace, &before, &self.list().await)
    }

    async fn list(&self) -> Vec<Lease> {
        let ours = ListParams::default().fields(&format!("metadata.name={MANAGER}"));
        match self.leases.list(&ours).await {
            Ok(listed) => listed.items,
            Err(error) => {
                // The ClusterRole of an older chart lacks the right: do without the check.
                tracing::warn!(%error, "operator.rivals_unknown");
                vec![]
            }
        }
    }
}

/// What to do about a rival.
pub const REMEDY: &str = "it also watches all namespaces: uninstall one of the two, or give each its own namespaces (chart value watchNamespaces)";

/// The namespace of the oldest other Lease that is older than ours, covers all namespaces, and was renewed between the two lists.
fn older(namespace: &str, before: &[Lease], now: &[Lease]) -> Option<String> {
    let is_ours = |lease: &Lease| lease.namespace().as_deref() == Some(namespace);
    let age = |lease: &Lease| (lease.creation_timestamp().map(|time| time.0), lease.namespace());
    let ours = now.iter().find(|lease| is_ours(lease)).map(age);
    let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
    let leads = |lease: &&Lease| {
        let earlier = before.iter().find(|other| other.uid() == lease.uid());
        let is_held = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()).is_some();
        is_held && earlier.is_some_and(|earlier| renewed(earlier) != renewed(lease))
    };
    let sees_all = |lease: &&Lease| lease.annotations().get(WATCHES).is_some_and(String::is_empty);
    let rivals = now.iter().filter(|lease| !is_ours(lease)).filter(leads).filter(sees_all);
    let oldest = rivals.min_by_key(|lease| age(lease))?;
    ours.is_none_or(|ours| age(oldest) < ours).then(|| oldest.namespace().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Lease by namespace, second of its creation, second of its last renewal, and what its holder watches.
    fn lease(namespace: &str, created: u8, renewed: u8, watches: Option<&str>) -> Lease {
        let annotations = watches.map(|watches| serde_json::json!({ WATCHES: watches }));
        serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": MANAGER, "namespace": namespace, "uid": namespace, "annotations": annotations,
                "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z"),
            },
            "spec": { "holderIdentity": "pod",
                "renewTime": format!("2026-01-01T00:01:{renewed:02}.000000Z") },
        }))
        .unwrap()
    }

    #[test]
    fn the_older_of_two_leads() {
        let at = |renewed: u8| vec![lease("a", 1, renewed, Some("")), lease("b", 2, renewed, Some(""))];
        assert_eq!(older("a", &at(1), &at(2)), None);
        assert_eq!(older("b", &at(1), &at(2)).as_deref(), Some("a"));
        assert_eq!(older("c", &at(1), &at(2)).as_deref(), Some("a"), "without a Lease of its own");
    }

    #[test]
    fn a_dead_or_namespaced_operator_is_no_rival() {
        let still = [lease("a", 1, 5, Some("")), lease("b", 2, 5, Some(""))];
        assert_eq!(older("b", &still, &still), None, "no renewal");
        let at =
            |renewed: u8| vec![lease("a", 1, renewed, Some("chat,team")), lease("b", 2, renewed, Some(""))];
        assert_eq!(older("b", &at(1), &at(2)), None, "it watches other namespaces");
        let released = |renewed: u8| {
            let mut released = lease("a", 1, renewed, Some(""));
            released.spec.as_mut().unwrap().holder_identity = None;
            vec![released]
        };
        assert_eq!(older("b", &released(1), &released(2)), None);
    }
}
