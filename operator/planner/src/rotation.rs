//! Rotates the managed servers' passwords, one step per reconcile: the servers accept new ones too, the services change over, the
//! servers drop the old ones. No client is ever rejected: pods that start meanwhile read passwords that are still accepted.

use std::collections::BTreeMap;

use crds::{Change, Reason};

use crate::{
    credentials::{self, complete},
    model::{
        cluster::Cluster,
        observed::Observed,
        plan::{Blocker, Plan},
        secret::{Account, key},
    },
    render::backing::take_passwords,
    rotation_steps::{Step, may_begin, step_due, still},
    secret_rotation,
};

/// Named so among the changes and the blockers.
const COMPONENT: &str = "passwords";

fn due(cluster: &Cluster, data: &BTreeMap<String, String>) -> Option<Step> {
    let both = Account::in_use(data).other().exists(data);
    step_due(data, [key::ROTATION, key::NEXT_ROTATION], &cluster.spec.password_rotation, both)
}

/// The passwords among the changes that are to come.
pub fn pending(cluster: &Cluster, observed: &Observed) -> Option<Change> {
    let reason = match due(cluster, &observed.credentials)? {
        Step::Begin => {
            format!("creating new ones (spec.passwordRotation {:?})", cluster.spec.password_rotation)
        }
        Step::Switch => "the servers accept the new ones too".to_owned(),
        Step::Finish => "the services change over; then the servers drop the old ones".to_owned(),
        Step::End => "the servers drop the old ones".to_owned(),
    };
    Some(Change { component: COMPONENT.into(), reason, pods: 0 })
}

