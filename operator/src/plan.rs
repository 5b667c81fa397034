//! The planner: `plan(cluster, observed)` says which objects must exist and which may be applied now. Pure: no client, no clock.

use std::collections::{BTreeMap, BTreeSet};

use crds::{Dependency, Reason};
use kube::api::DynamicObject;

use crate::{build, validate::Cluster};

/// Pods of a Deployment or StatefulSet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// The controller has seen the newest template.
    pub current: bool,
    /// Wanted pods.
    pub desired: i32,
    /// Pods that serve.
    pub ready: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// All pods.
    pub total: i32,
    /// Tag of the image in the template.
    pub version: String,
    /// Image of the first init container in the template; empty without one.
    pub init_image: String,
}

impl Rollout {
    /// All wanted pods are new and serve, and no old one is left.
    pub fn is_done(&self) -> bool {
        self.current
            && self.ready >= self.desired
            && self.updated >= self.desired
            && self.total <= self.desired
    }
}

/// What is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The generated credentials, as far as they exist.
    pub credentials: BTreeMap<String, String>,
    /// Secrets that the spec names.
    pub external: BTreeMap<String, BTreeMap<String, String>>,
    /// Secrets that the spec names and that do not exist.
    pub missing_secrets: Vec<String>,
    /// Deployments by name.
    pub deployments: BTreeMap<String, Rollout>,
    /// StatefulSets by name.
    pub stateful_sets: BTreeMap<String, Rollout>,
    /// Jobs that succeeded.
    pub finished_jobs: BTreeSet<String>,
    /// Jobs that had a failure.
    pub failed_jobs: BTreeSet<String>,
    /// What probes saw.
    pub dependencies: Vec<Dependency>,
}

/// What keeps the rest of the plan waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Why.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

/// What must be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All objects of the cluster; what is labelled as its and not here is removed.
    pub objects: Vec<DynamicObject>,
    /// How many of them, from the first, may be applied now.
    pub open: usize,
    /// What the others wait for.
    pub gate: Option<Gate>,
}

