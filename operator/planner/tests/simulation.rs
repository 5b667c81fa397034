//! A seeded simulation of the whole planner: random specs and edits, pods that crash or never serve, servers that go away, passes that
//! break off in the middle, and the controllers of Kubernetes in small. Whatever happens, the promises below hold, and it converges.
//!
//! `SIMULATION_RUNS` sets how many runs there are, `SIMULATION_SEED` runs one.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    sync::Arc,
    thread,
};

use crds::{
    Approval, Day, Dependency, OpenIMCluster, OpenIMClusterSpec, OpenIMClusterStatus, Reason, Window,
    condition,
};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::PodTemplateSpec},
    jiff::Timestamp,
};
use kube_core::DynamicObject;
use planner::{
    credentials,
    model::{
        cluster::Cluster,
        measured::Calls,
        names::{self, CONFIG_HASH, FAILED_REASON, FAILED_REVISION},
        observed::Observed,
        plan::Plan,
        pod_template::{partitions_of, revision_of, version_of},
        secret::key,
        workload::Rollout,
    },
    plan::plan,
    secret_rotation, status,
    validate::validate,
    version, window,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use topology::Service;

/// Plans are many small objects: half the time would be the default allocator's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const RUNS: u64 = 40;
/// 1970-01-01, a Thursday.
const NOON: Timestamp = Timestamp::constant(12 * 60 * 60, 0);
const STEPS: u32 = 24;
/// Steps within which a cluster must be settled when nothing goes wrong any more.
const CALM: u32 = 400;
/// Steps without progress after which a Deployment is stuck; longer than any good pod takes.
const DEADLINE: u32 = 8;

struct Pod {
    template: Arc<PodTemplateSpec>,
    ready: bool,
    /// Steps until it is ready.
    wait: u32,
}

/// A Deployment and its controller.
struct Workload {
    template: Arc<PodTemplateSpec>,
    /// As it was applied last; what is the same needs no look.
    applied: DynamicObject,
    replicas: usize,
    notes: BTreeMap<String, String>,
    /// The controller has seen the template.
    seen: bool,
    /// All pods were of this template and ready once; then it does not get stuck any more.
    complete: bool,
    quiet: u32,
    pods: Vec<Pod>,
    /// All pods of before go before a new one starts.
    recreates: bool,
    /// What the template replaced.
    before: Option<Arc<PodTemplateSpec>>,
}

impl Workload {
    fn updated(&self) -> usize {
        self.pods.iter().filter(|pod| Arc::ptr_eq(&pod.template, &self.template)).count()
    }

    fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.ready).count()
    }

    /// Pods of more than one template.
    fn is_mixed(&self) -> bool {
        self.pods.iter().any(|pod| !Arc::ptr_eq(&pod.template, &self.pods[0].template))
    }

    /// maxSurge 1, maxUnavailable 0, as the operator asks for.
    fn step(&mut self, rng: &mut StdRng, broken: impl Fn(&PodTemplateSpec) -> bool) {
        if !self.seen {
            self.seen = rng.random_bool(0.7);
            return;
        }
        let mut progress = false;
        if self.recreates && self.updated() < self.pods.len() {
            let goes = self.pods.iter().position(|pod| !Arc::ptr_eq(&pod.template, &self.template));
            goes.map(|goes| self.pods.remove(goes));
            self.quiet = 0;
            return;
        }
        for pod in &mut self.pods {
            if !pod.ready && !broken(&pod.template) {
                pod.wait = pod.wait.saturating_sub(1);
                pod.ready = pod.wait == 0;
                progress |= pod.ready;
            }
        }
        if self.updated() < self.replicas && self.pods.len() < self.replicas + 1 {
            let wait = rng.random_range(1..4);
            self.pods.push(Pod { template: self.template.clone(), ready: false, wait });
            progress = true;
        }
        let new_unready =
            self.pods.iter().filter(|pod| Arc::ptr_eq(&pod.template, &self.template) && !pod.ready).count();
        let mut may_go = self.pods.len().saturating_sub(self.replicas + new_unready.min(self.updated()));
        if self.updated() > self.replicas {
            may_go = may_go.max(self.updated() - self.replicas);
        }
        while may_go > 0 {
            let spare = self.ready() > self.replicas;
            // Old ones first, and of those the ones that do not serve.
            let goes = self
                .pods
                .iter()
                .enumerate()
                .filter(|(_, pod)| !pod.ready || spare)
                .filter(|(_, pod)| {
                    !Arc::ptr_eq(&pod.template, &self.template) || self.updated() > self.replicas
                })
                .min_by_key(|(_, pod)| (Arc::ptr_eq(&pod.template, &self.template), pod.ready))
                .map(|(index, _)| index);
            let Some(goes) = goes else { break };
            self.pods.remove(goes);
            progress = true;
            may_go -= 1;
        }
        self.complete |= self.updated() == self.replicas
            && self.pods.len() == self.replicas
            && self.ready() == self.replicas;
        self.quiet = if progress || self.complete { 0 } else { self.quiet + 1 };
    }

    fn observed(&self) -> Rollout {
        let stuck = self.seen && self.quiet > DEADLINE;
        let note = |key: &str| self.notes.get(key).cloned().unwrap_or_default();
        let serving = self.pods.iter().find(|pod| pod.ready && !Arc::ptr_eq(&pod.template, &self.template));
        Rollout {
            current: self.seen,
            desired: self.replicas as i32,
            ready: self.ready() as i32,
            updated: self.updated() as i32,
            total: self.pods.len() as i32,
            template: (*self.template).clone(),
            stuck,
            before: if stuck {
                serving.map(|pod| (*pod.template).clone())
            } else {
                self.before.as_deref().cloned()
            },
            failed_revision: note(FAILED_REVISION),
            failed_reason: note(FAILED_REASON),
            recreates: self.recreates,
            ..Default::default()
        }
    }
}

