//! Rotates a cluster's secrets, one step per reconcile: all services accept the next ones, then use them, then refuse the old ones
//! (docs/adr/0018-keys.md). No client is rejected: services in adjacent steps understand each other, old tokens stay valid until
//! they expire, and back ends have [`overlap`] to take the new API secret.

use std::collections::BTreeMap;

use crds::Change;
use jiff::{SignedDuration, Timestamp};

use crate::{
    credentials::random_hex,
    model::{cluster::Cluster, observed::Observed, plan::Plan, secret::key},
    rotation_steps::{Step, may_begin, step_due, still},
};

/// Named so among the changes.
pub(crate) const COMPONENT: &str = "secrets";
const OVERLAP_HOURS: i32 = 24;

type Data = BTreeMap<String, String>;

fn done(data: &Data) -> &str {
    data.get(key::SECRET_ROTATION).map_or("", String::as_str)
}

/// Whether the Secret has a key only at times, which pods refer to.
pub(crate) fn comes_and_goes(name: &str) -> bool {
    [key::API_SECRET, key::OTHER_SECRET, key::OTHER_API_SECRET].contains(&name)
}

/// Variables of the services for what the Secret has beside the secret in use.
pub(crate) fn variables(data: &Data) -> Vec<(&'static str, &'static str)> {
    let has = |name: &str| data.contains_key(name);
    // If there is none yet, pods that restart after the next step find one.
    let api = has(key::API_SECRET) || has(key::OTHER_API_SECRET);
    let all = [
        (api, "IMENV_APISECRET", key::API_SECRET),
        (has(key::OTHER_SECRET), "IMENV_OTHERSECRET", key::OTHER_SECRET),
        (has(key::OTHER_API_SECRET), "IMENV_OTHERAPISECRET", key::OTHER_API_SECRET),
        (has(key::TOKEN_SECRET), "IMENV_TOKENSECRET", key::TOKEN_SECRET),
    ];
    all.into_iter().filter(|(there, ..)| *there).map(|(_, variable, item)| (variable, item)).collect()
}

/// Whether a change has begun and is not through.
pub fn is_under_way(data: &Data) -> bool {
    data.contains_key(key::NEXT_SECRET_ROTATION)
}

/// Until when the old secrets are accepted, once new ones are in use.
fn until(cluster: &Cluster, data: &Data) -> Option<Timestamp> {
    let switched: Timestamp = data.get(key::SECRETS_SWITCHED)?.parse().ok()?;
    let hours = cluster.spec.secret_overlap_hours.unwrap_or(OVERLAP_HOURS);
    Some(switched + SignedDuration::from_hours(i64::from(hours)))
}

fn due(cluster: &Cluster, data: &Data) -> Option<Step> {
    let keys = [key::SECRET_ROTATION, key::NEXT_SECRET_ROTATION];
    step_due(data, keys, &cluster.spec.secret_rotation, data.contains_key(key::OTHER_SECRET))
}

/// The step that is due and that time lets be taken.
fn in_time(cluster: &Cluster, observed: &Observed) -> Option<Step> {
    let step = due(cluster, &observed.credentials)?;
    let waits =
        step == Step::Finish && until(cluster, &observed.credentials).is_some_and(|end| observed.now < end);
    (!waits).then_some(step)
}

/// The secrets among the changes that are to come.
pub fn pending(cluster: &Cluster, observed: &Observed) -> Option<Change> {
    let reason = match in_time(cluster, observed)? {
        Step::Begin => format!("creating new ones (spec.secretRotation {:?})", cluster.spec.secret_rotation),
        Step::Switch => "the services accept the new ones too".to_owned(),
        Step::Finish => "the services refuse the old ones next".to_owned(),
        Step::End => "the services drop the old ones".to_owned(),
    };
    Some(Change { component: COMPONENT.into(), reason, pods: 0 })
}

/// Where it stands, for the status.
pub fn told(cluster: &Cluster, data: &Data) -> String {
    let next = data.get(key::NEXT_SECRET_ROTATION).map_or("", String::as_str);
    match due(cluster, data) {
        None if done(data).is_empty() => String::new(),
        None => format!("{:?}: done", done(data)),
        Some(Step::Begin) => {
            format!("{:?}: waiting until no other change is in progress", cluster.spec.secret_rotation)
        }
        Some(Step::Switch) => {
            format!("{next:?}: the services accept the new secrets too; the old ones are in use")
        }
        Some(Step::Finish) => {
            let until = until(cluster, data).map_or_else(String::new, |end| format!(" until {end}"));
            format!("{next:?}: the new secrets are in use; the old ones are accepted{until}")
        }
        Some(Step::End) => format!("{next:?}: the services drop the old secrets"),
    }
}

