//! The control loop: watches clusters and everything they own, and runs the pipeline for one at a time.

pub mod lease;
mod quiescence;
mod reconcile_queue;
pub mod rivals;
pub mod unreadable;
mod watched;

use std::{sync::Arc, time::Duration};

use crds::{BackupStatus, Dependency, OpenIMCluster, OpenIMClusterStatus, OpenIMService, Reason, condition};
use futures::{FutureExt, StreamExt, future::join_all};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, ObjectReference, PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        controller::{self, Action, Controller},
        events::{Event, EventType, Recorder, Reporter},
        reflector::ObjectRef,
        watcher,
    },
};
use planner::{
    authority_rotation, certificates, credentials,
    model::{
        assessment::Assessment,
        cluster::Cluster,
        door::Neighbour,
        names::MANAGER,
        observed::Observed,
        plan::Plan,
        secret::{Account, key},
    },
    plan,
    render::{monitoring::pod_monitor_type, services::http_route_type, settings::live_revision},
    rotation, rotation_steps, secret_rotation,
    status::{self, Failure},
    tls_switch, validate,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    apply::{self, deletion_costs, manual_scale, sent::Sent},
    controller::{
        quiescence::Quiescence,
        reconcile_queue::ReconcileQueue,
        watched::{Clusters, Guarded, Watch},
    },
    observe::{
        self, error_rate, live_config, neighbours, pods,
        scope::{resource, scoped, scopes},
    },
    probe::{self, kafka_disk::DiskTasks, passwords},
};

/// Counters of the operator.
#[derive(Clone, Default)]
pub struct OperatorMetrics {
    reconciled: Counter,
    failed: Counter,
    written: Counter,
    repaired: Family<Kind, Counter>,
    clusters: Clusters,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: String,
}

