//! Reads the current state. This step only performs I/O.

mod backups;
pub mod error_rate;
pub mod live_config;
pub mod load;
pub mod neighbours;
pub(crate) mod pods;
pub(crate) mod scope;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use anyhow::Context;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::{ConfigMap, ContainerState, PersistentVolumeClaim, Pod, PodTemplateSpec, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{GetParams, ListParams},
};
use planner::{
    authority_rotation,
    connections::Secrets,
    credentials,
    model::{
        assessment::Moves,
        cluster::{Backing, Cluster},
        names::{ASKED, FAILED_REASON, FAILED_REVISION, SCALED_AT},
        observed::{Observed, There},
        pod_template::{config_maps, revision_of},
        volume::Volume,
        workload::Rollout,
    },
    render::{
        labels::{COMPONENT, component_selector, components_selector, selector},
        settings::live_revision,
    },
    tls_switch,
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use topology::{Component, Extra, Service};

use crate::{
    apply::{self, manual_scale},
    observe::pods::{serves, set_number},
    probe::{self, kafka_disk::DiskTasks},
};

/// Labels that the controller of StatefulSets gives its pods: the number, and the template.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
const SET_REVISION: &str = "controller-revision-hash";

async fn secret(
    client: &Client,
    cluster: &Cluster,
    name: &str,
    version: &GetParams,
) -> kube::Result<Option<BTreeMap<String, String>>> {
    match Api::<Secret>::namespaced(client.clone(), &cluster.namespace).get_with(name, version).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        found => Ok(Some(credentials::text(&found?))),
    }
}

fn rollout_of_deployment(item: &Deployment) -> Rollout {
    let status = item.status.clone().unwrap_or_default();
    let generation = item.metadata.generation.unwrap_or(0);
    let note = |key: &str| item.annotations().get(key).cloned().unwrap_or_default();
    let current = status.observed_generation.unwrap_or(0) >= generation;
    let conditions = status.conditions.iter().flatten();
    let progressing = conditions.filter(|condition| condition.type_ == "Progressing");
    let progressed = progressing.filter_map(|condition| Some(condition.last_update_time.as_ref()?.0)).max();
    let refused = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    let trouble = refused.and_then(|condition| condition.message.clone()).unwrap_or_default();
    Rollout {
        current,
        trouble,
        desired: item.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        ready: status.ready_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        total: status.replicas.unwrap_or(0),
        template: item.spec.clone().unwrap_or_default().template,
        stuck: current
            && status.conditions.unwrap_or_default().iter().any(|condition| {
                condition.type_ == "Progressing"
                    && condition.status == "False"
                    && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
            }),
        progressed,
        failed_revision: note(FAILED_REVISION),
        failed_reason: note(FAILED_REASON),
        scaled_at: note(SCALED_AT).parse().ok(),
        recreates: item.spec.as_ref().and_then(|spec| spec.strategy.as_ref()?.type_.as_deref())
            == Some("Recreate"),
        ..Default::default()
    }
}

fn rollout_of_set(item: &StatefulSet) -> Rollout {
    let status = item.status.clone().unwrap_or_default();
    let spec = item.spec.clone().unwrap_or_default();
    let init =
        spec.template.spec.as_ref().and_then(|pod| pod.init_containers.as_ref()?.first()?.image.clone());
    Rollout {
        asked: item.annotations().get(ASKED).and_then(|text| serde_json::from_str(text).ok()),
        current: status.observed_generation.unwrap_or(0) >= item.metadata.generation.unwrap_or(0),
        desired: spec.replicas.unwrap_or(1),
        ready: status.ready_replicas.unwrap_or(0),
        updated: status.updated_replicas.unwrap_or(0),
        total: status.replicas,
        template: spec.template,
        init_image: init.unwrap_or_default(),
        on_delete: spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref())
            == Some("OnDelete"),
        partition: spec.update_strategy.and_then(|strategy| strategy.rolling_update?.partition).unwrap_or(0),
        parallel: spec.pod_management_policy.as_deref() == Some("Parallel"),
        settled: status.current_revision == status.update_revision,
        claims: spec.volume_claim_templates.map(|claims| claims.into_iter().map(as_written).collect()),
        ..Default::default()
    }
}

/// A claim template without what the API server adds.
fn as_written(mut claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
    claim.status = None;
    claim.metadata.creation_timestamp = None;
    claim
}

