//! A cluster in which pods are late, crash and linger while its authority is replaced: whatever the order, everybody trusts what is presented.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube_core::{DynamicObject, ResourceExt};
use proptest::prelude::*;
use topology::{Component, Extra, Service};

use super::*;
use crate::{
    authority::{
        complete, complete_servers,
        tests::{DAY, accepts, begins},
    },
    certificates::{Renewal, Urgency, forgotten},
    credentials,
    model::{names::ASKED, workload::Rollout},
    plan::plan,
    rotation::{self, tests::settled},
    secret_rotation,
    validate::{tests::object, validate},
};

fn told(cluster: &Cluster, observed: &Observed) -> String {
    super::told(cluster, observed, &Assessment::of(cluster, observed))
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A pass of the operator.
    Pass,
    /// One that dies when it has applied so many objects of the plan, or all of them and has not yet written the Secret.
    Dies(usize),
    /// The controllers of Kubernetes replace the pod of a component, if it has a new template.
    Replaces(usize),
    /// A pod that is terminating is gone.
    Gone(usize),
    /// A container crashes and starts again, in the same pod: it reads the Secret, or files that are not up to date yet.
    Crashes(usize, usize),
    /// Time goes by.
    Days(u8),
    /// The operator's clock is ahead by so many days from now on, or behind.
    Clock(i16),
    /// Somebody edits the spec: an upgrade that begins, is taken back, paused or left without an approval.
    Edits(usize),
}

/// What the spec asks for besides the rotation.
const EDITS: [&str; 5] = [
    "{certificateRotation: '2026'}",
    "{certificateRotation: '2026', config: {multiLoginPolicy: 4}}",
    "{certificateRotation: '2026', config: {multiLoginPolicy: 5}, redis: {managed: {image: 'mirror/redis:8'}}}",
    "{certificateRotation: '2026', config: {multiLoginPolicy: 4}, rollout: {approval: Required}}",
    "{certificateRotation: '2026', config: {multiLoginPolicy: 5}, rollout: {paused: true}}",
];

struct Pod {
    component: String,
    /// The Secret that it read, counted from the first.
    read: usize,
    ending: bool,
}

struct World {
    cluster: Cluster,
    /// What the Secret was; the last one is what it is.
    secrets: Vec<Data>,
    observed: Observed,
    pods: Vec<Pod>,
    /// The time that all others have; the operator's clock is ahead of it by so many days.
    now: Timestamp,
    ahead: i16,
    /// The planted error: steps are taken when they are due, whoever is late.
    hasty: bool,
    accepted: BTreeMap<(usize, usize), bool>,
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| types.kind.as_str())
}

fn cluster(spec: &str) -> Cluster {
    let mut cluster = validate(&object(spec)).unwrap();
    cluster.ran = cluster.version.clone();
    cluster
}

/// The Secret of a new cluster.
fn made(cluster: &Cluster) -> Data {
    let mut data = Data::new();
    complete(&cluster.name, &mut data, Timestamp::UNIX_EPOCH).unwrap();
    complete_servers(server_names(cluster), &mut data, Timestamp::UNIX_EPOCH).unwrap();
    credentials::complete(cluster, data)
}

impl World {
    fn new(hasty: bool) -> Self {
        let before = cluster("{}");
        let data = made(&before);
        let observed = settled(&before, data.clone());
        let names = observed.deployments.keys().chain(observed.stateful_sets.keys());
        let pods = names.map(|name| Pod { component: name.clone(), read: 0, ending: false }).collect();
        let cluster = cluster("certificateRotation: '2026'");
        let now = Timestamp::UNIX_EPOCH;
        Self { cluster, secrets: vec![data], observed, pods, now, ahead: 0, hasty, accepted: BTreeMap::new() }
    }

    fn newest(&self) -> usize {
        self.secrets.len() - 1
    }

    fn write(&mut self, data: Data) {
        if data != self.secrets[self.newest()] {
            self.secrets.push(data);
        }
    }

