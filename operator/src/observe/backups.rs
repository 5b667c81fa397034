//! Runs of the backup schedule, from their Jobs and the termination messages of their pods. The bucket is not asked.

use k8s_openapi::api::{
    batch::v1::{Job, JobCondition},
    core::v1::{ContainerStateTerminated, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{GetParams, ListParams},
};
use planner::{
    model::{
        backup_run::{self, BACKUP, BackupRun, Backups, PART, RESTORE, Report},
        cluster::Cluster,
    },
    render::{
        labels::COMPONENT,
        migration::{OWN_KEY, STORAGE_KEYS},
    },
};

/// Pods of a run that are read: it has fewer.
const MOST_PODS: u32 = 10;

/// The condition that ended a Job.
fn ending(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|entry| ["Complete", "Failed"].contains(&entry.type_.as_str()) && entry.status == "True")
}

fn component(job: &Job) -> &str {
    job.labels().get(COMPONENT).map_or("", String::as_str)
}

/// Whether the schedule made it, or a person from the schedule.
fn is_scheduled(job: &Job, cluster: &Cluster) -> bool {
    let name = cluster.part(PART);
    component(job) == BACKUP
        && job.owner_references().iter().any(|owner| owner.kind == "CronJob" && owner.name == name)
}

/// A Job that has ended with this condition, without its outcome.
struct Ended<'a> {
    job: &'a Job,
    why: &'a JobCondition,
    began: jiff::Timestamp,
    ended: jiff::Timestamp,
}

impl<'a> Ended<'a> {
    fn of(job: &'a Job) -> Option<Self> {
        let why = ending(job)?;
        let status = job.status.as_ref()?;
        let began = status.start_time.as_ref()?.0;
        let ended = status
            .completion_time
            .as_ref()
            .or(why.last_transition_time.as_ref())
            .map_or(began, |time| time.0);
        Some(Self { job, why, began, ended })
    }
}

/// How the containers of a run ended, the newest last.
async fn endings(
    client: &Client,
    cluster: &Cluster,
    job: &str,
) -> kube::Result<Vec<ContainerStateTerminated>> {
    let same = ListParams::default().labels(&format!("job-name={job}")).limit(MOST_PODS);
    let mut pods = Api::<Pod>::namespaced(client.clone(), &cluster.namespace).list(&same).await?.items;
    pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let containers = pods
        .into_iter()
        .flat_map(|pod| pod.status.unwrap_or_default().container_statuses.unwrap_or_default());
    Ok(containers.filter_map(|container| container.state?.terminated).collect())
}

fn outcome(why: &JobCondition, endings: &[ContainerStateTerminated]) -> Result<Option<Report>, String> {
    if why.type_ == "Complete" {
        return Ok(endings
            .iter()
            .rev()
            .filter_map(|ending| ending.message.as_deref())
            .find_map(Report::parse));
    }
    let last = endings.last();
    if last.is_some_and(|ending| ending.reason.as_deref() == Some("OOMKilled")) {
        return Err("it exceeded its memory limit".into());
    }
    let said = last.and_then(|ending| ending.message.as_deref()).map(backup_run::reason).unwrap_or_default();
    // A pod that never ran, or that was stopped, says nothing.
    let by_kubernetes = || why.message.clone().or_else(|| why.reason.clone()).unwrap_or_default();
    Err(if said.is_empty() { backup_run::reason(&by_kubernetes()) } else { said })
}

/// A Secret that the Jobs need and that is not there.
async fn missing(client: &Client, cluster: &Cluster) -> kube::Result<String> {
    let backup = cluster.spec.backup.clone().unwrap_or_default();
    if backup.schedule.is_empty() {
        return Ok(String::new());
    }
    let mut needed: Vec<(&str, &str, &str)> = vec![];
    if let Some(storage) = &backup.object_storage {
        let field = "spec.backup.objectStorage.secretName";
        needed.extend(STORAGE_KEYS.map(|key| (field, storage.secret_name.as_str(), key)));
    }
    if !backup.key_secret_name.is_empty() {
        needed.push(("spec.backup.keySecretName", backup.key_secret_name.as_str(), OWN_KEY));
    }
    for (field, name, key) in needed {
        let found = super::secret(client, cluster, name, &GetParams::any()).await?;
        if !found.is_some_and(|data| data.contains_key(key)) {
            return Ok(format!("{field}: the Secret {name} has no key {key}: create it"));
        }
    }
    Ok(String::new())
}