impl Collector for Clusters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "1 if a condition of a cluster is true";
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut metric = encoder.encode_descriptor("openim_cluster_condition", help, None, kind)?;
        for guarded in self.all() {
            let (namespace, name) = (guarded.namespace().unwrap_or_default(), guarded.name_any());
            for (condition, holds) in conditions(&guarded) {
                let labels =
                    [("namespace", namespace.as_str()), ("name", name.as_str()), ("condition", condition)];
                ConstGauge::new(i64::from(holds)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "1 if a backing server of a cluster is available and complete";
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut metric = encoder.encode_descriptor("openim_cluster_dependency_whole", help, None, kind)?;
        for guarded in self.all() {
            let Ok(cluster) = &guarded.0 else { continue };
            let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
            for dependency in cluster.status.iter().flat_map(|status| &status.dependencies) {
                let labels = [
                    ("namespace", namespace.as_str()),
                    ("name", name.as_str()),
                    ("dependency", dependency.name.as_str()),
                ];
                ConstGauge::new(i64::from(dependency.is_well())).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "When a certificate of a cluster expires, in seconds since 1970: the authority's, and the first one of those in use";
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut metric =
            encoder.encode_descriptor("openim_cluster_certificate_expiry_seconds", help, None, kind)?;
        for guarded in self.all() {
            let Ok(cluster) = &guarded.0 else { continue };
            let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
            for (certificate, end) in expiries(cluster) {
                let labels = [
                    ("namespace", namespace.as_str()),
                    ("name", name.as_str()),
                    ("certificate", certificate),
                ];
                ConstGauge::new(end.as_second()).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "When the last successful scheduled backup of a cluster began";
        let kind = ConstGauge::new(0_i64).metric_type();
        let name = "openim_cluster_backup_last_success_timestamp_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, backup) in self.backups() {
            let Some(success) = &backup.last_success else { continue };
            ConstGauge::new(success.time.0.as_second()).encode(metric.encode_family(&labels)?)?;
        }
        let help = "1 if no scheduled backup of a cluster has succeeded in two periods";
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut metric = encoder.encode_descriptor("openim_cluster_backup_overdue", help, None, kind)?;
        for (labels, backup) in self.backups() {
            ConstGauge::new(i64::from(backup.overdue)).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// When the certificates of a cluster expire, as its status has it.
fn expiries(cluster: &OpenIMCluster) -> impl Iterator<Item = (&'static str, Timestamp)> {
    let certificates = cluster.status.as_ref().and_then(|status| status.certificates.as_ref());
    certificates.into_iter().flat_map(|certificates| {
        [("authority", certificates.authority_expires.0), ("earliest", certificates.earliest_expires.0)]
    })
}

impl Clusters {
    /// The labels of each cluster that has a schedule for backups, and what its status says of them.
    fn backups(&self) -> Vec<([(&'static str, String); 2], BackupStatus)> {
        let all = self.all();
        let backups = all.iter().filter_map(|guarded| {
            let cluster = guarded.0.as_ref().ok()?;
            let labels =
                [("namespace", cluster.namespace().unwrap_or_default()), ("name", cluster.name_any())];
            Some((labels, cluster.status.as_ref()?.backup.clone()?))
        });
        backups.collect()
    }
}

/// The conditions of a cluster. What was said last of one that cannot be read cannot be read either.
fn conditions(guarded: &Guarded) -> Vec<(&str, bool)> {
    match &guarded.0 {
        Ok(cluster) => {
            let entries = cluster.status.iter().flat_map(|status| &status.conditions);
            entries.map(|entry| (entry.type_.as_str(), entry.status == "True")).collect()
        }
        Err(_) => vec![(condition::READY, false), (condition::STALLED, true)],
    }
}

impl OperatorMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("openim_operator_reconciliations", "Finished passes", metrics.reconciled.clone());
        registry.register("openim_operator_reconciliation_errors", "Failed passes", metrics.failed.clone());
        registry.register(
            "openim_operator_objects_written",
            "Objects applied because they differed",
            metrics.written.clone(),
        );
        registry.register(
            "openim_operator_edits_repaired",
            "Reverted fields that had been edited manually",
            metrics.repaired.clone(),
        );
        registry.register_collector(Box::new(metrics.clusters.clone()));
        metrics
    }
}

struct Operator {
    client: Client,
    installed: Installed,
    recorder: Recorder,
    metrics: OperatorMetrics,
    quiescence: Arc<Quiescence>,
    sent: Arc<Sent>,
    calls: Arc<error_rate::Before>,
    disks: DiskTasks,
    queue: ReconcileQueue,
}

/// Why a pass failed; it is retried.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("reading: {0}")]
    Read(#[source] kube::Error),
    #[error("applying {0}")]
    Apply(#[from] apply::ApplyError),
    /// The status says so already.
    #[error("applying {0}")]
    Told(#[source] apply::ApplyError),
    #[error("sending new settings to pods: {0}")]
    Nudge(#[source] kube::Error),
    #[error("writing OpenIMService objects: {0}")]
    Services(#[source] kube::Error),
    #[error("annotating which gateways to keep: {0}")]
    Prefer(#[source] kube::Error),
    #[error("writing the status: {0}")]
    Status(#[source] kube::Error),
}

impl ReconcileError {
    /// Whether the API server will go on refusing, and the status does not say so yet.
    fn is_untold_refusal(&self) -> bool {
        match self {
            Self::Read(error) | Self::Nudge(error) | Self::Services(error) | Self::Prefer(error) => {
                apply::is_refusal(error)
            }
            Self::Apply(error) => error.is_refusal(),
            Self::Told(_) | Self::Status(_) => false,
        }
    }
}

/// Settings of the operator's installation.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    /// Where this operator runs.
    pub namespace: String,
    /// The namespaces that it sees; none: all.
    pub watched: Vec<String>,
    /// Repositories that clusters may run images of; see [`validate::images`].
    pub allowed_repositories: Vec<String>,
    /// Namespaces whose pods may read metrics; none: everybody may.
    pub monitoring_namespaces: Vec<String>,
    /// Pods have addresses of IPv6, as the operator's own has.
    pub ipv6: bool,
}

/// Runs until `stop`.
pub async fn run(
    client: Client,
    identity: &str,
    installed: Installed,
    metrics: OperatorMetrics,
    stop: CancellationToken,
) {
    let watched = installed.watched.clone();
    let reporter = Reporter { controller: MANAGER.into(), instance: Some(identity.to_owned()) };
    let operator = Arc::new(Operator {
        client: client.clone(),
        installed,
        recorder: Recorder::new(client.clone(), reporter),
        metrics,
        quiescence: Arc::default(),
        sent: Arc::default(),
        calls: Arc::default(),
        disks: DiskTasks::default(),
        queue: ReconcileQueue::default(),
    });
    let controllers: Vec<_> = scopes(&watched)
        .into_iter()
        .map(|namespace| controller(&operator, namespace, stop.clone()))
        .collect();
    operator.metrics.clusters.set(controllers.iter().map(Controller::store).collect());
    join_all(controllers.into_iter().map(|controller| drive(controller, operator.clone()))).await;
    operator.disks.close().await;
}

/// Watches the clusters of one namespace, or of all, and what they own.
fn controller(
    operator: &Arc<Operator>,
    namespace: Option<&str>,
    stop: CancellationToken,
) -> Controller<Guarded> {
    let client = &operator.client;
    let controller = Controller::new(scoped::<Guarded>(client, namespace), watcher::Config::default())
        .with_config(controller::Config::default().debounce(Duration::from_millis(200)));
    let watch =
        Watch { client, namespace, quiescence: &operator.quiescence, clusters: &operator.metrics.clusters };
    let controller = watch.owned::<Deployment>(controller);
    let controller = watch.owned::<StatefulSet>(controller);
    let controller = watch.owned::<Service>(controller);
    let controller = watch.owned::<ConfigMap>(controller);
    let controller = watch.owned::<Ingress>(controller);
    let controller = watch.owned::<NetworkPolicy>(controller);
    let controller = watch.owned::<PodDisruptionBudget>(controller);
    let controller = watch.owned::<HorizontalPodAutoscaler>(controller);
    let controller = watch.owned::<OpenIMService>(controller);
    let controller = watch.owned::<CronJob>(controller);
    let controller = watch.owned_if_allowed::<ServiceAccount>(controller);
    let controller = watch.owned_if_allowed::<Role>(controller);
    let controller = watch.owned_if_allowed::<RoleBinding>(controller);
    // Those of the schedule belong to the CronJob, and those of a restore to nobody.
    let controller = watch.labelled::<Job>(controller);
    let controller = watch.labelled::<PersistentVolumeClaim>(controller);
    let controller = watch.owned_foreign(controller, &resource(&http_route_type()));
    let controller = watch.owned_foreign(controller, &resource(&pod_monitor_type()));
    let leading = operator.clone();
    controller.graceful_shutdown_on(async move {
        stop.cancelled().await;
        leading.queue.close();
    })
}

async fn drive(controller: Controller<Guarded>, operator: Arc<Operator>) {
    let leading = operator.clone();
    controller
        .run(reconcile, on_error, operator)
        .for_each(async |outcome| {
            let Err(error) = outcome else { return };
            if matches!(error, controller::Error::ObjectNotFound(_)) {
                let left =
                    leading.metrics.clusters.all().iter().filter_map(|cluster| cluster.uid()).collect();
                leading.quiescence.keep(&left);
                leading.sent.keep(&left);
                leading.calls.keep(&left);
                leading.disks.keep(&left);
            }
            tracing::debug!(%error, "controller.event");
        })
        .await;
}

async fn reconcile(guarded: Arc<Guarded>, operator: Arc<Operator>) -> Result<Action, ReconcileError> {
    let done = operator.queue.take(async || {
        // It may have been edited, or be gone, since it began to wait.
        match operator.metrics.clusters.get(&ObjectRef::from_obj(&*guarded)) {
            Some(newest) => {
                let ObjectRef { name, namespace, .. } = ObjectRef::from_obj(newest.as_ref());
                let span = tracing::error_span!("reconcile", cluster = name, namespace);
                operator.look(&newest).instrument(span).await
            }
            None => Ok(Action::await_change()),
        }
    });
    done.await.unwrap_or_else(|| Ok(Action::await_change()))
}

fn on_error(guarded: Arc<Guarded>, error: &ReconcileError, operator: Arc<Operator>) -> Action {
    operator.metrics.failed.inc();
    tracing::warn!(cluster = %ObjectRef::from_obj(guarded.as_ref()), %error, "cluster.failed");
    Action::requeue(Duration::from_secs(5))
}

impl Operator {
    async fn look(&self, guarded: &Guarded) -> Result<Action, ReconcileError> {
        let cluster = match &guarded.0 {
            Ok(cluster) => cluster,
            Err(broken) => {
                // One that cannot even be read: nothing to do until it is edited. The others go on.
                tracing::warn!(error = broken.error, "cluster.unreadable");
                unreadable::tell(&self.client, broken).await.map_err(ReconcileError::Status)?;
                return Ok(Action::await_change());
            }
        };
        if cluster.metadata.deletion_timestamp.is_some() {
            // Everything is owned; the garbage collector takes it.
            return Ok(Action::await_change());
        }
        // Boxed: those that wait for their turn are small.
        let done = self.pass(cluster).boxed().await;
        self.metrics.reconciled.inc();
        done
    }

    /// How long a cluster is left alone with which all is well.
    fn rest(&self) -> Duration {
        reconcile_queue::rest(self.metrics.clusters.len())
    }

    async fn pass(&self, object: &OpenIMCluster) -> Result<Action, ReconcileError> {
        let before = object.status.clone().unwrap_or_default();
        let outcome = self.whole_pass(object, &before).await;
        if let Some(error) = outcome.as_ref().err().filter(|error| error.is_untold_refusal()) {
            let generation = object.metadata.generation.unwrap_or(0);
            let (reason, message) = (Reason::Refused, error.to_string());
            let status = status::invalid(generation, reason, &message, &before, Timestamp::now());
            self.write_status(object, &before, status).await?;
        }
        outcome
    }

    fn checked(&self, object: &OpenIMCluster) -> Result<Cluster, validate::Invalid> {
        let cluster = validate::validate(object)?;
        validate::images(&cluster, &self.installed.allowed_repositories)?;
        Ok(cluster)
    }

    async fn whole_pass(
        &self,
        object: &OpenIMCluster,
        before: &OpenIMClusterStatus,
    ) -> Result<Action, ReconcileError> {
        let now = Timestamp::now();
        let (cluster, invalid) = match self.checked(object) {
            Ok(cluster) => (cluster, None),
            Err(invalid) => {
                let Some(cluster) = validate::last_good(object) else {
                    let generation = object.metadata.generation.unwrap_or(0);
                    let (reason, message) = (Reason::InvalidSpec, invalid.to_string());
                    let status = status::invalid(generation, reason, &message, before, now);
                    self.write_status(object, before, status).await?;
                    return Ok(Action::await_change());
                };
                (cluster, Some(invalid.to_string()))
            }
        };
        self.disks.recall(&cluster.owner.uid, before);
        if invalid.is_none() && self.quiescence.still_rests(&self.client, object, &cluster, &self.disks).await
        {
            return Ok(Action::requeue(self.rest()));
        }
        let credentials = match apply::ensure_credentials(&self.client, &cluster).await {
            Err(error) if error.needs_an_edit() => {
                let status =
                    status::invalid(cluster.generation, error.reason(), &error.to_string(), before, now);
                self.write_status(object, before, status).await?;
                return Err(ReconcileError::Told(error));
            }
            credentials => credentials?,
        };
        let cluster = validate::with_what_ran(cluster, &credentials);
        let observed = observe::observe(
            &self.client,
            &cluster,
            credentials,
            &self.installed.namespace,
            &self.calls,
            &self.disks,
        );
        let (mut observed, moves) = observed.await.map_err(ReconcileError::Read)?;
        observed.monitoring_namespaces.clone_from(&self.installed.monitoring_namespaces);
        observed.ipv6 = self.installed.ipv6;
        observed.neighbours = self.neighbours(&cluster, &observed).await.map_err(ReconcileError::Read)?;
        if let Some(uri) = credentials::shortened(&cluster, &observed) {
            let before = observed.credentials.clone();
            let name = Account::in_use(&before).mongo_uri;
            observed.credentials.insert(name.to_owned(), uri);
            apply::replace_credentials(&self.client, &cluster, &before, &observed.credentials).await?;
        }
        let assessment = Assessment::with_moves(&cluster, &observed, moves);
        let mut plan = plan::plan_with(&cluster, &observed, assessment);
        if invalid.is_some() {
            plan = plan::repairs(plan, &observed);
        }
        if plan.hold.is_some()
            && !plan.later.is_empty()
            && let Some(good) = validate::last_good(object)
        {
            plan::restore_deleted(&mut plan, &good, &observed);
        }
        // Before pods are taken away: which of them.
        deletion_costs::prefer(&self.client, &cluster, &plan.deletion_costs)
            .await
            .map_err(ReconcileError::Prefer)?;
        let applied = apply::apply(&self.client, &cluster, &plan, &observed.there, &self.sent).await;
        let (written, failure) = match applied {
            Ok(applied) => {
                self.metrics.written.inc_by((applied.written.len() + applied.deleted.len()) as u64);
                if !applied.written.is_empty() || !applied.deleted.is_empty() {
                    tracing::info!(written = ?applied.written, deleted = ?applied.deleted, "cluster.applied");
                }
                plan.blockers.extend(applied.refused);
                plan.refused = applied.invalid;
                for edit in applied.repaired {
                    self.repaired(object, &cluster, edit).await;
                }
                (!applied.written.is_empty(), None)
            }
            Err(error) => (true, Some(error)),
        };
        manual_scale::write(&self.client, &cluster, &observed, &plan.assessment)
            .await
            .map_err(ReconcileError::Services)?;
        for (pod, uid) in &observed.outdated {
            pods::evict(&self.client, &cluster, pod, uid).await;
        }
        if plan.fail_over {
            probe::fail_over(&cluster, &observed).await;
        }
        if failure.is_none() && !observed.behind.is_empty() {
            let revision = live_revision(&cluster);
            live_config::nudge(&self.client, &cluster, &observed.behind, &revision)
                .await
                .map_err(ReconcileError::Nudge)?;
        }
        if let (Some(change), None) = (&plan.started, &failure) {
            let note = format!("{}: {} (pods to replace: {})", change.component, change.reason, change.pods);
            tracing::info!(change = note, "cluster.changing");
            let is_server = topology::Server::from_name(&change.component).is_some();
            let related = ObjectReference {
                api_version: Some("apps/v1".into()),
                kind: Some(if is_server { "StatefulSet" } else { "Deployment" }.into()),
                name: Some(cluster.part(&change.component)),
                namespace: Some(cluster.namespace.clone()),
                ..Default::default()
            };
            self.tell(object, EventType::Normal, "Changing", note, Some(related)).await;
        }
        let rotated =
            match rotation::next(&cluster, &observed, &plan).filter(|_| failure.is_none() && !written) {
                Some(step) => self.rotate(&cluster, &observed, step, &mut plan).await?,
                None => false,
            };
        let mut written = written || rotated;
        if let Some(step) =
            secret_rotation::next(&cluster, &observed, &plan).filter(|_| failure.is_none() && !written)
        {
            let before = &observed.credentials;
            let after = secret_rotation::taken(&cluster, before, step, now);
            apply::replace_credentials(&self.client, &cluster, before, &after).await?;
            tracing::info!(?step, "secrets.rotate");
            written = true;
        }
        let step = authority_rotation::next(&cluster, &observed, &plan);
        if let Some(step) = step.filter(|_| failure.is_none() && !written) {
            let before = &observed.credentials;
            let after = authority_rotation::taken(&cluster, before, step, now)
                .map_err(|source| apply::ApplyError::certificates(&cluster, source))?;
            apply::replace_credentials(&self.client, &cluster, before, &after).await?;
            tracing::info!(?step, "certificates.rotate");
            written = true;
        }
        let step = tls_switch::next(&cluster, &observed, &plan);
        if let Some(step) = step.filter(|_| failure.is_none() && !written) {
            let before = &observed.credentials;
            let after = tls_switch::taken(&cluster, before, step, now)
                .map_err(|source| apply::ApplyError::certificates(&cluster, source))?;
            apply::replace_credentials(&self.client, &cluster, before, &after).await?;
            tracing::info!(?step, "tls.switch");
            written = true;
        }
        let forgotten = certificates::forgotten(&observed.credentials, &plan.assessment.certificates);
        if let Some(after) = forgotten.filter(|_| failure.is_none() && !written) {
            apply::replace_credentials(&self.client, &cluster, &observed.credentials, &after).await?;
            written = true;
        }
        let running = plan.assessment.running.clone();
        let is_noted = running.is_empty() || observed.credentials.get(key::RAN) == Some(&running);
        if !is_noted && !written && failure.is_none() {
            let mut after = observed.credentials.clone();
            after.insert(key::RAN.to_owned(), running);
            apply::replace_credentials(&self.client, &cluster, &observed.credentials, &after).await?;
            observed.credentials = after;
        }
        let mut status = status::of(&cluster, &observed, &plan, written, before, now);
        if let Some(error) = &failure {
            status = status::failed(status, &Failure::from(error), before, now);
        }
        if let Some(invalid) = &invalid {
            status = status::overruled(status, invalid, before, now);
        }
        let progressing = status
            .conditions
            .iter()
            .any(|entry| entry.type_ == condition::PROGRESSING && entry.status == "True");
        let waiting = progressing || written || status.message != before.message;
        let at_rest = !waiting
            && failure.is_none()
            && invalid.is_none()
            && plan.blockers.is_empty()
            && plan.refused.is_empty()
            && plan.changes.is_empty()
            && observed.load.is_empty()
            && !secret_rotation::is_under_way(&observed.credentials)
            && (cluster.signed_calls || observed.signing == Some(false))
            && status == *before
            && observed.dependencies.iter().all(Dependency::is_well);
        if at_rest {
            let target = probe::Target::of(&cluster, &observed);
            let secrets = observe::secrets_digest(&observed.external, &observed.credentials);
            self.quiescence.put_to_rest(object, target, observed.dependencies.clone(), secrets);
        }
        self.write_status(object, before, status).await?;
        match failure {
            Some(error) => Err(ReconcileError::Told(error)),
            None if waiting => Ok(Action::requeue(reconcile_queue::wait(self.quiescence.under_way()))),
            None if at_rest => Ok(Action::requeue(self.rest())),
            None => Ok(Action::requeue(reconcile_queue::PROBE_EVERY)),
        }
    }

    /// Which objects use the hosts that a cluster asks for, as far as this operator can see.
    async fn neighbours(&self, cluster: &Cluster, observed: &Observed) -> kube::Result<Vec<Neighbour>> {
        let all = self.metrics.clusters.all();
        let readable: Vec<&OpenIMCluster> =
            all.iter().filter_map(|guarded| guarded.0.as_ref().ok()).collect();
        neighbours::read(&self.client, &self.installed.watched, cluster, &readable, observed).await
    }

    /// Takes the next step to other passwords: MongoDB first, whose users are made and removed by word; the Secret tells everybody else. A
    /// process that dies between the two does both again.
    async fn rotate(
        &self,
        cluster: &Cluster,
        observed: &Observed,
        step: rotation_steps::Step,
        plan: &mut Plan,
    ) -> Result<bool, ReconcileError> {
        if let Err(problem) = passwords::prepare(cluster, &observed.credentials, step).await {
            plan.blockers.push(rotation::blocker(&problem));
            return Ok(false);
        }
        let after = rotation::taken(cluster, &observed.credentials, step);
        apply::replace_credentials(&self.client, cluster, &observed.credentials, &after).await?;
        tracing::info!(?step, "passwords.rotate");
        Ok(true)
    }

    /// Counts a reverted edit and emits an event about it.
    async fn repaired(
        &self,
        object: &OpenIMCluster,
        cluster: &Cluster,
        apply::Edit { object: edited, field, manager }: apply::Edit,
    ) {
        let (kind, name) = edited.split_once('/').unwrap_or_default();
        self.metrics.repaired.get_or_create(&Kind { kind: kind.to_owned() }).inc();
        tracing::warn!(edited, field, manager, "edit.repaired");
        let note =
            format!("reverted {edited}: {field} was changed by {manager}; edit the OpenIMCluster instead");
        let related = ObjectReference {
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            namespace: Some(cluster.namespace.clone()),
            ..Default::default()
        };
        self.tell(object, EventType::Warning, "EditRepaired", note, Some(related)).await;
    }

    /// Writes the status when it differs, then tells of the transition.
    async fn write_status(
        &self,
        object: &OpenIMCluster,
        before: &OpenIMClusterStatus,
        after: OpenIMClusterStatus,
    ) -> Result<(), ReconcileError> {
        if after == *before {
            return Ok(());
        }
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<OpenIMCluster> = Api::namespaced(self.client.clone(), &namespace);
        let patch = serde_json::json!({
            "apiVersion": OpenIMCluster::api_version(&()), "kind": OpenIMCluster::kind(&()),
            "status": status::applied(&after),
        });
        let parameters = PatchParams::apply(&format!("{MANAGER}-status")).force();
        api.patch_status(&object.name_any(), &parameters, &Patch::Apply(&patch))
            .await
            .map_err(ReconcileError::Status)?;
        let reason =
            |status: &OpenIMClusterStatus| status.conditions.first().map(|ready| ready.reason.clone());
        if reason(before) != reason(&after) {
            let reason = reason(&after).unwrap_or_default();
            let warnings = [
                Reason::InvalidSpec,
                Reason::CredentialsGone,
                Reason::Refused,
                Reason::RolloutFailed,
                Reason::UpgradeRefused,
                Reason::ErrorRate,
                Reason::HostTaken,
                Reason::NamesTaken,
                Reason::Degraded,
                Reason::MigrationFailed,
            ];
            let warn = warnings.iter().any(|warning| warning.as_str() == reason);
            let type_ = if warn { EventType::Warning } else { EventType::Normal };
            self.tell(object, type_, &reason, after.message, None).await;
        }
        Ok(())
    }

    /// Events that differ only in their note are merged; `related` keeps those about different objects apart.
    async fn tell(
        &self,
        object: &OpenIMCluster,
        type_: EventType,
        reason: &str,
        note: String,
        related: Option<ObjectReference>,
    ) {
        let event = Event {
            type_,
            reason: reason.into(),
            // The API server takes 1024 bytes.
            note: Some(note.chars().take(250).collect()),
            // What happens again for another generation is not the same event.
            action: format!("ReconcileGeneration{}", object.metadata.generation.unwrap_or(0)),
            secondary: related,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(%error, "event.not_published");
        }
    }
}