    /// A pass, which dies when it has applied so many objects.
    fn pass(&mut self, dies: Option<usize>) {
        self.observed.now = self.now + DAY * i32::from(self.ahead);
        let mut data = self.secrets[self.newest()].clone();
        complete("chat", &mut data, self.observed.now).unwrap();
        complete_servers(server_names(&self.cluster), &mut data, self.observed.now).unwrap();
        self.write(data);
        self.observed.credentials = self.secrets[self.newest()].clone();
        let ending = self.pods.iter().filter(|pod| pod.ending);
        let service = |pod: &Pod| Service::from_name(pod.component.strip_prefix("chat-")?);
        self.observed.leaving = ending.filter_map(service).map(Component::from).collect();
        let plan = plan(&self.cluster, &self.observed);
        let mut changed = false;
        for object in plan.apply.iter().take(dies.unwrap_or(usize::MAX)) {
            changed |= self.apply(object);
        }
        if dies.is_some() || changed && !self.hasty {
            return;
        }
        let forgotten = forgotten(&self.observed.credentials, &plan.assessment.certificates);
        if let Some(after) = forgotten {
            return self.write(after);
        }
        let due = if self.hasty {
            due(&self.cluster, &self.observed)
        } else {
            next(&self.cluster, &self.observed, &plan)
        };
        if let Some(step) = due {
            let now = self.observed.now;
            let after = taken(&self.cluster, &self.observed.credentials, step, now).unwrap();
            self.write(after);
        }
    }

