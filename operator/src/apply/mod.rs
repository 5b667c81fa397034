//! Applies the plan: server-side apply of our own fields, only where something differs; deletion of what is no longer planned;
//! the generated Secret.

pub mod deletion_costs;
pub mod manual_scale;
pub mod sent;

use std::collections::{BTreeMap, BTreeSet};

use crds::{Reason, VolumePolicy};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::{CronJob, Job},
        core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount},
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
        rbac::v1::{Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams, Preconditions, TypeMeta,
    },
    core::Status,
};
use planner::{
    authority, credentials,
    model::{
        cluster::Cluster,
        names::MANAGER,
        observed::There,
        plan::{Blocker, Plan},
        quantity::covers,
        secret,
    },
    render::{
        labels::{COMPONENT, metadata, selector},
        monitoring::pod_monitor_type,
        services::http_route_type,
    },
    status::Failure,
    volumes,
};
use serde_json::Value;
use topology::Extra;

use crate::apply::sent::Sent;

/// Why applying stopped.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused or cannot be reached.
    #[error("{what}: {}", said(source))]
    Api {
        /// Kind and name.
        what: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// The certificates in the generated Secret were edited.
    #[error(
        "{what}: its certificates are unreadable ({source}): restore it from a backup; or remove its keys internal-ca.crt and internal-ca.key to have all certificates issued again (calls fail until all pods have restarted)"
    )]
    Certificates {
        /// Kind and name.
        what: String,
        /// The problem.
        source: rcgen::Error,
    },
    /// A concurrent write won; the next reconcile starts from it.
    #[error("{what} was changed concurrently; retrying")]
    Changed {
        /// Kind and name.
        what: String,
    },
    /// The garbage collector has not come to it yet.
    #[error("{what} belongs to a deleted cluster of the same name; waiting for garbage collection")]
    Leftover {
        /// Kind and name.
        what: String,
    },
    /// Its creator knows its content.
    #[error(
        "{what} exists and was not created for this cluster: remove it, or annotate it with openim.io/made-for={uid} to use its passwords and keys"
    )]
    NotMadeHere {
        /// Kind and name.
        what: String,
        /// That of the cluster.
        uid: String,
    },
    /// New ones could not open what was written with the old ones.
    #[error(
        "{what} is gone, and {why}: restore it from a backup; or, to give up what only it opens, annotate the cluster with openim.io/new-credentials=$(date -u +%FT%TZ) (kubectl annotate, within an hour) to have new ones generated"
    )]
    CredentialsGone {
        /// Kind and name.
        what: String,
        /// What needs the old ones.
        why: &'static str,
    },
    /// An object of that name belongs to somebody else.
    #[error("{what} exists and does not belong to this cluster; rename the cluster or remove the object")]
    Foreign {
        /// Kind and name.
        what: String,
    },
}

impl ApplyError {
    /// That the certificates of a cluster cannot be read.
    pub fn certificates(cluster: &Cluster, source: rcgen::Error) -> Self {
        Self::Certificates { what: format!("Secret/{}", cluster.credentials()), source }
    }

    /// It needs attention.
    pub fn needs_an_edit(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. }
                | Self::NotMadeHere { .. }
                | Self::Certificates { .. }
                | Self::CredentialsGone { .. }
        )
    }

    /// Whether the API server will go on refusing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Api { source, .. } if is_refusal(source))
    }

    /// The reason in the conditions, if it needs attention.
    pub fn reason(&self) -> Reason {
        match self {
            Self::CredentialsGone { .. } => Reason::CredentialsGone,
            Self::Api { .. } => Reason::Refused,
            _ => Reason::InvalidSpec,
        }
    }
}

impl From<&ApplyError> for Failure {
    fn from(error: &ApplyError) -> Self {
        Self {
            message: error.to_string(),
            reason: error.reason(),
            needs_an_edit: error.needs_an_edit(),
            is_refusal: error.is_refusal(),
        }
    }
}

/// What the API server said, in its one sentence.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

fn api_error(what: &str) -> impl FnOnce(kube::Error) -> ApplyError {
    let what = what.to_owned();
    move |source| ApplyError::Api { what, source: Box::new(source) }
}

/// Not even the kind is there; the answer has no `reason` then.
fn is_404(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn is_ours(object: &DynamicObject, cluster: &Cluster) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == cluster.owner.uid)
}