struct World {
    rng: StdRng,
    object: OpenIMCluster,
    workloads: BTreeMap<String, Workload>,
    /// Jobs, and steps until they are done.
    jobs: BTreeMap<String, u32>,
    /// A server lost what they create.
    gone: bool,
    /// Steps until a server is back.
    away: [u32; 3],
    /// Steps until a server has all its copies again.
    short: [u32; 3],
    /// What the generated Secret holds.
    credentials: BTreeMap<String, String>,
    /// By what templates were told: the secret that their pods sign with, and those that they accept.
    told: BTreeMap<String, (String, BTreeSet<String>)>,
    /// Services whose pods of a version never serve.
    broken: BTreeSet<(Service, String)>,
    /// Services whose pods of a version serve, and fail calls.
    failing: BTreeSet<(Service, String)>,
    /// It was Ready once.
    ran: bool,
    what: Vec<String>,
}

fn hash_of(template: &PodTemplateSpec) -> String {
    let annotations = template.metadata.iter().flat_map(|metadata| &metadata.annotations);
    annotations
        .flatten()
        .find(|(name, _)| *name == CONFIG_HASH)
        .map(|(_, hash)| hash.clone())
        .unwrap_or_default()
}

/// The service of a Deployment.
fn service_of(name: &str) -> Service {
    Service::from_name(name.trim_start_matches("chat-")).expect("a service")
}