fn volume(claim: &PersistentVolumeClaim) -> Volume {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    Volume {
        server: claim.labels().get(COMPONENT).cloned().unwrap_or_default(),
        storage: requests
            .and_then(|requests| requests.get("storage"))
            .map(|size| size.0.clone())
            .unwrap_or_default(),
    }
}

/// The pods of services and servers.
async fn pods_of(client: &Client, cluster: &Cluster, components: &[impl Display]) -> kube::Result<Vec<Pod>> {
    if components.is_empty() {
        return Ok(vec![]);
    }
    let theirs = ListParams::default().labels(&components_selector(&cluster.name, components));
    Ok(Api::<Pod>::namespaced(client.clone(), &cluster.namespace).list(&theirs).await?.items)
}

fn component(pod: &Pod) -> &str {
    pod.labels().get(COMPONENT).map_or("", String::as_str)
}

/// What calls services and servers, until its last pod is gone.
fn callers() -> Vec<Component> {
    Service::ALL.into_iter().map(Component::from).chain([Extra::Console.into()]).collect()
}

/// Those of them that have pods that are terminating.
fn leaving(pods: &[Pod], callers: &[Component]) -> BTreeSet<Component> {
    let ending = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some());
    let names: BTreeSet<&str> = ending.map(component).collect();
    callers.iter().copied().filter(|caller| names.contains(caller.name())).collect()
}

/// The state of an unready pod, for each component that has one.
fn explain(pods: &[Pod]) -> BTreeMap<&str, String> {
    let mut told = BTreeMap::new();
    for (pod, trouble) in pods.iter().filter_map(|pod| Some((pod, trouble(pod)?))) {
        told.entry(component(pod)).or_insert(trouble);
    }
    told
}

/// The pods of a StatefulSet that have an older template, by ordinal.
fn old_pods<'a>(set: &StatefulSet, rollout: &Rollout, pods: &'a [Pod]) -> BTreeMap<i32, &'a Pod> {
    let newest = set.status.as_ref().and_then(|status| status.update_revision.as_deref());
    let label = |pod: &Pod, key: &str| pod.labels().get(key).cloned().unwrap_or_default();
    pods.iter()
        .filter(|pod| {
            let made_by_it =
                pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref());
            made_by_it
                && rollout.current
                && newest.is_some_and(|newest| label(pod, SET_REVISION) != newest)
                && pod.metadata.deletion_timestamp.is_none()
        })
        .filter_map(|pod| Some((label(pod, POD_INDEX).parse().ok()?, pod)))
        .collect()
}

/// One that is starting is left alone: MongoDB must not be interrupted while it makes its first user.
fn is_broken(pod: &Pod) -> bool {
    !serves(pod) && (trouble(pod).is_some() || has_not_begun(pod))
}

/// Pods, name and uid, that a StatefulSet is to replace and does not: where it starts its pods in order, it waits for those that do not serve.
fn outdated(rollout: &Rollout, old: &BTreeMap<i32, &Pod>) -> BTreeMap<String, String> {
    old.iter()
        .filter(|(ordinal, pod)| **ordinal >= rollout.partition && is_broken(pod))
        .filter_map(|(_, pod)| Some((pod.name_any(), pod.uid()?)))
        .collect()
}

/// The template of most old pods that are ready. Where none serves any more: the one that the newest replaced, unless the
/// newest does not serve either. `deployment` is the uid: only what it made counts, whatever labels say.
async fn template_before(
    client: &Client,
    cluster: &Cluster,
    (service, deployment): (impl Display, Option<String>),
    rollout: &Rollout,
) -> kube::Result<Option<PodTemplateSpec>> {
    let same = ListParams::default().labels(&component_selector(&cluster.name, service));
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), &cluster.namespace).list(&same).await?;
    // What was removed when all ran without it cannot be gone back to.
    let ours = ListParams::default().labels(&selector(&cluster.name));
    let files = Api::<ConfigMap>::namespaced(client.clone(), &cluster.namespace).list_metadata(&ours).await?;
    let there: BTreeSet<String> = files.iter().map(ResourceExt::name_any).collect();
    let before = sets
        .into_iter()
        .filter(|set| set.owner_references().iter().any(|owner| Some(&owner.uid) == deployment.as_ref()))
        .filter_map(|set| {
            let ready = set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
            Some(((ready, set_number(&set)), set.spec?.template?))
        })
        .filter(|((ready, _), template)| {
            let revision = revision_of(template);
            (*ready > 0 || !rollout.stuck)
                && revision != revision_of(&rollout.template)
                && revision != rollout.failed_revision
                && config_maps(template).iter().all(|name| there.contains(name))
        })
        .max_by_key(|(order, _)| *order);
    Ok(before.map(|(_, mut template)| {
        let labels = template.metadata.as_mut().and_then(|metadata| metadata.labels.as_mut());
        labels.map(|labels| labels.remove("pod-template-hash"));
        template
    }))
}