/// Why an object of somebody else is left alone.
fn not_ours(object: &DynamicObject, cluster: &Cluster, what: String) -> ApplyError {
    let of_before =
        |owner: &OwnerReference| (&owner.kind, &owner.name) == (&cluster.owner.kind, &cluster.owner.name);
    if object.owner_references().iter().any(of_before) {
        ApplyError::Leftover { what }
    } else {
        ApplyError::Foreign { what }
    }
}

/// What a step of a path of `managedFields` leads to: `Err` for the object itself.
fn step<'a>(path: &str, value: &'a Value) -> Result<Option<&'a Value>, ()> {
    match path.split_once(':') {
        Some(("f", name)) => Ok(value.get(name)),
        // An item of a list, by its keys; one that has a default may be left out.
        Some(("k", keys)) => {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            Ok(value.as_array().and_then(|items| {
                items.iter().find(|item| {
                    let mut keys = keys.as_object().into_iter().flatten();
                    keys.all(|(key, value)| item.get(key).is_none_or(|found| found == value))
                })
            }))
        }
        Some(("v", wanted)) => {
            let wanted: Value = serde_json::from_str(wanted).unwrap_or_default();
            Ok(value.as_array().and_then(|items| items.iter().find(|item| **item == wanted)))
        }
        _ => Err(()),
    }
}

/// Whether all that we own in an object, as `managedFields` tells, is still wanted: what is not is given back by applying the rest.
fn wants_all(owned: &Value, desired: &Value) -> bool {
    let Value::Object(owned) = owned else { return true };
    owned.iter().all(|(path, inside)| match step(path, desired) {
        Ok(found) => found.is_some_and(|found| wants_all(inside, found)),
        Err(()) => true,
    })
}

/// The first of somebody's fields that has another value than we want.
fn altered(theirs: &Value, live: &Value, desired: &Value) -> Option<String> {
    theirs.as_object()?.iter().find_map(|(path, inside)| {
        let (Ok(Some(found)), Ok(Some(wanted))) = (step(path, live), step(path, desired)) else {
            return None;
        };
        let name = path.split_once(':').map_or("", |(_, name)| name);
        if inside.as_object().is_some_and(|inside| !inside.is_empty()) {
            return altered(inside, found, wanted).map(|rest| format!("{name}.{rest}"));
        }
        (!covers(found, wanted)).then(|| name.to_owned())
    })
}

/// What somebody else has changed in an object that we applied.
fn edit(live: &DynamicObject, live_value: &Value, desired: &Value) -> Option<Edit> {
    // Kubernetes' own controllers act on our objects; their changes are not edits.
    let is_ours = |manager: &str| [MANAGER, "kube-controller-manager"].contains(&manager);
    let mut theirs =
        live.managed_fields().iter().filter(|entry| !entry.manager.as_deref().is_some_and(is_ours));
    theirs.find_map(|entry| {
        Some(Edit {
            object: format!("{}/{}", live.types.as_ref()?.kind, live.name_any()),
            field: altered(&entry.fields_v1.as_ref()?.0, live_value, desired)?,
            manager: entry.manager.clone().unwrap_or_default(),
        })
    })
}

/// The fields that we applied.
fn owned_fields(live: &DynamicObject) -> &Value {
    let ours = live.managed_fields().iter().find(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply")
    });
    ours.and_then(|entry| entry.fields_v1.as_ref()).map_or(&Value::Null, |fields| &fields.0)
}

fn api_for(client: &Client, types: &TypeMeta, namespace: &str) -> Api<DynamicObject> {
    let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// What changed.
#[derive(Debug, Default, PartialEq)]
pub struct Applied {
    /// Kind and name of each object that was written.
    pub written: Vec<String>,
    /// Kind and name of each object that the plan no longer has.
    pub deleted: Vec<String>,
    /// Volumes that may not grow, and why.
    pub refused: Vec<Blocker>,
    /// What others had changed and is set back.
    pub repaired: Vec<Edit>,
    /// What the API server takes for invalid. Where others need it nothing was done after it.
    pub invalid: Vec<Blocker>,
}

/// A manual edit of a field of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Kind and name.
    pub object: String,
    /// Path of the field.
    pub field: String,
    /// Who, as the API server calls them: `kubectl-edit`.
    pub manager: String,
}