/// The next step, when it can be taken.
pub fn next(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Option<Step> {
    let step = due(cluster, &observed.credentials)?;
    // Secrets that are to change wait for the passwords.
    let still = || still(observed, plan, &[COMPONENT, secret_rotation::COMPONENT]);
    let may = match step {
        Step::Begin => still() && may_begin(cluster, plan),
        Step::Finish => still(),
        Step::Switch | Step::End => true,
    };
    (may && take_passwords(cluster, observed)).then_some(step)
}

/// The data of the Secret after a step.
pub fn taken(cluster: &Cluster, data: &BTreeMap<String, String>, step: Step) -> BTreeMap<String, String> {
    let mut data = data.clone();
    let other = Account::in_use(&data).other();
    match step {
        Step::Begin => {
            data.extend(other.passwords().map(|name| (name.to_owned(), credentials::random_hex())));
            data.insert(key::NEXT_ROTATION.to_owned(), cluster.spec.password_rotation.clone());
        }
        Step::Switch => {
            data.insert(key::USER.to_owned(), other.user.to_owned());
            let rotation = data.get(key::NEXT_ROTATION).cloned().unwrap_or_default();
            data.insert(key::ROTATION.to_owned(), rotation);
        }
        Step::Finish => {
            for name in other.keys() {
                data.remove(name);
            }
        }
        Step::End => {
            data.remove(key::NEXT_ROTATION);
        }
    }
    complete(cluster, data)
}

/// Why a step could not be taken.
pub fn blocker(problem: &str) -> Blocker {
    Blocker {
        component: COMPONENT.into(),
        reason: Reason::DependencyNotReady,
        message: format!("cannot change MongoDB's users: {problem}; retrying"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        model::{secret, workload::Rollout},
        plan::plan,
        validate::{tests::object, validate},
    };

    /// Everything as the Secret and the spec want it, but for what a test takes back.
    pub(crate) fn settled(cluster: &Cluster, data: BTreeMap<String, String>) -> Observed {
        let mut observed = Observed { credentials: data, ..Default::default() };
        observed.dependencies = ["mongodb", "redis", "kafka"]
            .map(|name| crds::Dependency {
                name: name.into(),
                managed: true,
                reachable: true,
                ..Default::default()
            })
            .into();
        for round in 0..2 {
            let plan = plan(cluster, &observed);
            for object in plan.objects() {
                let name = object.metadata.name.clone().unwrap_or_default();
                match object.types.as_ref().map(|types| types.kind.as_str()) {
                    Some("Job") => {
                        observed.finished_jobs.insert(name);
                    }
                    Some(kind @ ("StatefulSet" | "Deployment")) => {
                        let template = object.data["spec"]["template"].clone();
                        let count = object.data["spec"]["replicas"].as_i64().unwrap_or(1) as i32;
                        let live = Rollout {
                            current: true,
                            settled: true,
                            desired: count,
                            ready: count,
                            updated: count,
                            total: count,
                            partition: count,
                            template: serde_json::from_value(template).unwrap(),
                            ..Default::default()
                        };
                        let all = if kind == "Deployment" {
                            &mut observed.deployments
                        } else {
                            &mut observed.stateful_sets
                        };
                        all.insert(name, live);
                    }
                    _ => {}
                }
            }
            assert!(round == 0 || !observed.deployments.is_empty());
        }
        observed
    }

    fn cluster(rotation: &str) -> Cluster {
        let mut cluster = validate(&object(&format!("passwordRotation: '{rotation}'"))).unwrap();
        cluster.ran = cluster.version.clone();
        cluster
    }

    fn step(cluster: &Cluster, observed: &Observed) -> Option<Step> {
        next(cluster, observed, &plan(cluster, observed))
    }

    #[test]
    fn passwords_change_in_steps_and_everybody_is_let_in_at_each() {
        let before = cluster("");
        let made = complete(&before, BTreeMap::new());
        assert_eq!(step(&before, &settled(&before, made.clone())), None);

        let wanted = cluster("2026");
        let observed = settled(&wanted, made.clone());
        assert_eq!(step(&wanted, &observed), Some(Step::Begin));
        let both = taken(&wanted, &made, Step::Begin);
        for (password, file) in [("redis-password", key::REDIS_CONF), ("kafka-password", key::KAFKA_JAAS)] {
            assert!(
                both[file].contains(&made[password]) && both[file].contains(&both[&format!("{password}-b")])
            );
        }
        // The servers were not told yet; the services go on with what they have.
        let mut told = observed.clone();
        told.credentials = both.clone();
        assert_eq!(step(&wanted, &told), None);
        let untouched = plan(&wanted, &told).changes;
        assert_eq!(untouched.len(), 1, "{untouched:?}");
        let observed = settled(&wanted, both.clone());
        assert_eq!(step(&wanted, &observed), Some(Step::Switch));

        let switched = taken(&wanted, &both, Step::Switch);
        assert_eq!(Account::in_use(&switched), &secret::SECOND);
        assert!(switched[key::KAFKA_JAAS].contains("username=\"openim-b\""));
        for password in ["redis-password", "kafka-password", "mongo-password", "mongo-uri"] {
            assert_eq!(switched[password], made[password], "who starts with the old ones is let in");
        }
        let mut changing = observed.clone();
        changing.credentials = switched.clone();
        assert_eq!(step(&wanted, &changing), None);
        assert_eq!(plan(&wanted, &changing).changes.len(), 13, "the services change over");
        let observed = settled(&wanted, switched.clone());
        assert_eq!(step(&wanted, &observed), Some(Step::Finish));

        let finished = taken(&wanted, &switched, Step::Finish);
        assert!(!finished.values().any(|value| value.contains(&made["redis-password"])));
        assert!(!finished.values().any(|value| value.contains(&made["kafka-password"])));
        assert!(!finished.values().any(|value| value.contains(&made["mongo-password"])));
        // Not before they are forgotten it is through.
        let mut forgetting = observed;
        forgetting.credentials = finished.clone();
        assert_eq!(step(&wanted, &forgetting), None);
        assert!(pending(&wanted, &forgetting).is_some());
        assert_eq!(step(&wanted, &settled(&wanted, finished.clone())), Some(Step::End));
        let finished = taken(&wanted, &finished, Step::End);
        let observed = settled(&wanted, finished.clone());
        assert_eq!((step(&wanted, &observed), pending(&wanted, &observed)), (None, None));

        // The next time it goes back to the first name, with other passwords.
        let again = cluster("2027");
        let both = taken(&again, &finished, Step::Begin);
        assert_ne!(both["redis-password"], made["redis-password"]);
        let switched = taken(&again, &both, Step::Switch);
        assert_eq!(Account::in_use(&switched), &secret::FIRST);
    }

    #[test]
    fn nothing_begins_while_something_else_is_going_on() {
        let wanted = cluster("2026");
        let made = complete(&wanted, BTreeMap::new());
        let well = settled(&wanted, made);
        assert_eq!(step(&wanted, &well), Some(Step::Begin));
        let mut fresh = wanted.clone();
        fresh.ran.clear();
        assert_eq!(step(&fresh, &well), None, "it never ran");
        let mut paused = wanted.clone();
        paused.spec.rollout.paused = true;
        assert_eq!(step(&paused, &well), None, "paused");
        let mut short = well.clone();
        short.dependencies[2].message = "1 partitions are under-replicated".into();
        assert_eq!(step(&wanted, &short), None, "a server is not well");
        let mut rolling = well;
        rolling.deployments.get_mut("chat-msg").unwrap().updated = 0;
        assert_eq!(step(&wanted, &rolling), None, "a service is being changed");
    }
}
