//! Volumes of managed servers: they grow with the spec, and never shrink. Kubernetes does not let a StatefulSet's claim template change,
//! so the claims themselves are changed.

use crds::{Managed, Reason};
use topology::Server;

use crate::model::{cluster::Cluster, observed::Observed, plan::Blocker, quantity::amount, volume::Growth};

/// What must grow, and what cannot be done.
pub fn growth(cluster: &Cluster, observed: &Observed) -> (Vec<Growth>, Vec<Blocker>) {
    let (mut grow, mut blockers) = (Vec::new(), Vec::new());
    for (server, wanted) in cluster.servers() {
        let claims = observed.volumes.iter().filter(|(_, volume)| volume.server == server.name());
        let mut larger = None;
        for (claim, volume) in claims {
            let (Some(has), Some(wants)) = (amount(&volume.storage), amount(&wanted.storage)) else {
                continue;
            };
            if wants > has {
                grow.push(Growth {
                    server: server.to_string(),
                    claim: claim.clone(),
                    storage: wanted.storage.clone(),
                });
            } else if wants < has {
                larger = Some((claim, volume));
            }
        }
        blockers.extend(larger.map(|(claim, volume)| Blocker {
            component: server.to_string(),
            reason: Reason::InvalidSpec,
            message: format!(
                "spec.{server}.managed.storage is {}, but the volume {claim} has {}: volumes cannot \
                 shrink; restore the previous size",
                wanted.storage, volume.storage
            ),
        }));
    }
    (grow, blockers)
}

/// Volumes stay in the storage class that they were made in; an edit that the API server cannot compare comes to here.
pub fn fixed_class(cluster: &Cluster, observed: &Observed) -> Vec<Blocker> {
    let told = |(server, wanted): (Server, &Managed)| {
        let live = observed.stateful_set(cluster, server)?;
        let made_in =
            live.claims.as_ref()?.first()?.spec.as_ref()?.storage_class_name.as_deref().unwrap_or_default();
        (made_in != wanted.storage_class).then(|| Blocker {
            component: server.to_string(),
            reason: Reason::InvalidSpec,
            message: format!(
                "spec.{server}.managed.storageClass is {:?}, but its volumes were created with \
                 {made_in:?}: restore the previous value",
                wanted.storage_class
            ),
        })
    };
    cluster.servers().into_iter().filter_map(told).collect()
}

/// What to say when Kubernetes does not let a claim grow.
pub fn refused(growth: &Growth, answer: &str) -> Blocker {
    Blocker {
        component: growth.server.clone(),
        reason: Reason::InvalidSpec,
        message: format!(
            "spec.{}.managed.storage is {}, but the volume {} cannot grow: {answer}; let its storage class expand volumes \
             (allowVolumeExpansion), or set storage back",
            growth.server, growth.storage, growth.claim
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};

    use super::*;
    use crate::{
        model::{volume::Volume, workload::Rollout},
        validate::{tests::object, validate},
    };

    fn observed(claims: &[(&str, &str, &str)]) -> Observed {
        let volumes: BTreeMap<String, Volume> = claims
            .iter()
            .map(|(claim, server, storage)| {
                ((*claim).to_owned(), Volume { server: (*server).to_owned(), storage: (*storage).to_owned() })
            })
            .collect();
        Observed { volumes, ..Default::default() }
    }

    #[test]
    fn another_storage_class_is_told_of_whatever_way_it_came() {
        let with = |spec: &str| validate(&object(spec)).unwrap();
        let made = |class: Option<&str>| {
            let spec = PersistentVolumeClaimSpec {
                storage_class_name: class.map(str::to_owned),
                ..Default::default()
            };
            let claim = PersistentVolumeClaim { spec: Some(spec), ..Default::default() };
            let live = Rollout { claims: Some(vec![claim]), ..Default::default() };
            Observed { stateful_sets: [("chat-kafka".to_owned(), live)].into(), ..Default::default() }
        };
        assert!(fixed_class(&with("{}"), &made(None)).is_empty());
        let fast = with("kafka: {managed: {storageClass: fast}}");
        assert!(fixed_class(&fast, &made(Some("fast"))).is_empty());
        assert!(fixed_class(&fast, &Observed::default()).is_empty(), "not made yet");
        let [told] = fixed_class(&fast, &made(None)).try_into().unwrap();
        assert!(told.message.contains("spec.kafka.managed.storageClass is \"fast\""), "{}", told.message);
        assert_eq!(fixed_class(&with("{}"), &made(Some("fast"))).len(), 1, "`managed` was dropped");
    }

    #[test]
    fn every_claim_of_a_server_that_is_too_small_grows() {
        let cluster = validate(&object("kafka: {managed: {storage: 20Gi}}")).unwrap();
        let observed = observed(&[
            ("data-chat-kafka-0", "kafka", "10Gi"),
            ("data-chat-kafka-1", "kafka", "20480Mi"),
            ("data-chat-kafka-2", "kafka", "1Gi"),
            ("data-chat-redis-0", "redis", "10Gi"),
        ]);
        let (grow, blockers) = growth(&cluster, &observed);
        let claims: Vec<&str> = grow.iter().map(|growth| growth.claim.as_str()).collect();
        assert_eq!(claims, ["data-chat-kafka-0", "data-chat-kafka-2"]);
        assert!(grow.iter().all(|growth| growth.storage == "20Gi"));
        assert!(blockers.is_empty());
    }

    #[test]
    fn a_volume_never_shrinks_and_the_status_says_so() {
        let cluster = validate(&object("redis: {managed: {storage: 500Mi}}")).unwrap();
        let (grow, blockers) = growth(&cluster, &observed(&[("data-chat-redis-0", "redis", "1Gi")]));
        assert!(grow.is_empty());
        assert_eq!(
            blockers[0].message,
            "spec.redis.managed.storage is 500Mi, but the volume data-chat-redis-0 has 1Gi: volumes cannot shrink; restore the previous size"
        );
    }
}