/// Applies the current part of the plan where it differs, then deletes what is not planned.
///
/// # Errors
/// At the first object that cannot be applied.
pub async fn apply(
    client: &Client,
    cluster: &Cluster,
    plan: &Plan,
    there: &There,
    sent: &Sent,
) -> Result<Applied, ApplyError> {
    carry_out(client, cluster, plan, there, Some(sent)).await
}

/// What [`apply`] would do now; the API server checks it and keeps nothing.
///
/// # Errors
/// As [`apply`].
pub async fn preview(
    client: &Client,
    cluster: &Cluster,
    plan: &Plan,
    there: &There,
) -> Result<Applied, ApplyError> {
    carry_out(client, cluster, plan, there, None).await
}

/// `sent` of what is applied; without it, nothing is kept.
async fn carry_out(
    client: &Client,
    cluster: &Cluster,
    plan: &Plan,
    there: &There,
    sent: Option<&Sent>,
) -> Result<Applied, ApplyError> {
    let dry_run = sent.is_none();
    let uid = cluster.owner.uid.as_str();
    let mut applied = Applied::default();
    let scaled: BTreeSet<String> = plan.objects().filter_map(scaled_by_kubernetes).collect();
    // Service accounts that are not ours, as far as is known.
    let mut strangers: BTreeSet<String> = BTreeSet::new();
    for object in &plan.apply {
        let types = object.types.clone().unwrap_or_default();
        let name = object.name_any();
        let what = format!("{}/{name}", types.kind);
        let is_leaf = is_leaf(object, &types);
        // No pod of ours gets the rights of such an account, and it gets none of ours.
        if account_of(object).is_some_and(|account| strangers.contains(account)) {
            continue;
        }
        let api = api_for(client, &types, &cluster.namespace);
        let unlabelled;
        let live = match there.get(&(types.kind.clone(), name.clone())) {
            Some(live) => Some(live),
            // One without our label: somebody else's.
            None => {
                unlabelled = match api.get_opt(&name).await {
                    Err(error) if is_404(&error) && needed_for(&types).is_some() => None,
                    // The operator has no right to it yet, or the person who asks for a preview has none.
                    Err(error) if is_about_rights(&types) && is_refusal(&error) => {
                        let message = api_error(&what)(error).to_string();
                        applied.invalid.push(refused(object, Reason::Refused, message));
                        strangers.extend((types.kind == "ServiceAccount").then(|| name.clone()));
                        continue;
                    }
                    live => live.map_err(api_error(&what))?,
                };
                unlabelled.as_ref()
            }
        };
        let mut edited = None;
        let given_up;
        let object = match live {
            Some(live)
                if scaled.contains(&name) && types.kind == "Deployment" && is_scaled_by_others(live) =>
            {
                given_up = without_replicas(object);
                &given_up
            }
            _ => object,
        };
        let desired = serde_json::to_value(object).unwrap_or_default();
        if let Some(live) = live {
            if !is_ours(live, cluster) {
                let error = not_ours(live, cluster, what);
                if !is_leaf {
                    return Err(error);
                }
                applied.invalid.push(refused(object, Reason::InvalidSpec, error.to_string()));
                strangers.extend((types.kind == "ServiceAccount").then(|| name.clone()));
                continue;
            }
            let live_value = serde_json::to_value(live).unwrap_or_default();
            // A Job's template never changes; its name does.
            if types.kind == "Job"
                || is_as_wanted(live, &live_value, &desired)
                || sent.is_some_and(|sent| sent.is_kept(uid, &what, &desired, &live_value))
            {
                continue;
            }
            edited = edit(live, &live_value, &desired);
        }
        let parameters = PatchParams { dry_run, ..PatchParams::apply(MANAGER).force() };
        match api.patch(&name, &parameters, &Patch::Apply(object)).await {
            Ok(answer) => {
                let kept = serde_json::to_value(&answer).unwrap_or_default();
                if let Some(sent) = sent.filter(|_| !is_as_wanted(&answer, &kept, &desired)) {
                    sent.remember(uid, &what, &desired, &kept);
                }
                if live.is_none_or(|live| has_changed(live, &answer, &kept, dry_run)) {
                    applied.written.push(what);
                    applied.repaired.extend(edited);
                }
            }
            Err(kube::Error::Api(status)) if status.code == 422 => {
                applied.invalid.push(invalid(&what, object, &status));
                if !is_leaf {
                    return Ok(applied);
                }
            }
            Err(error) if is_leaf && is_refusal(&error) => {
                applied.invalid.push(refused(object, Reason::Refused, api_error(&what)(error).to_string()));
            }
            Err(error) => match needed_for(&types).filter(|_| is_404(&error)) {
                Some((component, field, remedy)) => applied.refused.push(Blocker {
                    component: component.into(),
                    reason: Reason::DependencyNotReady,
                    message: format!(
                        "{field}: {} CRD not found: install {remedy}, or remove the field",
                        types.kind
                    ),
                }),
                None => return Err(api_error(&what)(error)),
            },
        }
    }
    applied.deleted = remove_orphans(client, cluster, plan, there, dry_run).await?;
    grow(client, cluster, plan, dry_run, &mut applied).await?;
    Ok(applied)
}