fn has_failed(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    containers.into_iter().flatten().any(|container| {
        let ended =
            |state: &Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
        container.restart_count > 0 || ended(&container.state)
    })
}

/// No container of it has run yet, as where a volume cannot be mounted: nothing is interrupted when it goes.
fn has_not_begun(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let all = || status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let waits = |state: &Option<ContainerState>| state.as_ref().is_some_and(|state| state.waiting.is_some());
    all().next().is_some() && all().all(|container| container.restart_count == 0 && waits(&container.state))
}

/// When Kubernetes gave a Job up.
fn given_up(job: &Job) -> Option<jiff::Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed =
        conditions.iter().find(|condition| condition.type_ == "Failed" && condition.status == "True")?;
    Some(failed.last_transition_time.as_ref().map_or(jiff::Timestamp::UNIX_EPOCH, |time| time.0))
}

/// The state of an unready pod.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    let text = |reason: Option<String>, message: Option<String>| {
        let parts: Vec<String> =
            [reason, message].into_iter().flatten().filter(|part| !part.is_empty()).collect();
        format!("pod {name}: {}", parts.join(": "))
    };
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(text(condition.reason.clone(), condition.message.clone()));
    }
    // A Job's pod that has done its work is not ready either.
    let is_done = |state: &Option<ContainerState>| {
        let ended = state.as_ref().and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|ended| ended.exit_code == 0)
    };
    // What initializes a pod comes first: the others wait for it.
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let container = containers.find(|container| !container.ready && !is_done(&container.state))?;
    // What it said when it ended tells more than that it is waited for.
    let ended = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.clone())
        .or_else(|| container.state.as_ref().and_then(|state| state.terminated.clone()));
    if let Some(ended) = ended {
        let last_line = ended.message.as_deref().and_then(|log| log.trim().lines().last()).map(str::to_owned);
        let killed = ended.reason.as_deref() == Some("OOMKilled");
        let why = if killed { " (out of memory)" } else { "" };
        return Some(text(Some(format!("exit code {}{why}", ended.exit_code)), last_line));
    }
    let waiting = container.state.as_ref()?.waiting.clone()?;
    let is_usual = ["ContainerCreating", "PodInitializing"].map(Some).contains(&waiting.reason.as_deref());
    (!is_usual).then(|| text(waiting.reason, waiting.message))
}

/// The Secrets that the spec names, and the fields that do.
fn named_secrets(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let mut needed = Vec::new();
    if let Backing::External(mongodb) = &cluster.mongodb {
        needed.push(("spec.mongodb.external.secretName", mongodb.secret_name.clone()));
    }
    if let Backing::External(redis) = &cluster.redis {
        needed.push(("spec.redis.external.secretName", redis.secret_name.clone()));
    }
    if let Backing::External(kafka) = &cluster.kafka {
        needed.push(("spec.kafka.external.secretName", kafka.secret_name.clone()));
    }
    if let Some(storage) = &cluster.spec.object_storage {
        needed.push(("spec.objectStorage.secretName", storage.secret_name.clone()));
    }
    if let Some(webhooks) = &cluster.spec.webhooks {
        needed.push(("spec.webhooks.signingSecretName", webhooks.signing_secret_name.clone()));
        needed.push(("spec.webhooks.urlSecretName", webhooks.url_secret_name.clone()));
    }
    if let Some(push) = &cluster.spec.offline_push {
        needed.push(("spec.offlinePush.secretName", push.secret_name.clone()));
    }
    needed.retain(|(_, name): &(&str, String)| !name.is_empty());
    needed
}

/// Objects of a kind, with their fields.
fn of_kind<K: Resource<DynamicType = ()> + DeserializeOwned>(there: &There) -> kube::Result<Vec<K>> {
    let kind = K::kind(&());
    there
        .iter()
        .filter(|((of, _), _)| *of == kind)
        .map(|(_, object)| serde_json::from_value(serde_json::to_value(object)?))
        .collect::<Result<_, _>>()
        .map_err(kube::Error::SerdeError)
}