    /// Whether it changes a template.
    fn apply(&mut self, object: &DynamicObject) -> bool {
        if kind(object) == "Job" {
            return self.observed.finished_jobs.insert(object.name_any());
        }
        let live = match kind(object) {
            "Deployment" => self.observed.deployments.get_mut(&object.name_any()),
            "StatefulSet" => self.observed.stateful_sets.get_mut(&object.name_any()),
            _ => None,
        };
        let Some(live) = live else { return false };
        let template: PodTemplateSpec =
            serde_json::from_value(object.data["spec"]["template"].clone()).unwrap();
        let asked = object.annotations().get(ASKED).map(|text| serde_json::from_str(text).unwrap());
        live.asked = asked.or_else(|| live.asked.take());
        let partition = object.data["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64();
        live.partition = partition.map_or(live.partition, |partition| partition as i32);
        if live.template == template {
            return false;
        }
        *live = Rollout { template, updated: 0, settled: false, ..live.clone() };
        true
    }

    fn replace(&mut self, number: usize) {
        let all = self.observed.deployments.iter_mut().chain(&mut self.observed.stateful_sets);
        let waiting = all.filter(|(_, live)| live.updated < live.desired);
        let Some((name, live)) = waiting.into_iter().nth(number % 3) else { return };
        (live.updated, live.settled) = (live.desired, true);
        let (name, read) = (name.clone(), self.secrets.len() - 1);
        let is_set = self.observed.stateful_sets.contains_key(&name);
        self.pods.retain(|pod| !is_set || pod.component != name);
        self.pods.iter_mut().filter(|pod| pod.component == name).for_each(|pod| pod.ending = true);
        self.pods.push(Pod { component: name, read, ending: false });
    }

    fn happens(&mut self, event: Event) {
        let newest = self.newest();
        let nth = |count: usize, number: usize| (count > 0).then(|| number % count);
        match event {
            Event::Pass => self.pass(None),
            Event::Dies(applied) => self.pass(Some(applied)),
            Event::Replaces(number) => self.replace(number),
            Event::Gone(number) => {
                let ending: Vec<usize> = (0..self.pods.len()).filter(|pod| self.pods[*pod].ending).collect();
                if let Some(number) = nth(ending.len(), number) {
                    self.pods.remove(ending[number]);
                }
            }
            Event::Crashes(number, behind) => {
                if let Some(number) = nth(self.pods.len(), number) {
                    let pod = &mut self.pods[number];
                    pod.read = newest.saturating_sub(behind % 3).max(pod.read);
                }
            }
            Event::Days(days) => self.now += DAY * i32::from(days),
            Event::Clock(ahead) => self.ahead = ahead,
            Event::Edits(number) => self.cluster = cluster(EDITS[number % EDITS.len()]),
        }
    }

    /// Whether the authority is replaced, and every pod has read the newest Secret and is of the newest template.
    fn is_settled(&self) -> bool {
        told(&self.cluster, &self.observed) == "done"
            && plan(&self.cluster, &self.observed).changes.is_empty()
            && !self.pods.iter().any(|pod| pod.ending)
    }

    /// Everybody does what is to be done until nothing is, or for so long; two pods that do not accept each other meanwhile.
    fn settle(&mut self) -> Option<String> {
        for _ in 0..600 {
            for event in [Event::Pass, Event::Replaces(0), Event::Gone(0)] {
                self.happens(event);
                if let Some(strangers) = self.strangers() {
                    return Some(strangers);
                }
            }
            if self.is_settled() {
                break;
            }
        }
        None
    }

    /// Whether everybody who has read a Secret accepts what those who have read another one present.
    fn is_accepted(&mut self, by: usize, presented: usize) -> bool {
        let (by_data, presented_data) = (&self.secrets[by], &self.secrets[presented]);
        let certificates = [key::CERTIFICATE, key::SERVERS_CERTIFICATE].map(|name| &presented_data[name]);
        let now = self.now;
        *self.accepted.entry((by, presented)).or_insert_with(|| {
            let authorities = &by_data[key::AUTHORITY];
            certificates.into_iter().all(|certificate| {
                accepts(authorities, certificate) && begins(certificate) <= now && begins(authorities) <= now
            })
        })
    }

    /// Two pods that do not accept each other; the operator is one that has read the newest Secret.
    fn strangers(&mut self) -> Option<String> {
        let read: std::collections::BTreeSet<usize> = self.pods.iter().map(|pod| pod.read).collect();
        let all: Vec<usize> = read.into_iter().chain([self.newest()]).collect();
        let pairs = all.iter().flat_map(|by| all.iter().map(move |presented| (*by, *presented)));
        let pairs: Vec<(usize, usize)> = pairs.collect();
        let refused = pairs.into_iter().find(|(by, presented)| !self.is_accepted(*by, *presented));
        refused.map(|(by, presented)| format!("who read Secret {by} refuses who read Secret {presented}"))
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Pass),
        2 => (0..80_usize).prop_map(Event::Dies),
        8 => any::<usize>().prop_map(Event::Replaces),
        4 => any::<usize>().prop_map(Event::Gone),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(pod, behind)| Event::Crashes(pod, behind)),
        1 => (1..40_u8).prop_map(Event::Days),
        1 => (-30..6600_i16).prop_map(Event::Clock),
        1 => any::<usize>().prop_map(Event::Edits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..Default::default() })]

    #[test]
    fn everybody_trusts_what_is_presented_whoever_is_late_or_dies(
        events in prop::collection::vec(any_event(), 20..160),
    ) {
        let mut world = World::new(false);
        for event in events {
            world.happens(event);
            prop_assert_eq!(world.strangers(), None);
        }
        world.happens(Event::Clock(0));
        world.happens(Event::Edits(1));
        let first = trusted(&world.secrets[0])[0].to_owned();
        prop_assert_eq!(world.settle(), None);
        let newest = world.newest();
        let data = &world.secrets[newest];
        prop_assert_eq!(told(&world.cluster, &world.observed), "done");
        prop_assert_eq!((trusted(data).len(), is_under_way(data)), (1, false));
        prop_assert!(!data[key::AUTHORITY].contains(&first));
        prop_assert!(world.pods.iter().all(|pod| world.secrets[pod.read][key::CERTIFICATE] == data[key::CERTIFICATE]));
        prop_assert_eq!(&data[key::AUTHORITY_ROTATION], "2026");
    }
}