/// Kinds that nothing else of a cluster needs.
const LEAVES: [&str; 10] = [
    "Ingress",
    "HTTPRoute",
    "PodMonitor",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "CronJob",
    "ServiceAccount",
    "Role",
    "RoleBinding",
];

/// Whether everything else is applied when this is refused. No service needs the console.
fn is_leaf(object: &DynamicObject, types: &TypeMeta) -> bool {
    let component = object.labels().get(COMPONENT).map(String::as_str);
    LEAVES.contains(&types.kind.as_str()) || component == Some(Extra::Console.name())
}

/// The service account that the pods of an object run as, or that it gives rights to.
fn account_of(object: &DynamicObject) -> Option<&str> {
    let of_pods = &object.data["spec"]["template"]["spec"]["serviceAccountName"];
    of_pods.as_str().or_else(|| object.data["subjects"][0]["name"].as_str())
}

/// The Deployment whose number of pods an object leaves to Kubernetes.
fn scaled_by_kubernetes(object: &DynamicObject) -> Option<String> {
    let is_scaler = object.types.as_ref().is_some_and(|types| types.kind == "HorizontalPodAutoscaler");
    let target = object.data["spec"]["scaleTargetRef"]["name"].as_str();
    target.filter(|_| is_scaler).map(str::to_owned)
}

/// Whether somebody else has set the number of pods. Until then it is ours: what nobody owns falls back to one.
fn is_scaled_by_others(live: &DynamicObject) -> bool {
    // Kubernetes never scales up from none: that is set back.
    let serves = live.data["spec"]["replicas"].as_i64().is_some_and(|replicas| replicas > 0);
    serves
        && live.managed_fields().iter().any(|entry| {
            let fields = entry.fields_v1.as_ref().map_or(&Value::Null, |fields| &fields.0);
            entry.manager.as_deref() != Some(MANAGER) && fields["f:spec"].get("f:replicas").is_some()
        })
}

/// The number that was read when the pass began is older than what a HorizontalPodAutoscaler may have set since.
fn without_replicas(object: &DynamicObject) -> DynamicObject {
    let mut object = object.clone();
    if let Some(spec) = object.data.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("replicas");
    }
    object
}

fn is_as_wanted(live: &DynamicObject, live_value: &Value, desired: &Value) -> bool {
    covers(live_value, desired) && wants_all(owned_fields(live), desired)
}

/// Whether a write changed anything: the API server stores nothing new if the result is the same.
fn has_changed(live: &DynamicObject, answer: &DynamicObject, kept: &Value, dry_run: bool) -> bool {
    if dry_run {
        return sent::differ(&serde_json::to_value(live).unwrap_or_default(), kept);
    }
    answer.resource_version().is_none() || answer.resource_version() != live.resource_version()
}

/// What only the API server knew to be wrong, in its words: it checks what the definition of the cluster leaves to it.
fn invalid(what: &str, object: &DynamicObject, status: &Status) -> Blocker {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut causes: Vec<String> = causes.map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    causes.dedup();
    let more = causes.len().saturating_sub(1);
    let first = causes.into_iter().next().unwrap_or_else(|| status.message.clone());
    let first: String = first.chars().take(LONGEST_CAUSE).collect();
    let rest = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    refused(object, Reason::InvalidSpec, format!("the API server rejects {what}: {first}{rest}"))
}

fn refused(object: &DynamicObject, reason: Reason, message: String) -> Blocker {
    let component = object.labels().get(COMPONENT).cloned().unwrap_or_default();
    Blocker { component, reason, message }
}