/// The existing ones, each read once.
async fn external_secrets(client: &Client, cluster: &Cluster, version: &GetParams) -> kube::Result<Secrets> {
    let names: BTreeSet<String> = named_secrets(cluster).into_iter().map(|(_, name)| name).collect();
    let mut found = Secrets::new();
    for name in names {
        if let Some(data) = secret(client, cluster, &name, version).await? {
            found.insert(name, data);
        }
    }
    Ok(found)
}

/// Changes when the generated Secret or one that the spec names does.
pub fn secrets_digest(external: &Secrets, credentials: &BTreeMap<String, String>) -> String {
    hex::encode(Sha256::digest(serde_json::to_vec(&(external, credentials)).unwrap_or_default()))
}

/// [`secrets_digest`] of the current Secrets.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn read_secrets_digest(client: &Client, cluster: &Cluster) -> kube::Result<String> {
    // The API server answers from memory; what it has there may be a moment old.
    let version = GetParams::any();
    let external = external_secrets(client, cluster, &version).await?;
    let credentials = secret(client, cluster, &cluster.credentials(), &version).await?.unwrap_or_default();
    Ok(secrets_digest(&external, &credentials))
}

/// [`read`], with the generated credentials that are there: for a person, who makes none.
///
/// # Errors
/// What could not be read.
pub async fn read_as_it_is(
    client: &Client,
    cluster: &Cluster,
    operator_namespace: &str,
) -> anyhow::Result<Observed> {
    let secret = cluster.credentials();
    let found: Secret = Api::namespaced(client.clone(), &cluster.namespace)
        .get(&secret)
        .await
        .with_context(|| format!("reading the Secret {secret}, which pod templates depend on"))?;
    Ok(read(client, cluster, credentials::text(&found), operator_namespace).await?)
}

/// Everything the planner must know; `credentials` are those that this pass completed.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn observe(
    client: &Client,
    cluster: &Cluster,
    credentials: BTreeMap<String, String>,
    operator_namespace: &str,
    before: &error_rate::Before,
    disks: &DiskTasks,
) -> kube::Result<(Observed, Moves)> {
    let (mut observed, moves) = read_with_moves(client, cluster, credentials, operator_namespace).await?;
    let revision = live_revision(cluster);
    let behind = async {
        if cluster.taken_over == revision {
            return Ok(BTreeMap::new());
        }
        live_config::behind(client, cluster, &observed.there, &revision).await
    };
    let signing = async {
        // Not while services are being changed: some pods are old ones.
        let settled = Service::ALL
            .into_iter()
            .all(|service| observed.deployment(cluster, service).is_none_or(Rollout::is_done));
        if cluster.signed_calls || !settled {
            return Ok(None);
        }
        live_config::signing(client, cluster, &observed.there).await
    };
    let target = probe::Target::of(cluster, &observed);
    let (probed, behind, signing, load, calls) = tokio::join!(
        target.probe(disks),
        behind,
        signing,
        load::measure(client, cluster, &observed, &moves),
        error_rate::measure(client, cluster, &observed, before),
    );
    (observed.behind, observed.signing, observed.load, observed.calls) = (behind?, signing?, load?, calls?);
    for (service, calls) in &observed.calls {
        let name = cluster.part(service);
        let deployment =
            observed.there.get(&("Deployment".to_owned(), name.clone())).and_then(ResourceExt::uid);
        let live = observed.deployments.get_mut(&name);
        if let Some(live) = live.filter(|live| live.before.is_none())
            && calls.too_many(cluster.spec.rollout.max_error_percent).is_some()
        {
            live.before = template_before(client, cluster, (service, deployment), live).await?;
        }
    }
    observed.dependencies = probed.dependencies;
    observed.redis_master = probed.redis_master;
    observed.mongodb_members = probed.mongodb_members;
    observed.gone = probed.gone;
    Ok((observed, moves))
}

/// The state according to the API server; neither pods nor backing servers are asked.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn read(
    client: &Client,
    cluster: &Cluster,
    credentials: BTreeMap<String, String>,
    operator_namespace: &str,
) -> kube::Result<Observed> {
    Ok(read_with_moves(client, cluster, credentials, operator_namespace).await?.0)
}