#[test]
fn a_replacement_that_waits_for_nobody_is_noticed() {
    let mut world = World::new(true);
    let mut seen = Vec::new();
    for event in [Event::Pass, Event::Pass, Event::Crashes(0, 0)] {
        world.happens(event);
        seen.extend(world.strangers());
    }
    assert!(!seen.is_empty(), "the model must see a Switch before everybody trusts both");
}

#[test]
fn pods_that_terminate_slowly_hold_up_the_next_step_whatever_the_clock_says() {
    for ahead in [0, 6135] {
        let mut world = World::new(false);
        world.happens(Event::Pass);
        world.happens(Event::Clock(ahead));
        for _ in 0..200 {
            for event in [Event::Pass, Event::Replaces(0)] {
                world.happens(event);
                assert_eq!(world.strangers(), None, "{ahead} days ahead");
            }
        }
        let told = told(&world.cluster, &world.observed);
        assert!(told.starts_with("both authorities are trusted, the old one issues; waiting for"), "{told}");
        assert!(told.ends_with("that are terminating"), "{told}");
        assert_eq!(world.settle(), None, "{ahead} days ahead");
        assert!(world.is_settled(), "{ahead} days ahead");
    }
}

#[test]
fn an_upgrade_and_a_replacement_get_through_together() {
    let mut world = World::new(false);
    for event in [Event::Edits(1), Event::Pass, Event::Replaces(0), Event::Pass] {
        world.happens(event);
    }
    assert!(!is_under_way(&world.secrets[world.newest()]), "services are being changed");
    assert_eq!(world.settle(), None);
    assert!(world.is_settled());
    // An edit that nobody approves waits through the next rotation, and pods get nothing of it.
    let unapproved =
        "{certificateRotation: '2027', config: {multiLoginPolicy: 5}, rollout: {approval: Required}}";
    world.cluster = cluster(unapproved);
    let before = world.observed.deployments["chat-msg"].template.clone();
    for _ in 0..200 {
        for event in [Event::Pass, Event::Replaces(0), Event::Gone(0)] {
            world.happens(event);
            assert_eq!(world.strangers(), None);
        }
    }
    assert_eq!(told(&world.cluster, &world.observed), "done");
    let after = &world.observed.deployments["chat-msg"].template;
    assert_ne!(*after, before);
    assert_eq!(crate::certificates::noted_as(after.clone(), &before), before);
    // Without the edit nothing waits for an approval, not even a migration.
    world.cluster = cluster(
        "{certificateRotation: '2027', config: {multiLoginPolicy: 4}, rollout: {approval: Required}}",
    );
    world.happens(Event::Pass);
    world.happens(Event::Pass);
    let plan = plan(&world.cluster, &world.observed);
    assert_eq!((plan.changes, plan.later.len(), plan.gate), (vec![], 0, None));
}