/// Whether the API server will go on refusing: rights, a quota or an admission rule; not that it is busy, or that somebody was faster.
pub fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if [400, 401, 403, 422].contains(&status.code))
}

const LONGEST_CAUSE: usize = 500;

/// Of a kind that not every API server has: the component and the field of the spec that want it, and what brings it.
fn needed_for(types: &TypeMeta) -> Option<(&'static str, &'static str, &'static str)> {
    if *types == http_route_type() {
        Some(("ingress", "spec.gatewayAPI", "the Gateway API"))
    } else if *types == pod_monitor_type() {
        Some(("monitoring", "spec.monitoring", "the Prometheus operator"))
    } else {
        None
    }
}

/// The kinds of a cluster's objects, in the order in which unneeded ones are deleted.
fn kinds() -> Vec<TypeMeta> {
    fn of<K: Resource<DynamicType = ()>>() -> TypeMeta {
        TypeMeta { api_version: K::api_version(&()).into_owned(), kind: K::kind(&()).into_owned() }
    }
    vec![
        of::<Deployment>(),
        of::<StatefulSet>(),
        of::<Service>(),
        of::<ConfigMap>(),
        of::<Ingress>(),
        http_route_type(),
        pod_monitor_type(),
        of::<NetworkPolicy>(),
        of::<PodDisruptionBudget>(),
        of::<HorizontalPodAutoscaler>(),
        of::<CronJob>(),
        of::<Job>(),
        of::<RoleBinding>(),
        of::<Role>(),
        of::<ServiceAccount>(),
    ]
}

/// Kinds that give pods rights.
fn is_about_rights(types: &TypeMeta) -> bool {
    ["ServiceAccount", "Role", "RoleBinding"].contains(&types.kind.as_str())
}

/// Enough for a pass to be short, too few for many passes to flood the API server.
const LISTS_AT_A_TIME: usize = 4;

/// Lists what bears the cluster's label.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn there(client: &Client, cluster: &Cluster) -> kube::Result<There> {
    let labelled = ListParams::default().labels(&selector(&cluster.name));
    let lists = kinds().into_iter().map(async |types| {
        let listed = match api_for(client, &types, &cluster.namespace).list(&labelled).await {
            // Not every API server has it.
            Err(error) if is_404(&error) && needed_for(&types).is_some() => Vec::new(),
            // Those who look at a cluster may not see rights. The operator may, or is refused when it applies them.
            Err(kube::Error::Api(status)) if status.code == 403 && is_about_rights(&types) => Vec::new(),
            listed => listed?.items,
        };
        Ok(listed.into_iter().map(move |mut object| {
            object.types = Some(types.clone());
            ((types.kind.clone(), object.name_any()), object)
        }))
    });
    let listed: kube::Result<Vec<_>> = stream::iter(lists).buffered(LISTS_AT_A_TIME).try_collect().await;
    Ok(listed?.into_iter().flatten().collect())
}

/// Increases the requested size of claims. A volume that cannot grow needs a person; it blocks nothing else.
async fn grow(
    client: &Client,
    cluster: &Cluster,
    plan: &Plan,
    dry_run: bool,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &cluster.namespace);
    for growth in &plan.grow {
        let what = format!("PersistentVolumeClaim/{}", growth.claim);
        let patch =
            serde_json::json!({ "spec": { "resources": { "requests": { "storage": growth.storage } } } });
        match api
            .patch(&growth.claim, &PatchParams { dry_run, ..Default::default() }, &Patch::Merge(&patch))
            .await
        {
            Ok(_) => applied.written.push(what),
            Err(kube::Error::Api(status)) if [403, 422].contains(&status.code) => {
                applied.refused.push(volumes::refused(growth, &status.message));
            }
            Err(error) => return Err(api_error(&what)(error)),
        }
    }
    Ok(())
}