/// What is known of backups, from the Jobs with the cluster's label.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub(super) async fn read(client: &Client, cluster: &Cluster, jobs: &[Job]) -> kube::Result<Backups> {
    let restoring = jobs.iter().any(|job| component(job) == RESTORE && ending(job).is_none());
    let ended: Vec<Ended<'_>> =
        jobs.iter().filter(|job| is_scheduled(job, cluster)).filter_map(Ended::of).collect();
    let mut runs = Vec::new();
    for how in ["Complete", "Failed"] {
        let of_kind = ended.iter().filter(|ended| ended.why.type_ == how);
        let Some(newest) = of_kind.max_by_key(|ended| ended.began) else { continue };
        let name = newest.job.name_any();
        let endings = endings(client, cluster, &name).await?;
        let (began, ended) = (newest.began, newest.ended);
        runs.push(BackupRun { job: name, began, ended, outcome: outcome(newest.why, &endings) });
    }
    Ok(Backups { runs, restoring, missing: missing(client, cluster).await? })
}

#[cfg(test)]
mod tests {
    use planner::validate::validate;
    use serde_json::json;

    use super::*;
    use crate::tests::object;

    fn job(component: &str, owner: &str, condition: Option<&str>) -> Job {
        let owner = json!({ "apiVersion": "batch/v1", "kind": owner, "name": "chat-backup", "uid": "u" });
        let conditions: Vec<_> = condition
            .into_iter()
            .map(|type_| {
                let message = "Job was active longer than specified deadline";
                let since = "2026-11-30T03:09:00Z";
                json!({ "type": type_, "status": "True", "message": message, "lastTransitionTime": since })
            })
            .collect();
        serde_json::from_value(json!({
            "metadata": {
                "name": "chat-backup-1", "labels": { COMPONENT: component }, "ownerReferences": [owner],
            },
            "status": { "startTime": "2026-11-30T03:00:00Z", "conditions": conditions },
        }))
        .unwrap()
    }

    fn ended(code: i32, reason: &str, message: &str) -> ContainerStateTerminated {
        ContainerStateTerminated {
            exit_code: code,
            reason: Some(reason.into()),
            message: Some(message.into()),
            ..Default::default()
        }
    }

    #[test]
    fn only_jobs_of_the_schedule_count() {
        let cluster = validate(&object("{}")).unwrap();
        assert!(is_scheduled(&job(BACKUP, "CronJob", None), &cluster));
        for other in [job(BACKUP, "OpenIMCluster", None), job("migrate", "CronJob", None)] {
            assert!(!is_scheduled(&other, &cluster));
        }
        assert!(Ended::of(&job(BACKUP, "CronJob", None)).is_none(), "one that still runs has no outcome");
        let (failed, began) = (job(BACKUP, "CronJob", Some("Failed")), "2026-11-30T03:00:00Z");
        let failed = Ended::of(&failed).unwrap();
        assert_eq!(
            (failed.began.to_string().as_str(), failed.ended.to_string().as_str()),
            (began, "2026-11-30T03:09:00Z")
        );
    }

    #[test]
    fn a_run_tells_what_it_wrote_or_why_it_did_not() {
        let of = |type_: &str, endings: &[ContainerStateTerminated]| {
            outcome(ending(&job(BACKUP, "CronJob", Some(type_))).unwrap(), endings)
        };
        let wrote =
            ended(0, "Completed", r#"{"backup":"b1","documents":3,"bytes":9,"removed":0,"problem":""}"#);
        let first = ended(1, "Error", "Error: mongo.uri\n\nCaused by:\n    refused\n");
        assert_eq!(of("Complete", &[first.clone(), wrote]).unwrap().unwrap().backup, "b1");
        assert_eq!(of("Complete", &[]), Ok(None), "its pod is gone");
        assert_eq!(
            of("Failed", &[ended(1, "Error", "Error: x"), first]),
            Err("mongo.uri Caused by: refused".into())
        );
        assert_eq!(of("Failed", &[ended(137, "OOMKilled", "")]), Err("it exceeded its memory limit".into()));
        assert_eq!(of("Failed", &[]), Err("Job was active longer than specified deadline".into()));
    }
}