#[test]
fn whoever_comes_back_after_everything_has_expired_replaces_all_of_it_at_once() {
    for (years, is_replaced) in [(2, false), (21, true)] {
        let paused = "{rollout: {paused: true, approval: Required}, mongodb: {managed: {members: 3}}}";
        let mut world = World::new(false);
        world.cluster = cluster(paused);
        world.observed = settled(&world.cluster, world.secrets[0].clone());
        world.now += DAY * (365 * years);
        for server in &mut world.observed.dependencies {
            (server.reachable, server.message) = (false, "certificate has expired".to_owned());
        }
        world.observed.deployments.values_mut().for_each(|live| live.ready = 0);
        let sets = world.observed.stateful_sets.len();
        world.happens(Event::Pass);
        let changing =
            |all: &BTreeMap<String, Rollout>| all.values().filter(|live| live.updated == 0).count();
        assert_eq!(changing(&world.observed.deployments), 12, "after {years} years");
        assert_eq!(changing(&world.observed.stateful_sets), sets, "after {years} years");
        let data = world.secrets[world.newest()].clone();
        assert_eq!(data[key::AUTHORITY] != world.secrets[0][key::AUTHORITY], is_replaced);
        let plan = plan(&world.cluster, &world.observed);
        let mongodb = plan
            .apply
            .iter()
            .find(|object| kind(object) == "StatefulSet" && object.name_any() == "chat-mongodb");
        assert_eq!(mongodb.unwrap().data["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 0);
        // They are replaced, whatever any of them waits for, and then all is well.
        let is_expired = |world: &World| {
            let certificates = Assessment::of(&world.cluster, &world.observed).certificates;
            Renewal::of(&world.cluster, &world.observed, &certificates, None).urgency == Urgency::Expired
        };
        assert!(is_expired(&world));
        for live in world.observed.deployments.values_mut().chain(world.observed.stateful_sets.values_mut()) {
            (live.ready, live.updated, live.settled) = (live.desired, live.desired, true);
        }
        for server in &mut world.observed.dependencies {
            (server.reachable, server.message) = (true, String::new());
        }
        world.happens(Event::Pass);
        world.happens(Event::Pass);
        let mut after = world.secrets[world.newest()].clone();
        assert_eq!([&after[key::CERTIFICATE_BEFORE], &after[key::SERVERS_BEFORE]], ["", ""]);
        for name in [key::CERTIFICATE_BEFORE, key::SERVERS_BEFORE] {
            after.insert(name.to_owned(), data[name].clone());
        }
        assert_eq!(after, data, "nothing is replaced again");
        world.observed.dependencies[0].reachable = false;
        assert!(!is_expired(&world), "what fails later has other reasons");
        world.observed.dependencies[0].reachable = true;
        let assessment = Assessment::of(&world.cluster, &world.observed);
        assert!(assessment.certificates.late.is_empty());
        assert!(assessment.certificates.ends.unwrap().earliest > world.now + DAY * 300);
    }
}

#[test]
fn a_clock_that_is_wrong_restarts_services_in_turn_and_makes_nothing_invalid() {
    let mut world = World::new(false);
    world.cluster = cluster("{}");
    // Ahead of the end of every certificate: they are renewed, one service after the other, since everybody still answers.
    world.happens(Event::Clock(400));
    world.happens(Event::Pass);
    world.happens(Event::Pass);
    let changing = |all: &BTreeMap<String, Rollout>| all.values().filter(|live| live.updated == 0).count();
    assert_eq!((changing(&world.observed.deployments), changing(&world.observed.stateful_sets)), (1, 1));
    let ahead = world.secrets[world.newest()].clone();
    world.happens(Event::Clock(-400));
    world.happens(Event::Pass);
    assert_eq!(world.secrets[world.newest()], ahead);
    // What a clock that is behind issues ends no earlier than what it replaces.
    let behind = issue_anew(&ahead, world.now - DAY * 400);
    assert!(end_of(&behind[key::CERTIFICATE]) >= end_of(&ahead[key::CERTIFICATE]));
    assert_eq!(world.strangers(), None);
}

fn issue_anew(data: &Data, now: Timestamp) -> Data {
    let mut data = data.clone();
    data.remove(key::CERTIFICATE_RENEWAL);
    complete("chat", &mut data, now).unwrap();
    data
}

#[test]
fn a_lost_key_of_the_authority_is_replaced_with_an_overlap() {
    let cluster = cluster("{}");
    let mut data = made(&cluster);
    data.remove(key::AUTHORITY_KEY);
    let lost = data.clone();
    complete("chat", &mut data, Timestamp::UNIX_EPOCH + DAY).unwrap();
    assert_eq!(data, lost, "its certificates are good");
    let now = Timestamp::UNIX_EPOCH + DAY;
    for expected in [Step::Begin, Step::Switch, Step::Finish, Step::End] {
        assert_eq!(step(&cluster, &data, now), Some(expected));
        let after = taken(&cluster, &data, expected, now).unwrap();
        for name in [key::CERTIFICATE, key::SERVERS_CERTIFICATE] {
            assert!(accepts(&data[key::AUTHORITY], &after[name]), "{expected:?}");
            assert!(accepts(&after[key::AUTHORITY], &data[name]), "{expected:?}");
        }
        data = after;
    }
    assert_eq!(step(&cluster, &data, now), None);
    // When its certificates end there is no time for that.
    let mut late = lost.clone();
    complete("chat", &mut late, Timestamp::UNIX_EPOCH + DAY * 310).unwrap();
    complete_servers(server_names(&cluster), &mut late, Timestamp::UNIX_EPOCH + DAY * 310).unwrap();
    for name in [key::CERTIFICATE, key::SERVERS_CERTIFICATE] {
        assert!(accepts(&late[key::AUTHORITY], &late[name]) && !accepts(&lost[key::AUTHORITY], &late[name]));
    }
    let refused: Timestamp = late[key::CERTIFICATE_BEFORE].parse().unwrap();
    assert_eq!(refused, Timestamp::UNIX_EPOCH + DAY * 310, "the old ones are refused from now on");
}

#[test]
fn a_secret_that_is_deleted_or_restored_at_any_step_ends_in_one_that_everybody_has_read() {
    for restored in [None, Some(0), Some(1)] {
        for steps in 0..5 {
            let mut world = World::new(false);
            while world.secrets.len() <= steps {
                for event in [Event::Pass, Event::Replaces(0), Event::Gone(0)] {
                    world.happens(event);
                }
            }
            let back = restored.map(|number: usize| world.secrets[number.min(steps)].clone());
            let data = back.unwrap_or_else(|| {
                let mut data = credentials::begin(&world.cluster);
                complete("chat", &mut data, world.now).unwrap();
                complete_servers(server_names(&world.cluster), &mut data, world.now).unwrap();
                credentials::complete(&world.cluster, data)
            });
            world.secrets.push(data);
            // Pods do not accept each other meanwhile: what they trusted is lost.
            _ = world.settle();
            for _ in 0..600 {
                for event in [Event::Pass, Event::Replaces(0), Event::Gone(0)] {
                    world.happens(event);
                }
                if world.is_settled() {
                    break;
                }
            }
            let case = format!("restored {restored:?} after {steps} steps");
            assert!(world.is_settled(), "{case}: {}", told(&world.cluster, &world.observed));
            assert_eq!(world.strangers(), None, "{case}");
            let newest = world.secrets[world.newest()].clone();
            assert_eq!((trusted(&newest).len(), is_under_way(&newest)), (1, false), "{case}");
        }
    }
}

/// One step, everything that follows from it done at once.
fn step(cluster: &Cluster, data: &Data, now: Timestamp) -> Option<Step> {
    let observed = Observed { now, ..settled(cluster, data.clone()) };
    next(cluster, &observed, &plan(cluster, &observed))
}

#[test]
fn an_authority_is_replaced_by_itself_two_years_before_it_expires() {
    let cluster = cluster("{}");
    let data = made(&cluster);
    let years = |count: i32| Timestamp::UNIX_EPOCH + DAY * (365 * count);
    assert_eq!(step(&cluster, &data, years(18) - DAY), None);
    let paused = self::cluster("rollout: {paused: true}");
    assert_eq!(step(&paused, &data, years(18)), None);
    assert_eq!(step(&paused, &data, years(19)), Some(Step::Begin), "a pause must not let it expire");
    let mut data = data;
    for expected in [Step::Begin, Step::Switch, Step::Finish, Step::End] {
        assert_eq!(step(&cluster, &data, years(18)), Some(expected));
        data = taken(&cluster, &data, expected, years(18)).unwrap();
    }
    assert_eq!(step(&cluster, &data, years(18)), None);
    assert_eq!(step(&cluster, &data, years(36)), Some(Step::Begin), "and again");
}

#[test]
fn each_step_waits_for_pods_that_end_for_jobs_and_for_servers_that_lack_a_copy() {
    let cluster = cluster("certificateRotation: '2026'");
    let both = taken(&cluster, &made(&cluster), Step::Begin, Timestamp::UNIX_EPOCH).unwrap();
    let well = settled(&cluster, both);
    let step = |observed: &Observed| next(&cluster, observed, &plan(&cluster, observed));
    assert_eq!(step(&well), Some(Step::Switch));
    let mut ending = well.clone();
    for component in [Component::from(Service::Gateway), Extra::Console.into()] {
        ending.leaving = [component].into();
        assert_eq!(step(&ending), None);
        let waits = format!("waiting for pods of {component} that are terminating");
        assert!(told(&cluster, &ending).ends_with(&waits));
    }
    let mut backup = well.clone();
    let mut job = DynamicObject { types: None, metadata: Default::default(), data: Default::default() };
    job.data = serde_json::json!({ "status": { "active": 1 } });
    backup.there.insert(("Job".into(), "chat-backup-1".into()), job);
    assert_eq!(step(&backup), None);
    let mut short = well.clone();
    short.dependencies[0].message = "1 of 3 members is unavailable".into();
    assert_eq!(step(&short), None);
    let mut restarting = well;
    restarting.stateful_sets.get_mut("chat-redis").unwrap().settled = false;
    assert_eq!(step(&restarting), None);
}

#[test]
fn it_begins_without_an_approval_but_neither_while_paused_nor_in_a_cluster_without_tls() {
    let wanted = cluster("certificateRotation: '2026'");
    let data = made(&wanted);
    let now = Timestamp::UNIX_EPOCH;
    assert_eq!(step(&wanted, &data, now), Some(Step::Begin));
    let approved = cluster("{certificateRotation: '2026', rollout: {approval: Required}}");
    assert_eq!(step(&approved, &data, now), Some(Step::Begin));
    let paused = cluster("{certificateRotation: '2026', rollout: {paused: true}}");
    assert_eq!(step(&paused, &data, now), None);
    let mut fresh = wanted.clone();
    fresh.ran.clear();
    assert_eq!(step(&fresh, &data, now), None, "it never ran");
    let begun = credentials::complete(&wanted, credentials::begin(&wanted));
    assert_eq!(step(&wanted, &begun, now), None, "no TLS");
    let mut new = credentials::begin(&wanted);
    new.extend(data);
    assert_eq!(step(&wanted, &new, now), None, "a new cluster has what it asks for");
}

#[test]
fn passwords_secrets_and_certificates_change_one_after_the_other() {
    let wanted = cluster(
        "{secretRotation: '1', passwordRotation: '1', certificateRotation: '1', secretOverlapHours: 0}",
    );
    let mut data = made(&wanted);
    let mut steps = Vec::new();
    for _ in 0..16 {
        let observed = settled(&wanted, data.clone());
        let plan = plan(&wanted, &observed);
        if let Some(step) = rotation::next(&wanted, &observed, &plan) {
            steps.push(("passwords", step));
            data = rotation::taken(&wanted, &data, step);
        } else if let Some(step) = secret_rotation::next(&wanted, &observed, &plan) {
            steps.push(("secrets", step));
            data = secret_rotation::taken(&wanted, &data, step, observed.now);
        } else if let Some(step) = next(&wanted, &observed, &plan) {
            steps.push((COMPONENT, step));
            data = taken(&wanted, &data, step, observed.now).unwrap();
        }
    }
    let of = |what| [Step::Begin, Step::Switch, Step::Finish, Step::End].map(|step| (what, step));
    assert_eq!(steps, [of(COMPONENT), of("passwords"), of("secrets")].concat());
}