async fn remove_orphans(
    client: &Client,
    cluster: &Cluster,
    plan: &Plan,
    there: &There,
    dry_run: bool,
) -> Result<Vec<String>, ApplyError> {
    if plan.repairs_only {
        return Ok(vec![]);
    }
    let mut wanted: BTreeSet<(String, String)> = plan
        .objects()
        .map(|object| {
            (object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default(), object.name_any())
        })
        .collect();
    wanted.extend(plan.kept_config.iter().flatten().map(|name| ("ConfigMap".to_owned(), name.clone())));
    let mut deleted = Vec::new();
    for types in kinds() {
        if types.kind == "ConfigMap" && plan.kept_config.is_none() {
            continue;
        }
        let api = api_for(client, &types, &cluster.namespace);
        for ((kind, name), object) in there.iter().filter(|((kind, _), _)| *kind == types.kind) {
            if !is_ours(object, cluster)
                || wanted.contains(&(kind.clone(), name.clone()))
                || object.labels().get(COMPONENT).is_some_and(|component| plan.kept.contains(component))
                || object.metadata.deletion_timestamp.is_some()
            {
                continue;
            }
            let what = format!("{kind}/{name}");
            // Exactly this object: one recreated under the same name meanwhile stays.
            let preconditions = Preconditions { uid: object.uid(), resource_version: None };
            let parameters =
                DeleteParams { preconditions: Some(preconditions), dry_run, ..DeleteParams::background() };
            match api.delete(name, &parameters).await {
                Ok(_) => deleted.push(what),
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                Err(error) => return Err(api_error(&what)(error)),
            }
        }
    }
    Ok(deleted)
}

fn encoded(data: &BTreeMap<String, String>) -> BTreeMap<String, ByteString> {
    data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone().into_bytes()))).collect()
}

/// Changes the data of the generated Secret.
///
/// # Errors
/// When the API server rejects, or somebody else has changed the Secret meanwhile.
pub async fn replace_credentials(
    client: &Client,
    cluster: &Cluster,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Result<(), ApplyError> {
    let name = cluster.credentials();
    let what = format!("Secret/{name}");
    let api: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let mut secret = api.get(&name).await.map_err(api_error(&what))?;
    if credentials::text(&secret) != *before {
        return Err(ApplyError::Changed { what });
    }
    secret.data = Some(encoded(after));
    api.replace(&name, &PostParams::default(), &secret).await.map_err(api_error(&what))?;
    Ok(())
}

/// Makes the Secret with the generated credentials complete. Returns its data.
///
/// # Errors
/// When the API server rejects, or the Secret belongs to somebody else.
pub async fn ensure_credentials(
    client: &Client,
    cluster: &Cluster,
) -> Result<BTreeMap<String, String>, ApplyError> {
    let name = cluster.credentials();
    let what = format!("Secret/{name}");
    let api: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let existing = api.get_opt(&name).await.map_err(api_error(&what))?;
    // With retained volumes the credentials outlive the cluster: the data can only be opened with them.
    let owned = |mut metadata: ObjectMeta| {
        if cluster.spec.volumes == VolumePolicy::Retain {
            metadata.owner_references = None;
            metadata.annotations.get_or_insert_default().extend(unpruned());
        }
        metadata
    };
    let Some(mut secret) = existing else {
        if let Some(why) = needs_the_old(client, cluster).await? {
            return Err(ApplyError::CredentialsGone { what, why });
        }
        let data = completed(cluster, BTreeMap::new(), &what)?;
        let mut metadata = owned(metadata(cluster, &name, "credentials"));
        metadata.annotations.get_or_insert_default().insert(MADE_FOR.to_owned(), cluster.owner.uid.clone());
        let secret = Secret {
            metadata,
            data: Some(encoded(&data)),
            type_: Some("Opaque".into()),
            ..Default::default()
        };
        // `create` refuses when another replica was faster: its values then count, on the next pass.
        api.create(&PostParams::default(), &secret).await.map_err(api_error(&what))?;
        return Ok(data);
    };
    let labelled = secret.labels().get(planner::render::labels::CLUSTER) == Some(&cluster.name);
    if !labelled {
        return Err(ApplyError::Foreign { what });
    }
    if !is_made_for(&secret, cluster) && !has_volumes(client, cluster).await? {
        return Err(ApplyError::NotMadeHere { what, uid: cluster.owner.uid.clone() });
    }
    let found = credentials::text(&secret);
    if let Some(lost) = credentials::lost(cluster, &found)
        && let Some(why) = needs_the_old(client, cluster).await?
    {
        return Err(ApplyError::CredentialsGone { what: format!("{what}: its key {lost}"), why });
    }
    let data = completed(cluster, found.clone(), &what)?;
    let wanted = owned(metadata(cluster, &name, "credentials"));
    let (owners, notes) = (wanted.owner_references, wanted.annotations.unwrap_or_default());
    let lacks_a_note = notes.iter().any(|(name, text)| secret.annotations().get(name) != Some(text));
    let uid = Some(&cluster.owner.uid);
    if data != found
        || secret.metadata.owner_references != owners
        || lacks_a_note
        || secret.annotations().get(MADE_FOR) != uid
    {
        secret.annotations_mut().extend(notes);
        secret.annotations_mut().extend(uid.map(|uid| (MADE_FOR.to_owned(), uid.clone())));
        secret.data = Some(encoded(&data));
        secret.metadata.owner_references = owners;
        // `replace` with the version that was read: nobody else's change is overwritten.
        api.replace(&name, &PostParams::default(), &secret).await.map_err(api_error(&what))?;
    }
    Ok(data)
}

const INSISTED_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// What keeps Argo CD from removing an object that has no owner and the name of its application as a label.
fn unpruned() -> impl Iterator<Item = (String, String)> {
    [
        ("argocd.argoproj.io/sync-options", "Prune=false"),
        ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// What cannot be opened, or would be cut off, with other credentials; nothing where a person insists on new ones.
async fn needs_the_old(client: &Client, cluster: &Cluster) -> Result<Option<&'static str>, ApplyError> {
    let insists = |at: Timestamp| Timestamp::now().duration_since(at).abs() <= INSISTED_WITHIN;
    if cluster.new_credentials.parse().is_ok_and(insists) {
        return Ok(None);
    }
    if !cluster.ran.is_empty() {
        return Ok(Some(
            "the cluster has run with it: its servers accept no other passwords, and tokens are signed with its keys",
        ));
    }
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &cluster.namespace);
    let ours = ListParams::default().labels(&selector(&cluster.name));
    let found = api.list_metadata(&ours).await.map_err(api_error("PersistentVolumeClaims"))?;
    let stays = found.items.iter().any(|claim| claim.metadata.deletion_timestamp.is_none());
    Ok(stays.then_some("volumes of a cluster with this name exist, which only it can open"))
}

/// Annotation of the generated Secret: the uid of the cluster that it was created for, or assigned to by a person.
pub const MADE_FOR: &str = "openim.io/made-for";

/// A label can be anybody's. Before there was the annotation, what a cluster ran with was its own.
fn is_made_for(secret: &Secret, cluster: &Cluster) -> bool {
    let uid = &cluster.owner.uid;
    match secret.annotations().get(MADE_FOR) {
        Some(made_for) => made_for == uid,
        None if secret.owner_references().iter().any(|owner| owner.uid == *uid) => true,
        None => !cluster.ran.is_empty(),
    }
}

/// Whether volumes of a cluster of this name exist: only the Secret beside them can open their data.
async fn has_volumes(client: &Client, cluster: &Cluster) -> Result<bool, ApplyError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &cluster.namespace);
    let ours = ListParams::default().labels(&selector(&cluster.name)).limit(1);
    let found = api.list(&ours).await.map_err(api_error("PersistentVolumeClaims"))?;
    Ok(!found.items.is_empty())
}