/// Plans a cluster: backing servers, then the migration, then the services. A gate holds back changes of later stages; it never
/// takes away what runs.
pub fn plan(cluster: &Cluster, observed: &Observed) -> Plan {
    let mut objects = build::backing::objects(cluster, observed);
    let settings = build::settings::Settings::of(cluster, observed);
    objects.extend(build::settings::objects(cluster, &settings));
    let mut open = objects.len();
    let mut gate = None;

    let waiting: Vec<String> = observed
        .dependencies
        .iter()
        .filter(|dependency| !dependency.reachable)
        .map(|dependency| format!("{}: {}", dependency.name, dependency.message))
        .collect();
    if !observed.missing_secrets.is_empty() {
        gate =
            Some(Gate { reason: Reason::DependencyNotReady, message: observed.missing_secrets.join("; ") });
    } else if observed.dependencies.is_empty() || !waiting.is_empty() {
        let message =
            if waiting.is_empty() { "waiting for the backing servers".into() } else { waiting.join("; ") };
        gate = Some(Gate { reason: Reason::DependencyNotReady, message });
    }

    let job = build::migration::name(cluster, &settings);
    objects.push(build::migration::job(cluster, &settings));
    if gate.is_none() {
        open = objects.len();
        if !observed.finished_jobs.contains(&job) {
            let again = if observed.failed_jobs.contains(&job) {
                "; it failed and is tried again: see its pod's log"
            } else {
                ""
            };
            let message = format!("creating topics, indexes and administrators (Job {job}){again}");
            gate = Some(Gate { reason: Reason::Migrating, message });
        }
    }

    objects.extend(build::services::objects(cluster, &settings));
    if gate.is_none() {
        open = objects.len();
    }
    Plan { objects, open, gate }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        credentials,
        validate::{SERVICES, tests::object, validate},
    };

    fn observed(cluster: &Cluster, reachable: [bool; 3], migrated: bool) -> Observed {
        let mut observed = Observed {
            credentials: credentials::complete(cluster, BTreeMap::new()),
            dependencies: ["mongodb", "redis", "kafka"]
                .into_iter()
                .zip(reachable)
                .map(|(name, reachable)| Dependency {
                    name: name.into(),
                    managed: true,
                    reachable,
                    message: "down".into(),
                })
                .collect(),
            ..Default::default()
        };
        if migrated {
            let settings = build::settings::Settings::of(cluster, &observed);
            observed.finished_jobs.insert(build::migration::name(cluster, &settings));
        }
        observed
    }

    fn open_names(plan: &Plan) -> Vec<String> {
        plan.objects[..plan.open]
            .iter()
            .map(|object| format!("{}/{}", kind(object), object.name_any()))
            .collect()
    }

    fn kind(object: &DynamicObject) -> &str {
        object.types.as_ref().map_or("", |types| types.kind.as_str())
    }

    #[test]
    fn services_wait_for_servers_and_migration() {
        let cluster = validate(&object("{}")).unwrap();
        let waiting = plan(&cluster, &observed(&cluster, [true, false, true], true));
        assert!(
            !open_names(&waiting)
                .iter()
                .any(|name| name.starts_with("Deployment/") || name.starts_with("Job/"))
        );
        assert_eq!(waiting.gate.as_ref().unwrap().message, "redis: down");
        let migrating = plan(&cluster, &observed(&cluster, [true; 3], false));
        assert!(open_names(&migrating).iter().any(|name| name.starts_with("Job/")));
        assert_eq!(migrating.gate.unwrap().reason, Reason::Migrating);
        let all = plan(&cluster, &observed(&cluster, [true; 3], true));
        assert_eq!((all.gate, all.open), (None, all.objects.len()));
    }

    #[test]
    fn a_gate_never_takes_away_what_runs() {
        let cluster = validate(&object("{}")).unwrap();
        let waiting = plan(&cluster, &observed(&cluster, [false; 3], false));
        for service in SERVICES {
            let name = cluster.part(service);
            assert!(
                waiting
                    .objects
                    .iter()
                    .any(|object| kind(object) == "Deployment" && object.name_any() == name),
                "{name}"
            );
        }
    }

    #[test]
    fn an_upgrade_of_the_services_leaves_the_servers_alone() {
        let old = validate(&object("version: 1.0.0")).unwrap();
        let new = validate(&object("version: 2.0.0")).unwrap();
        let mut observed = observed(&old, [true; 3], true);
        observed
            .stateful_sets
            .insert(old.part("mongodb"), Rollout { init_image: old.image.clone(), ..Default::default() });
        let sets = |plan: Plan| -> Vec<serde_json::Value> {
            let of_kind = plan.objects.iter().filter(|object| kind(object) == "StatefulSet");
            of_kind.map(|object| serde_json::to_value(object).unwrap()).collect()
        };
        assert_eq!(sets(plan(&old, &observed)), sets(plan(&new, &observed)));
    }

    #[test]
    fn no_secret_is_outside_secrets() {
        let cluster = validate(&object("{}")).unwrap();
        let observed = observed(&cluster, [true; 3], true);
        let plan = plan(&cluster, &observed);
        for (name, value) in observed.credentials.iter().filter(|(_, value)| value.len() > 8) {
            for object in plan.objects.iter().filter(|object| kind(object) != "Secret") {
                let text = serde_json::to_string(object).unwrap();
                assert!(
                    !text.contains(value.as_str()),
                    "{name} shows in {}/{}",
                    kind(object),
                    object.name_any()
                );
            }
        }
    }

    fn any_spec() -> impl Strategy<Value = String> {
        (0..5_i32, 0..5_i32, any::<bool>(), any::<bool>(), any::<bool>(), "[a-z]{0,8}").prop_map(
            |(gateway, msg, ingress, external_mongo, external_kafka, host)| {
                let mongo = if external_mongo { "external: {secretName: m}" } else { "managed: {}" };
                let kafka = if external_kafka { "external: {address: ['k:9092']}" } else { "managed: {storage: 5Gi}" };
                format!(
                    "services: {{gateway: {{replicas: {gateway}}}, msg: {{replicas: {msg}}}}}\n\
                     ingress: {{enabled: {ingress}, host: '{host}'}}\nmongodb: {{{mongo}}}\nkafka: {{{kafka}}}\n"
                )
            },
        )
    }

    proptest! {
        #[test]
        fn plans_are_deterministic_owned_and_unique(spec in any_spec(), reachable: [bool; 3], migrated: bool) {
            let cluster = validate(&object(&spec)).unwrap();
            let observed = observed(&cluster, reachable, migrated);
            let (first, second) = (plan(&cluster, &observed), plan(&cluster, &observed));
            prop_assert_eq!(serde_json::to_value(&first.objects).unwrap(), serde_json::to_value(&second.objects).unwrap());
            prop_assert!(first.open <= first.objects.len());
            prop_assert_eq!(first.gate.is_none(), first.open == first.objects.len());
            let mut names = BTreeSet::new();
            for object in &first.objects {
                prop_assert!(names.insert((kind(object).to_owned(), object.name_any())), "twice: {}", object.name_any());
                prop_assert_eq!(object.metadata.namespace.as_deref(), Some("team"));
                prop_assert_eq!(object.owner_references().len(), 1);
                prop_assert!(object.name_any().len() <= 63);
            }
        }

        /// A failing server must not change a single pod template.
        #[test]
        fn a_failing_dependency_restarts_nothing(spec in any_spec(), reachable: [bool; 3]) {
            let cluster = validate(&object(&spec)).unwrap();
            let templates = |plan: &Plan| -> Vec<serde_json::Value> {
                plan.objects.iter().filter(|object| kind(object) == "Deployment").map(|object| object.data.clone()).collect()
            };
            let well = plan(&cluster, &observed(&cluster, [true; 3], true));
            // The credentials are the same ones.
            let mut failing = observed(&cluster, reachable, true);
            let healthy = observed(&cluster, [true; 3], true);
            failing.credentials.clone_from(&healthy.credentials);
            let a = plan(&cluster, &healthy);
            prop_assert_eq!(templates(&a), templates(&plan(&cluster, &failing)));
            prop_assert_eq!(templates(&a).len(), templates(&well).len());
        }
    }
}