/// The step to take now. Each needs every pod to have applied the previous one; the first one also needs that changes can start.
pub fn next(cluster: &Cluster, observed: &Observed, plan: &Plan) -> Option<Step> {
    let step = in_time(cluster, observed)?;
    let may = still(observed, plan, &[COMPONENT]) && (step != Step::Begin || may_begin(cluster, plan));
    may.then_some(step)
}

fn swap(data: &mut Data, name: &str, other: &str, missing: String) {
    let next = data.remove(other).unwrap_or_else(random_hex);
    let before = data.insert(name.to_owned(), next);
    data.insert(other.to_owned(), before.unwrap_or(missing));
}

/// The data of the Secret after a step.
pub fn taken(cluster: &Cluster, data: &Data, step: Step, now: Timestamp) -> Data {
    let mut data = data.clone();
    match step {
        Step::Begin => {
            data.extend(
                [key::OTHER_SECRET, key::OTHER_API_SECRET].map(|name| (name.to_owned(), random_hex())),
            );
            data.insert(key::NEXT_SECRET_ROTATION.to_owned(), cluster.spec.secret_rotation.clone());
        }
        Step::Switch => {
            let before = data.get(key::SECRET).cloned().unwrap_or_default();
            swap(&mut data, key::SECRET, key::OTHER_SECRET, String::new());
            // What had no API secret asked for the secret itself.
            swap(&mut data, key::API_SECRET, key::OTHER_API_SECRET, before);
            let rotation = data.get(key::NEXT_SECRET_ROTATION).cloned().unwrap_or_default();
            data.insert(key::SECRET_ROTATION.to_owned(), rotation);
            data.insert(key::SECRETS_SWITCHED.to_owned(), now.to_string());
        }
        Step::Finish => {
            data.remove(key::OTHER_API_SECRET);
            data.remove(key::SECRETS_SWITCHED);
            if let Some(before) = data.remove(key::OTHER_SECRET) {
                data.insert(key::TOKEN_SECRET.to_owned(), before);
            }
        }
        Step::End => {
            data.remove(key::NEXT_SECRET_ROTATION);
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credentials::{begin, complete},
        plan::plan,
        render::settings::Settings,
        rotation::{self, tests::settled},
        validate::{tests::object, validate},
    };

    fn cluster(spec: &str) -> Cluster {
        let mut cluster = validate(&object(spec)).unwrap();
        cluster.ran = cluster.version.clone();
        cluster
    }

    fn step(cluster: &Cluster, observed: &Observed) -> Option<Step> {
        next(cluster, observed, &plan(cluster, observed))
    }

    fn hours(count: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(count)
    }

    /// The services' configuration as pods that start now find it.
    fn config(cluster: &Cluster, data: &Data) -> config::Config {
        let observed = Observed { credentials: data.clone(), ..Default::default() };
        let mut config = config::Config::default();
        for variable in Settings::of(cluster, &observed)
            .environment(topology::Service::Auth, crate::render::template::NEWEST)
        {
            let item = variable.value_from.and_then(|from| from.secret_key_ref).map(|item| item.key);
            let text = item.and_then(|item| data.get(&item)).cloned().unwrap_or_default();
            match variable.name.as_str() {
                "IMENV_SECRET" => config.secret = text,
                "IMENV_APISECRET" => config.api_secret = text,
                "IMENV_OTHERSECRET" => config.other_secret = text,
                "IMENV_OTHERAPISECRET" => config.other_api_secret = text,
                "IMENV_TOKENSECRET" => config.token_secret = text,
                _ => {}
            }
        }
        config
    }

    fn accepts(by: &config::Config, signed: &config::Config) -> [bool; 3] {
        [
            by.secrets().any(|secret| secret == signed.secret),
            by.token_secrets().any(|secret| secret == signed.secret),
            by.api_secrets().any(|secret| Some(secret) == signed.api_secrets().next()),
        ]
    }

    #[test]
    fn secrets_change_in_steps_and_everybody_is_understood_at_each() {
        for fresh in [true, false] {
            let before = cluster("{}");
            let data = if fresh { begin(&before) } else { Data::new() };
            let made = complete(&before, data);
            assert_eq!(step(&before, &settled(&before, made.clone())), None);
            let wanted = cluster("secretRotation: '2026'");
            let mut stages = vec![made.clone()];
            let mut now = hours(0);
            for (expected, later) in
                [(Step::Begin, 1), (Step::Switch, 2), (Step::Finish, 26), (Step::End, 27)]
            {
                let data = stages.last().unwrap().clone();
                now = hours(later);
                let observed = Observed { now, ..settled(&wanted, data.clone()) };
                assert_eq!(step(&wanted, &observed), Some(expected));
                let after = taken(&wanted, &data, expected, now);
                if expected != Step::End {
                    let changing = Observed { credentials: after.clone(), ..observed };
                    assert_eq!(step(&wanted, &changing), None, "the services are told first");
                    let services =
                        plan(&wanted, &changing).changes.iter().filter(|change| change.pods > 0).count();
                    assert_eq!(services, 12, "after {expected:?}");
                }
                stages.push(after);
            }
            let observed = Observed { now, ..settled(&wanted, stages[4].clone()) };
            assert_eq!((step(&wanted, &observed), pending(&wanted, &observed)), (None, None));
            assert_eq!(told(&wanted, &stages[4]), "\"2026\": done");

            let configs: Vec<_> = stages.iter().map(|data| config(&wanted, data)).collect();
            for (earlier, later) in configs.iter().zip(&configs[1..]) {
                assert_eq!(accepts(earlier, later), [true; 3]);
                assert_eq!(accepts(later, earlier), [true; 3]);
            }
            let (first, last) = (&configs[0], &configs[4]);
            assert_eq!(accepts(last, first), [false, true, false], "tokens alone, until they expire");
            assert_ne!(last.secret, last.api_secret);
        }
    }

    #[test]
    fn those_of_before_are_accepted_for_a_day_or_as_long_as_is_asked() {
        let made = complete(&cluster("{}"), Data::new());
        for (asked, still, ended) in
            [("", 23, 24), (", secretOverlapHours: 2", 1, 2), (", secretOverlapHours: 0", -1, 0)]
        {
            let wanted = cluster(&format!("{{secretRotation: '2026'{asked}}}"));
            let both = taken(&wanted, &made, Step::Begin, hours(0));
            let switched = taken(&wanted, &both, Step::Switch, hours(0));
            let at = |now: Timestamp| Observed { now, ..settled(&wanted, switched.clone()) };
            assert_eq!(step(&wanted, &at(hours(still))), None, "{asked}");
            assert_eq!(pending(&wanted, &at(hours(still))), None, "the cluster is at rest meanwhile");
            assert!(told(&wanted, &switched).contains("accepted until 1970-01-0"));
            assert_eq!(step(&wanted, &at(hours(ended))), Some(Step::Finish), "{asked}");
        }
    }

    #[test]
    fn passwords_and_secrets_change_one_after_the_other() {
        let wanted = cluster("{secretRotation: '2026', passwordRotation: '2026'}");
        let made = complete(&cluster("{}"), Data::new());
        let mut data = made;
        let mut steps = Vec::new();
        for pass in 0..12 {
            let observed = Observed { now: hours(pass * 30), ..settled(&wanted, data.clone()) };
            let plan = plan(&wanted, &observed);
            if let Some(step) = rotation::next(&wanted, &observed, &plan) {
                steps.push(format!("passwords {step:?}"));
                data = rotation::taken(&wanted, &data, step);
            } else if let Some(step) = next(&wanted, &observed, &plan) {
                steps.push(format!("secrets {step:?}"));
                data = taken(&wanted, &data, step, observed.now);
            }
        }
        let of = |what: &str| ["Begin", "Switch", "Finish", "End"].map(|step| format!("{what} {step}"));
        assert_eq!(steps, [of("passwords"), of("secrets")].concat());
    }

    #[test]
    fn nothing_begins_while_something_else_is_going_on() {
        let wanted = cluster("secretRotation: '2026'");
        let well = settled(&wanted, complete(&wanted, Data::new()));
        assert_eq!(step(&wanted, &well), Some(Step::Begin));
        let mut fresh = wanted.clone();
        fresh.ran.clear();
        assert_eq!(step(&fresh, &well), None, "it never ran");
        let mut paused = wanted.clone();
        paused.spec.rollout.paused = true;
        assert_eq!(step(&paused, &well), None, "paused");
        let mut rolling = well;
        rolling.deployments.get_mut("chat-msg").unwrap().updated = 0;
        assert_eq!(step(&wanted, &rolling), None, "a service is being changed");
    }

    #[test]
    fn a_new_cluster_begins_with_an_api_secret_and_has_no_rotation_before_it() {
        let wanted = cluster("secretRotation: '2026'");
        let made = complete(&wanted, begin(&wanted));
        assert_ne!(made[key::API_SECRET], made[key::SECRET]);
        assert_eq!(due(&wanted, &made), None);
        assert!(!complete(&wanted, Data::new()).contains_key(key::API_SECRET), "those that exist go on");
    }
}