fn minor(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut object = OpenIMCluster::new("chat", OpenIMClusterSpec::default());
        object.metadata.namespace = Some("team".into());
        object.metadata.uid = Some("uid-of-chat".into());
        object.metadata.generation = Some(1);
        object.spec.version = "1.0.0".into();
        let credentials = credentials::complete(&validate(&object).expect("a good object"), BTreeMap::new());
        let mut some = |part: f64| {
            let versions: Vec<&str> =
                ["1.0.1", "1.1.0", "1.1.1", "1.2.0"].into_iter().filter(|_| rng.random_bool(part)).collect();
            let of_service =
                |version: &str| (Service::ALL[rng.random_range(0..Service::ALL.len())], version.to_owned());
            versions.into_iter().map(of_service).collect::<BTreeSet<_>>()
        };
        let (broken, failing) = (some(0.4), some(0.2));
        Self {
            rng,
            object,
            workloads: BTreeMap::new(),
            jobs: BTreeMap::new(),
            gone: false,
            away: [1, 2, 3],
            short: [3, 2, 1],
            credentials,
            told: BTreeMap::new(),
            broken,
            failing,
            ran: false,
            what: vec![],
        }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut OpenIMClusterSpec, &mut StdRng) -> String) {
        let what = edit(&mut self.object.spec, &mut self.rng);
        *self.object.metadata.generation.get_or_insert_default() += 1;
        self.what.push(what);
    }

    fn random_edit(&mut self) {
        match self.rng.random_range(0..11) {
            0..3 => self.edit(|spec, rng| {
                let versions = ["1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.2.0", "2.0.0"];
                spec.version = versions[rng.random_range(0..versions.len())].into();
                format!("version {}", spec.version)
            }),
            3 => self.edit(|spec, rng| {
                spec.rollout.paused = rng.random_bool(0.3);
                format!("paused {}", spec.rollout.paused)
            }),
            4 => self.edit(|spec, rng| {
                let replicas = rng.random_range(0..4);
                let services = &mut spec.services;
                let list = [&mut services.gateway, &mut services.msg, &mut services.auth, &mut services.cron];
                let which = rng.random_range(0..list.len());
                for (index, service) in list.into_iter().enumerate() {
                    if index == which {
                        service.replicas = replicas;
                    }
                }
                format!("replicas of {which}: {replicas}")
            }),
            5 if self.rng.random_bool(0.4) => self.edit(|spec, rng| {
                spec.config.kafka_partitions = [8, 12][rng.random_range(0..2)];
                format!("partitions {}", spec.config.kafka_partitions)
            }),
            5 => self.edit(|spec, rng| {
                spec.config.multi_login_policy = [0, 1, 4, 5, 99][rng.random_range(0..5)];
                format!("policy {}", spec.config.multi_login_policy)
            }),
            6 => self.edit(|spec, rng| {
                let required = rng.random_bool(0.5);
                spec.rollout.approval = if required { Approval::Required } else { Approval::Automatic };
                format!("{:?}", spec.rollout.approval)
            }),
            7 => {
                let id = self.object.status.as_ref().map(|status| status.plan_id.clone()).unwrap_or_default();
                self.what.push(format!("approve {id:?}"));
                self.object.metadata.annotations.get_or_insert_default().insert(names::APPROVED.into(), id);
            }
            8 => self.edit(|spec, rng| {
                // It is always noon on a Thursday here.
                let start = format!("{:02}:30", rng.random_range(9..14));
                spec.rollout.windows = vec![Window { days: vec![Day::Thu], start, minutes: 60 }];
                spec.rollout.windows.retain(|_| rng.random_bool(0.5));
                format!("{:?}", spec.rollout.windows)
            }),
            9 => self.edit(|spec, rng| {
                spec.pods.annotations.insert("note".into(), rng.random_range(0..3).to_string());
                "annotation".into()
            }),
            10 => self.edit(|spec, rng| {
                spec.secret_rotation = rng.random_range(0..3).to_string();
                spec.secret_overlap_hours = Some(0);
                format!("secrets {}", spec.secret_rotation)
            }),
            _ => self.edit(|spec, rng| {
                spec.rollout.on_failure =
                    if rng.random_bool(0.5) { crds::OnFailure::RollBack } else { crds::OnFailure::Stop };
                format!("{:?}", spec.rollout.on_failure)
            }),
        }
    }

    fn observe(&self) -> Observed {
        let dependencies = ["mongodb", "redis", "kafka"]
            .into_iter()
            .zip(self.away.into_iter().zip(self.short))
            .map(|(name, (away, short))| Dependency {
                name: name.into(),
                managed: true,
                reachable: away == 0,
                message: match (away, short) {
                    (0, 0) => String::new(),
                    (0, _) => "a copy is missing".into(),
                    _ => "down".into(),
                },
                ..Default::default()
            })
            .collect();
        Observed {
            credentials: self.credentials.clone(),
            deployments: self.workloads.iter().map(|(name, live)| (name.clone(), live.observed())).collect(),
            finished_jobs: self
                .jobs
                .iter()
                .filter(|(_, left)| **left == 0)
                .map(|(name, _)| name.clone())
                .collect(),
            dependencies,
            gone: self.gone.then(|| "Kafka's topics".to_owned()).into_iter().collect(),
            calls: self.calls(),
            now: NOON,
            ..Default::default()
        }
    }

    /// What pods of the newest template answered.
    fn calls(&self) -> BTreeMap<Service, Calls> {
        let mut calls = BTreeMap::new();
        for (name, live) in &self.workloads {
            let service = service_of(name);
            let new = live.pods.iter().any(|pod| pod.ready && Arc::ptr_eq(&pod.template, &live.template));
            let fails = self.failing.contains(&(service, version_of(&live.template).to_owned()));
            if new {
                calls.insert(service, Calls { answered: 100, failed: if fails { 50 } else { 0 } });
            }
        }
        calls
    }

    /// One pass of the operator; it may break off after some objects.
    fn operator(&mut self, breaks: bool) {
        let before = self.object.status.clone().unwrap_or_default();
        let now = NOON;
        let cluster = match validate(&self.object) {
            Ok(cluster) => cluster,
            Err(invalid) => {
                let generation = self.object.metadata.generation.unwrap_or_default();
                let status =
                    status::invalid(generation, Reason::InvalidSpec, &invalid.to_string(), &before, now);
                self.check_status(&status, None);
                self.object.status = Some(status);
                return;
            }
        };
        let observed = self.observe();
        let plan = plan(&cluster, &observed);
        let upto = if breaks { self.rng.random_range(0..=plan.apply.len()) } else { plan.apply.len() };
        let written = self.apply(&cluster, &observed, &plan, upto);
        if upto == plan.apply.len() {
            let status = status::of(&cluster, &observed, &plan, written, &before, now);
            self.check_status(&status, Some(&cluster));
            self.object.status = Some(status);
            if let Some(step) = secret_rotation::next(&cluster, &observed, &plan).filter(|_| !written) {
                self.credentials = secret_rotation::taken(&cluster, &self.credentials, step, NOON);
                self.what.push(format!("secrets {step:?}"));
            }
        }
    }

    /// Remembers what pods of a template are told.
    fn tell(&mut self, template: &PodTemplateSpec) {
        let of = |name: &str| self.credentials.get(name).cloned();
        let accepted = [key::SECRET, key::OTHER_SECRET].into_iter().filter_map(of).collect();
        let told = (of(key::SECRET).unwrap_or_default(), accepted);
        self.told.entry(hash_of(template)).or_insert(told);
    }

    /// Services that run together accept what the others sign.
    fn check_secrets(&self) {
        let serving = self.workloads.values().flat_map(|live| live.pods.iter().filter(|pod| pod.ready));
        let hashes: BTreeSet<String> = serving.map(|pod| hash_of(&pod.template)).collect();
        let told: Vec<_> = hashes.iter().map(|hash| &self.told[hash]).collect();
        for (secret, _) in &told {
            assert!(told.iter().all(|(_, accepted)| accepted.contains(secret)), "a service is turned away");
        }
    }

    /// Applies the first objects of a plan, and checks what it does to what runs.
    fn apply(&mut self, cluster: &Cluster, observed: &Observed, plan: &Plan, upto: usize) -> bool {
        let kind = |object: &DynamicObject| {
            object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default()
        };
        let deployments: BTreeSet<&str> = plan
            .objects()
            .filter(|object| kind(object) == "Deployment")
            .filter_map(|object| object.metadata.name.as_deref())
            .collect();
        for name in self.workloads.keys() {
            assert!(deployments.contains(name.as_str()), "{name} would be removed");
        }
        let mixed: Vec<String> = self
            .workloads
            .iter()
            .filter(|(_, live)| {
                live.is_mixed() || live.updated() < live.pods.len() || !live.seen && !live.pods.is_empty()
            })
            .map(|(name, _)| name.clone())
            .collect();
        let held = self.away != [0; 3]
            || self.object.spec.rollout.paused
            || version::upgrade_problem(&version::running(cluster, observed), &cluster.version).is_some()
            || window::closed(cluster, &plan.id, NOON).is_some();
        let (mut written, mut changed) = (false, 0);
        for object in plan.apply.iter().take(upto) {
            let name = object.metadata.name.clone().unwrap_or_default();
            match kind(object).as_str() {
                "Job" => {
                    let steps = self.rng.random_range(1..4);
                    written |= !self.jobs.contains_key(&name);
                    self.jobs.entry(name).or_insert(steps);
                }
                "Deployment" => {
                    if self.workloads.get(&name).is_some_and(|live| live.applied == *object) {
                        continue;
                    }
                    let wanted: Deployment =
                        serde_json::from_value(serde_json::to_value(object).expect("JSON"))
                            .expect("a Deployment");
                    let spec = wanted.spec.expect("a spec");
                    self.tell(&spec.template);
                    let service = Service::ALL
                        .into_iter()
                        .find(|service| cluster.part(service) == name)
                        .expect("a service");
                    let replicas = spec.replicas.unwrap_or(1) as usize;
                    assert_eq!(replicas, cluster.service(service).replicas as usize, "pods of {service}");
                    let notes = wanted.metadata.annotations.unwrap_or_default();
                    let Some(live) = self.workloads.get_mut(&name) else {
                        assert!(self.away == [0; 3], "{service} was created while a server is away");
                        assert!(self.jobs.values().any(|left| *left == 0), "{service} was created too early");
                        let fresh = Workload {
                            template: Arc::new(spec.template),
                            applied: object.clone(),
                            replicas,
                            notes,
                            seen: false,
                            complete: false,
                            quiet: 0,
                            pods: vec![],
                            recreates: false,
                            before: None,
                        };
                        self.workloads.insert(name, fresh);
                        written = true;
                        continue;
                    };
                    live.applied = object.clone();
                    let same = *live.template == spec.template;
                    written |= !same || live.replicas != replicas || live.notes != notes;
                    if !same {
                        let failed = notes.get(FAILED_REVISION);
                        let back = failed.is_some_and(|failed| failed == revision_of(&live.template));
                        if !back {
                            changed += 1;
                            assert!(!held, "{service} was changed though changes are held");
                            let others: Vec<&String> = mixed.iter().filter(|other| **other != name).collect();
                            assert!(others.is_empty(), "{service} was changed while {others:?} are");
                            let version = version_of(&spec.template);
                            let earlier = Service::ALL.into_iter().take_while(|earlier| *earlier != service);
                            let fails = earlier
                                .filter(|earlier| {
                                    let bad = (*earlier, version.to_owned());
                                    self.broken.contains(&bad) || self.failing.contains(&bad)
                                })
                                .filter(|earlier| cluster.service(*earlier).replicas > 0)
                                .collect::<Vec<_>>();
                            assert!(
                                fails.is_empty() || !live.observed().is_done(),
                                "{service} got {version}, with which {fails:?} does not serve"
                            );
                        }
                        (live.seen, live.complete, live.quiet) = (false, false, 0);
                        live.before = Some(live.template.clone());
                        // Pods of that template may be there still, from before it was changed.
                        let known = live.pods.iter().find(|pod| *pod.template == spec.template);
                        live.template =
                            known.map_or_else(|| Arc::new(spec.template), |pod| pod.template.clone());
                    }
                    live.recreates =
                        spec.strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"));
                    (live.replicas, live.notes) = (replicas, notes);
                }
                _ => {}
            }
        }
        assert!(changed <= 1, "{changed} services were changed in one pass");
        written
    }

    /// Ready is said only of what is so.
    fn check_status(&mut self, status: &OpenIMClusterStatus, cluster: Option<&Cluster>) {
        let ready = status.conditions.iter().find(|entry| entry.type_ == condition::READY).expect("Ready");
        assert_eq!(ready.observed_generation, self.object.metadata.generation);
        assert!(!status.message.is_empty());
        if ready.status != "True" {
            return;
        }
        self.ran = true;
        let cluster = cluster.expect("Ready with a wrong spec");
        assert_eq!(self.away, [0; 3], "Ready while a server is away");
        assert_eq!(self.short, [0; 3], "Ready while a copy is missing");
        assert!(status.blockers.is_empty(), "Ready while something holds the plan up");
        let degraded = status.conditions.iter().find(|entry| entry.type_ == condition::DEGRADED);
        assert_eq!(degraded.expect("Degraded").status, "False");
        assert!(!self.gone, "Ready without topics");
        for service in Service::ALL {
            let live = &self.workloads[&cluster.part(service)];
            assert!(
                live.observed().is_done() && live.replicas == cluster.service(service).replicas as usize,
                "Ready while {service} is not"
            );
            assert_eq!(version_of(&live.template), self.object.spec.version, "Ready with an old {service}");
        }
        assert!(status.plan.is_empty());
        let remembered = serde_json::from_str::<OpenIMClusterSpec>(&status.history[0].spec);
        assert_eq!(remembered.expect("a spec"), self.object.spec, "Ready with a spec that is not remembered");
    }

    /// The controllers of Kubernetes, and what goes wrong without them.
    fn kubernetes(&mut self, faults: bool) {
        for (name, live) in &mut self.workloads {
            let service = service_of(name);
            let broken = &self.broken;
            live.step(&mut self.rng, |template| broken.contains(&(service, version_of(template).to_owned())));
            if faults && self.rng.random_bool(0.01) && !live.pods.is_empty() {
                let pod = self.rng.random_range(0..live.pods.len());
                (live.pods[pod].ready, live.pods[pod].wait) = (false, 2);
            }
        }
        for left in self.jobs.values_mut() {
            self.gone &= *left != 1;
            *left = left.saturating_sub(1);
        }
        self.gone |= faults && self.ran && self.rng.random_bool(0.01);
        for away in &mut self.away {
            *away = away.saturating_sub(1);
            if faults && self.rng.random_bool(0.01) {
                *away = 5;
            }
        }
        for short in &mut self.short {
            *short = short.saturating_sub(1);
            if faults && self.rng.random_bool(0.02) {
                *short = 7;
            }
        }
        self.check_versions();
        self.check_partitions();
        self.check_secrets();
    }

    /// A conversation has one partition at a time.
    fn check_partitions(&self) {
        let Some(msg) = self.workloads.get("chat-msg") else { return };
        let numbers: BTreeSet<String> =
            msg.pods.iter().filter(|pod| pod.ready).map(|pod| partitions_of(&pod.template)).collect();
        assert!(numbers.len() <= 1, "pods of msg spread conversations over {numbers:?} partitions");
    }

    /// Services that run together are of neighbouring minor versions, once there was anything that could be lost.
    fn check_versions(&self) {
        if !self.ran {
            return;
        }
        let serving = self.workloads.values().flat_map(|live| live.pods.iter().filter(|pod| pod.ready));
        let minors: BTreeSet<u32> = serving.map(|pod| minor(version_of(&pod.template))).collect();
        if let (Some(lowest), Some(highest)) = (minors.first(), minors.last()) {
            assert!(highest - lowest <= 1, "minor versions {minors:?} run together");
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            if self.rng.random_bool(0.2) {
                self.random_edit();
            }
            let breaks = self.rng.random_bool(0.1);
            self.operator(breaks);
            for _ in 0..self.rng.random_range(1..4) {
                self.kubernetes(true);
            }
        }
        // Somebody mends the spec, and nothing goes wrong any more.
        let versions = self.workloads.values().map(|live| version_of(&live.template));
        let versions = versions.filter_map(|version| version.rsplit_once('.')).map(|(minor, _)| minor);
        // Of a cluster that was never Ready the status says with which versions to stay, once any pod served.
        let serves = validate(&self.object).map(|cluster| version::running(&cluster, &self.observe()));
        let serves = serves.unwrap_or_default();
        let version = if self.ran {
            versions.max()
        } else {
            serves.rsplit_once('.').map(|(minor, _)| minor).or_else(|| versions.min())
        };
        let mended = format!("{}.9", version.unwrap_or("1.0"));
        self.edit(|spec, _| {
            spec.version = mended;
            spec.rollout.paused = false;
            spec.rollout.approval = Approval::Automatic;
            spec.rollout.windows.clear();
            spec.config.multi_login_policy = 1;
            format!("mended with {}", spec.version)
        });
        for _ in 0..CALM {
            self.operator(false);
            for _ in 0..3 {
                self.kubernetes(false);
            }
            let ready = self.object.status.iter().flat_map(|status| &status.conditions);
            if ready.into_iter().any(|entry| entry.type_ == condition::READY && entry.status == "True") {
                self.check_steady();
                return;
            }
        }
        let status = self.object.status.clone().unwrap_or_default();
        panic!("it does not converge: {} {:?}", status.message, status.blockers);
    }

    /// When all is well there is nothing to write.
    fn check_steady(&mut self) {
        let cluster = validate(&self.object).expect("a good object");
        let observed = self.observe();
        let plan = plan(&cluster, &observed);
        assert!(plan.changes.is_empty() && plan.blockers.is_empty() && plan.later.is_empty());
        assert!(
            !self.apply(&cluster, &observed, &plan, plan.apply.len()),
            "something is written in a steady state"
        );
    }
}

/// What a run broke, if so.
fn broken_promise(seed: u64) -> Option<String> {
    let mut world = World::new(seed);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let panic = outcome.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let text =
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
    Some(format!(
        "seed {seed}: {text}\n  edits: {:?}\n  broken: {:?}\n  failing: {:?}",
        world.what, world.broken, world.failing
    ))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

#[test]
fn whatever_happens_the_promises_hold_and_it_converges() {
    if let Some(seed) = number("SIMULATION_SEED") {
        World::new(seed).run();
        return;
    }
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    std::panic::set_hook(Box::new(|_| {}));
    let broken: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    (first..runs)
                        .step_by(threads as usize)
                        .filter_map(broken_promise)
                        .take(3)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    let _default = std::panic::take_hook();
    assert!(broken.is_empty(), "{} of {runs} runs broke a promise:\n{}", broken.len(), broken.join("\n"));
}