async fn read_with_moves(
    client: &Client,
    cluster: &Cluster,
    credentials: BTreeMap<String, String>,
    operator_namespace: &str,
) -> kube::Result<(Observed, Moves)> {
    let (client, namespace) = (client.clone(), cluster.namespace.as_str());
    let ours = ListParams::default().labels(&selector(&cluster.name));
    let there = apply::there(&client, cluster).await?;
    let (deployments, sets, jobs) =
        (of_kind::<Deployment>(&there)?, of_kind::<StatefulSet>(&there)?, of_kind::<Job>(&there)?);
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace).list(&ours).await?;
    let external = external_secrets(&client, cluster, &GetParams::default()).await?;
    let missing_secrets = named_secrets(cluster)
        .into_iter()
        .filter(|(_, name)| !external.contains_key(name))
        .map(|(field, name)| format!("{field}: Secret {name} not found in namespace {namespace}"))
        .collect();
    let mut rollouts = BTreeMap::new();
    let mut unready = Vec::new();
    for item in &deployments {
        let mut rollout = rollout_of_deployment(item);
        if !rollout.is_done() && rollout.desired > 0 {
            let service = item.labels().get(COMPONENT).map_or("", String::as_str);
            unready.push(service);
            if rollout.stuck {
                rollout.before = template_before(&client, cluster, (service, item.uid()), &rollout).await?;
            }
        }
        rollouts.insert(item.name_any(), rollout);
    }
    let mut stateful_sets = BTreeMap::new();
    for item in &sets {
        let rollout = rollout_of_set(item);
        if rollout.ready < rollout.desired || !rollout.settled {
            unready.extend(item.labels().get(COMPONENT).map(String::as_str));
        }
        stateful_sets.insert(item.name_any(), rollout);
    }
    let pods = pods_of(&client, cluster, &unready).await?;
    for (component, trouble) in explain(&pods) {
        let name = cluster.part(component);
        if let Some(rollout) = rollouts.get_mut(&name).or_else(|| stateful_sets.get_mut(&name)) {
            rollout.trouble = trouble;
        }
    }
    let mut to_replace = BTreeMap::new();
    for item in &sets {
        let Some(rollout) = stateful_sets.get_mut(&item.name_any()) else { continue };
        let old = old_pods(item, rollout, &pods);
        to_replace.extend(outdated(rollout, &old));
        rollout.broken = old.iter().filter(|(_, pod)| is_broken(pod)).map(|(ordinal, _)| *ordinal).collect();
        rollout.old = old.into_keys().collect();
    }
    let finished_jobs = jobs
        .iter()
        .filter(|job| job.status.as_ref().is_some_and(|status| status.succeeded.unwrap_or(0) > 0))
        .map(ResourceExt::name_any)
        .collect();
    let given_up = jobs.iter().filter_map(|job| Some((job.name_any(), given_up(job)?))).collect();
    let mut failed_jobs = BTreeMap::new();
    for job in &jobs {
        let status = job.status.clone().unwrap_or_default();
        if status.succeeded.unwrap_or(0) == 0
            && status.ready.unwrap_or(0) + status.active.unwrap_or(0) + status.failed.unwrap_or(0) > 0
        {
            let same = ListParams::default().labels(&format!("job-name={}", job.name_any()));
            let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&same).await?;
            let seen = pods.iter().filter(|pod| has_failed(pod)).find_map(trouble);
            failed_jobs.extend(seen.map(|seen| (job.name_any(), seen)));
        }
    }
    let mut observed = Observed {
        credentials,
        external,
        missing_secrets,
        there,
        deployments: rollouts,
        stateful_sets,
        outdated: to_replace,
        volumes: claims.iter().map(|claim| (claim.name_any(), volume(claim))).collect(),
        finished_jobs,
        given_up,
        failed_jobs,
        manual_scale: manual_scale::read(&client, cluster).await?,
        backups: backups::read(&client, cluster, &jobs).await?,
        now: jiff::Timestamp::now(),
        operator_namespace: operator_namespace.to_owned(),
        ..Default::default()
    };
    let moves = Moves::of(cluster, &observed);
    let data = &observed.credentials;
    let steps = authority_rotation::is_under_way(data) || tls_switch::is_under_way(data);
    if steps || moves.any() {
        let all = callers();
        observed.leaving = leaving(&pods_of(&client, cluster, &all).await?, &all);
    }
    Ok((observed, moves))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(exit_code: i32, reason: &str) -> Pod {
        let ended = json!({ "exitCode": exit_code, "reason": reason, "message": "first\nlast\n" });
        let container = json!({ "name": "migrate", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": { "terminated": ended } });
        serde_json::from_value(
            json!({ "metadata": { "name": "migrate-1" }, "status": { "containerStatuses": [container] } }),
        )
        .unwrap()
    }

    #[test]
    fn terminating_pods_of_services_and_of_the_console_are_seen() {
        let pod = |name: &str, deleted: Option<&str>| -> Pod {
            let labels = json!({ COMPONENT: name });
            let metadata = json!({ "name": name, "labels": labels, "deletionTimestamp": deleted });
            serde_json::from_value(json!({ "metadata": metadata })).unwrap()
        };
        let at = Some("2026-12-01T00:00:00Z");
        let pods = [pod("msg", None), pod("gateway", at), pod("console", at)];
        let expected = [Component::from(Service::Gateway), Extra::Console.into()];
        assert_eq!(leaving(&pods, &callers()), expected.into());
    }

    #[test]
    fn what_an_init_container_or_a_quota_says_is_reported() {
        let waits = |name: &str, reason: &str| {
            json!({
                "name": name, "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": { "waiting": { "reason": reason } },
            })
        };
        let pod = |init: &str| -> Pod {
            let status = json!({
                "initContainerStatuses": [waits("key-file", init)],
                "containerStatuses": [waits("mongodb", "PodInitializing")],
            });
            serde_json::from_value(json!({ "metadata": { "name": "chat-mongodb-0" }, "status": status }))
                .unwrap()
        };
        let told = trouble(&pod("ImagePullBackOff"));
        assert_eq!(told.as_deref(), Some("pod chat-mongodb-0: ImagePullBackOff"));
        assert_eq!(trouble(&pod("PodInitializing")), None, "it is being initialized");
        let failed = json!({ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: team" });
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": { "name": "chat-msg" }, "spec": { "selector": {}, "template": {} },
            "status": { "conditions": [failed] },
        }))
        .unwrap();
        assert_eq!(rollout_of_deployment(&deployment).trouble, "exceeded quota: team");
    }

    #[test]
    fn what_keeps_a_set_from_its_newest_template_is_known() {
        let set = |partition: i32| -> StatefulSet {
            serde_json::from_value(json!({
                "metadata": { "name": "chat-redis", "uid": "u", "generation": 2 },
                "spec": {
                    "serviceName": "r", "selector": {}, "template": {},
                    "updateStrategy": { "type": "RollingUpdate",
                        "rollingUpdate": { "partition": partition } },
                },
                "status": { "replicas": 1, "observedGeneration": 2, "updateRevision": "new",
                    "currentRevision": "old" },
            }))
            .unwrap()
        };
        let pod = |revision: &str, status: serde_json::Value| -> Pod {
            let owner =
                json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "chat-redis", "uid": "u" });
            let labels = json!({ POD_INDEX: "1", SET_REVISION: revision });
            let metadata =
                json!({ "name": "chat-redis-1", "uid": "p", "labels": labels, "ownerReferences": [owner] });
            serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap()
        };
        let condition =
            |type_: &str, status: &str| json!({ "conditions": [{ "type": type_, "status": status }] });
        let container = |state: serde_json::Value| {
            let container = json!({ "name": "redis", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state });
            json!({ "containerStatuses": [container] })
        };
        let found = |set: &StatefulSet, pod: &Pod| {
            let rollout = rollout_of_set(set);
            outdated(&rollout, &old_pods(set, &rollout, std::slice::from_ref(pod)))
        };
        let unscheduled = condition("PodScheduled", "False");
        let no_image = container(json!({ "waiting": { "reason": "ImagePullBackOff" } }));
        let no_volume = container(json!({ "waiting": { "reason": "ContainerCreating" } }));
        for stuck in [&unscheduled, &no_image, &no_volume] {
            let found = found(&set(0), &pod("old", stuck.clone()));
            assert_eq!(found, [("chat-redis-1".to_owned(), "p".to_owned())].into());
        }
        let starting = container(json!({ "running": {} }));
        for (set, pod) in [
            (set(0), pod("new", unscheduled.clone())),
            (set(0), pod("old", condition("Ready", "True"))),
            (set(0), pod("old", starting)),
            (set(2), pod("old", unscheduled)),
        ] {
            assert!(found(&set, &pod).is_empty(), "{pod:?}");
        }
    }

    #[test]
    fn a_pod_that_ended_well_is_no_trouble() {
        assert_eq!(trouble(&pod(1, "Error")).as_deref(), Some("pod migrate-1: exit code 1: last"));
        assert_eq!(
            trouble(&pod(137, "OOMKilled")).as_deref(),
            Some("pod migrate-1: exit code 137 (out of memory): last")
        );
        assert_eq!(trouble(&pod(0, "Completed")), None);
    }
}