fn completed(
    cluster: &Cluster,
    mut data: BTreeMap<String, String>,
    what: &str,
) -> Result<BTreeMap<String, String>, ApplyError> {
    let fresh = data.is_empty();
    let by_tls = credentials::wants_certificates(cluster, &data);
    if fresh {
        data.extend(credentials::begin(cluster));
        // One that has lost its Secret goes on with the names that it had.
        if planner::shared::had_bare_names(cluster, &data) {
            data.remove(secret::key::SHARED_PREFIX);
        }
    }
    if by_tls {
        let now = Timestamp::now();
        let mut made = authority::complete(&cluster.name, &mut data, now);
        // Servers that were made without TLS stay so: those that speak to them would have to change at the same moment.
        if made.is_ok() && (fresh || credentials::servers_had_certificates(&data)) {
            made = authority::complete_servers(credentials::server_names(cluster), &mut data, now);
        }
        made.map_err(|source| ApplyError::Certificates { what: what.to_owned(), source })?;
    }
    Ok(credentials::complete(cluster, data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_becomes_one_sentence_and_says_who_must_act() {
        let failure = |code: u16, message: &str| {
            let answer = kube::core::Status { code, message: message.into(), ..Default::default() };
            let source = Box::new(kube::Error::Api(Box::new(answer)));
            Failure::from(&ApplyError::Api { what: "Service/chat-msg".into(), source })
        };
        let refused = failure(403, "no right");
        assert_eq!(
            (refused.message.as_str(), refused.reason),
            ("Service/chat-msg: no right", Reason::Refused)
        );
        assert!(refused.is_refusal && !refused.needs_an_edit);
        assert_eq!(failure(403, "exceeded quota").message, "Service/chat-msg: exceeded quota");
        assert!(!failure(500, "no right").is_refusal, "it may answer the next time");
        let foreign = Failure::from(&ApplyError::Foreign { what: "Deployment/chat-auth".into() });
        assert!(foreign.needs_an_edit && !foreign.is_refusal);
    }

    #[test]
    fn defaults_and_foreign_fields_do_not_count_as_drift() {
        let desired = json!({"spec": {"replicas": 1, "template": {"containers": [{"name": "a"}]}}});
        let live = json!({"spec": {"replicas": 1, "strategy": "x", "template": {"containers": [{"name": "a", "tty": false}]}}, "status": {}});
        assert!(covers(&live, &desired));
        for change in
            [json!({"spec": {"replicas": 2}}), json!({"spec": {"template": {"containers": [{"name": "b"}]}}})]
        {
            assert!(!covers(&live, &change), "{change}");
        }
        assert!(!covers(&json!({"spec": {"template": {"containers": []}}}), &desired));
    }

    #[test]
    fn amounts_are_compared_and_not_their_text() {
        let of = |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}});
        let live = of("500m", "1536Mi");
        for (cpu, memory) in
            [("0.5", "1.5Gi"), ("500m", "1536Mi"), ("500000u", "1572864Ki"), (".5", "1610612736")]
        {
            assert!(covers(&live, &of(cpu, memory)), "{cpu} {memory}");
        }
        for (cpu, memory) in [("0.6", "1.5Gi"), ("500m", "1.5G"), ("500", "1536Mi"), ("half", "1536Mi")] {
            assert!(!covers(&live, &of(cpu, memory)), "{cpu} {memory}");
        }
        assert!(!covers(&json!({"version": "1"}), &json!({"version": "1.0"})), "what is no amount is a text");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_given_back() {
        let owned = json!({
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {
                "f:tls": {},
                "f:ports": {"k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
                "f:set": {"v:\"x\"": {}},
            },
        });
        let wanted = json!({
            "metadata": {"labels": {"a": "1"}},
            "spec": {"tls": [], "ports": [{"port": 1}], "set": ["x", "y"]},
        });
        assert!(wants_all(&owned, &wanted));
        assert!(wants_all(&Value::Null, &wanted), "what we never applied");
        for (pointer, key) in
            [("/metadata/labels", "a"), ("/spec", "tls"), ("/spec", "ports"), ("/spec", "set")]
        {
            let mut less = wanted.clone();
            less.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
            assert!(!wants_all(&owned, &less), "{pointer}/{key}");
        }
        let mut other = wanted;
        other["spec"]["ports"][0]["port"] = json!(2);
        assert!(!wants_all(&owned, &other));
    }

    #[test]
    fn an_edit_is_told_with_its_field_and_who_made_it() {
        let live: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "chat-msg", "managedFields": [
                {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}},
                {"manager": "theirs", "operation": "Update",
                    "fieldsV1": {"f:spec": {"f:progressDeadlineSeconds": {}}}},
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {
                    "f:containers": {"k:{\"name\":\"msg\"}": {"f:image": {}}}}}}},
            ]},
            "spec": {"paused": true, "progressDeadlineSeconds": 7,
                "template": {"containers": [{"name": "msg", "image": "theirs"}]}},
        }))
        .unwrap();
        let value = serde_json::to_value(&live).unwrap();
        let containers = json!([{"name": "msg", "image": "ours"}]);
        let mut wanted = json!({"spec": {"paused": false, "template": {"containers": containers}}});
        let said = edit(&live, &value, &wanted).unwrap();
        assert_eq!((said.object.as_str(), said.manager.as_str()), ("Deployment/chat-msg", "kubectl-edit"));
        assert!(
            said.field.starts_with("spec.template.containers.") && said.field.ends_with("image"),
            "{said:?}"
        );
        // What only we have changed, and what nobody but them wants, is no edit of ours.
        wanted["spec"]["template"] = live.data["spec"]["template"].clone();
        assert_eq!(edit(&live, &value, &wanted), None);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z]{0,5}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_covers_itself(value in any_value()) {
            prop_assert!(covers(&value, &value));
        }
    }
}
