//! The CronJob of scheduled backups. The program removes old ones itself, after a success (docs/adr/0046-scheduled-backups.md).

use k8s_openapi::{
    api::batch::v1::{CronJob, CronJobSpec, JobTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube_core::DynamicObject;
use sha2::{Digest, Sha256};
use topology::{Job, Service};

use crate::{
    calendar,
    model::{
        backup_run::PART,
        cluster::Cluster,
        observed::Observed,
        pod_template::{image, version_of},
    },
    render::{dynamic, labels::metadata, migration::asked_for, settings::Settings},
};

/// Where the kubelet reads the termination message of a container, by default.
const REPORT: &str = "/dev/termination-log";
/// A run that could not begin in this time, because no controller was running, is skipped.
const STARTS_WITHIN_SECONDS: i64 = 3600;
/// After this long a run is ended. The program counts on it: what was begun longer ago is not being written.
const LONGEST_SECONDS: i64 = 86_400;
/// Pods of a run that may fail before it has failed.
const RETRIES: i32 = 2;

/// Distinguishes the backups of this cluster from those of others in the same bucket. A cluster that is created again under its name is
/// another one.
fn series(cluster: &Cluster) -> String {
    hex::encode(Sha256::digest(&cluster.owner.uid))[..8].to_owned()
}

/// The image that runs: one that is only wanted may not exist, or never come.
fn running_image(cluster: &Cluster, observed: &Observed, running: &str) -> String {
    let live = Service::ALL.into_iter().filter_map(|service| observed.deployment(cluster, service));
    let found = live.map(|live| &live.template).find(|template| version_of(template) == running);
    found.map_or_else(|| cluster.image.clone(), |template| image(template).to_owned())
}

/// Whether no backup is to begin: by the spec, or because the database is being filled.
pub(crate) fn is_suspended(cluster: &Cluster, observed: &Observed) -> bool {
    observed.backups.restoring || cluster.spec.backup.as_ref().is_some_and(|backup| backup.suspend)
}

/// The CronJob, if there is a schedule.
pub(crate) fn cron_job(
    cluster: &Cluster,
    settings: &Settings,
    observed: &Observed,
    running: &str,
) -> Option<DynamicObject> {
    let backup = cluster.spec.backup.as_ref().filter(|backup| !backup.schedule.is_empty())?;
    let name = cluster.part(PART);
    let (id, keep) = (series(cluster), backup.kept().to_string());
    let words = ["backup", "--config", "/config", "--scheduled", &id, "--keep", &keep, "--report", REPORT];
    let mut job = asked_for(cluster, settings, &name, Job::Backup.into(), words.map(str::to_owned).to_vec());
    let mut spec = job.spec.take().unwrap_or_default();
    // The CronJob removes them.
    spec.ttl_seconds_after_finished = None;
    spec.active_deadline_seconds = Some(LONGEST_SECONDS);
    spec.backoff_limit = Some(RETRIES);
    for container in spec.template.spec.iter_mut().flat_map(|pod| &mut pod.containers) {
        container.image = Some(running_image(cluster, observed, running));
    }
    let zone = if backup.time_zone.is_empty() { calendar::UTC } else { &backup.time_zone };
    Some(dynamic(&CronJob {
        metadata: metadata(cluster, &name, Job::Backup),
        spec: Some(CronJobSpec {
            schedule: backup.schedule.clone(),
            time_zone: Some(zone.to_owned()),
            suspend: Some(is_suspended(cluster, observed)),
            concurrency_policy: Some("Forbid".into()),
            starting_deadline_seconds: Some(STARTS_WITHIN_SECONDS),
            successful_jobs_history_limit: Some(1),
            failed_jobs_history_limit: Some(1),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta { labels: job.metadata.labels, ..Default::default() }),
                spec: Some(spec),
            },
        }),
        ..Default::default()
    }))
}

/// The CronJob for services that may not follow the spec yet: it backs up what they use, with the settings that they have. `None`: there was none.
pub(crate) fn as_it_runs(wanted: &DynamicObject, observed: &Observed) -> Option<DynamicObject> {
    let name = wanted.metadata.name.clone()?;
    let live = observed.there.get(&("CronJob".to_owned(), name))?;
    let mut kept = wanted.clone();
    kept.data["spec"]["jobTemplate"] = live.data["spec"]["jobTemplate"].clone();
    Some(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        model::workload::Rollout,
        plan::plan,
        validate::{tests::object, validate},
    };

    const STORAGE: &str = "objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: s}";

    fn cluster(fields: &str) -> Cluster {
        validate(&object(&format!("{{version: 2.0.0, backup: {{{STORAGE}, {fields}}}}}"))).unwrap()
    }

    /// Everything runs an older version than the spec wants.
    fn observed(cluster: &Cluster) -> Observed {
        let template = serde_json::from_value(json!({ "spec": { "containers": [
            { "name": "x", "image": "mirror/openim-server:1.9.0@sha256:aa" },
        ] } }));
        let live = Rollout {
            current: true,
            settled: true,
            desired: 1,
            ready: 1,
            updated: 1,
            total: 1,
            template: template.unwrap(),
            ..Default::default()
        };
        let deployments = Service::ALL.iter().map(|service| (cluster.part(service), live.clone())).collect();
        Observed { deployments, ..Default::default() }
    }

    fn spec(fields: &str, change: impl FnOnce(&mut Observed)) -> Value {
        let cluster = cluster(fields);
        let mut observed = observed(&cluster);
        change(&mut observed);
        let settings = Settings::of(&cluster, &observed);
        let object = cron_job(&cluster, &settings, &observed, "1.9.0").unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("chat-backup"));
        assert_eq!(object.metadata.owner_references, Some(vec![cluster.owner]));
        object.data["spec"].clone()
    }

    #[test]
    fn a_schedule_is_a_cron_job_that_never_runs_twice_at_a_time() {
        let spec = spec("schedule: '30 2 * * *', timeZone: Europe/Berlin, keep: 3", |_| {});
        assert_eq!(
            (&spec["schedule"], &spec["timeZone"], &spec["concurrencyPolicy"], &spec["suspend"]),
            (&json!("30 2 * * *"), &json!("Europe/Berlin"), &json!("Forbid"), &json!(false))
        );
        assert_eq!(
            (&spec["startingDeadlineSeconds"], &spec["successfulJobsHistoryLimit"]),
            (&json!(3600), &json!(1))
        );
        let job = &spec["jobTemplate"]["spec"];
        assert_eq!(
            (&job["activeDeadlineSeconds"], &job["ttlSecondsAfterFinished"]),
            (&json!(86400), &Value::Null)
        );
        let labels = &spec["jobTemplate"]["metadata"]["labels"];
        assert_eq!(
            (&labels["openim.io/cluster"], &labels["app.kubernetes.io/component"]),
            (&json!("chat"), &json!("backup"))
        );
        let pod = &job["template"]["spec"];
        assert_eq!(
            (&pod["restartPolicy"], &pod["automountServiceAccountToken"]),
            (&json!("Never"), &json!(false))
        );
        assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true));
        let args: Vec<&str> =
            pod["containers"][0]["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(args[..4], ["backup", "--config", "/config", "--scheduled"]);
        assert_eq!(
            (args[4].len(), &args[5..]),
            (8, &["--keep", "3", "--report", "/dev/termination-log"][..])
        );
    }

    #[test]
    fn without_a_time_zone_it_is_utc_and_not_that_of_the_controller() {
        assert_eq!(spec("schedule: '30 2 * * *'", |_| {})["timeZone"], json!("Etc/UTC"));
    }

    #[test]
    fn the_program_of_a_backup_is_the_one_that_runs() {
        let spec = spec("schedule: '30 2 * * *'", |_| {});
        let container = &spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], json!("mirror/openim-server:1.9.0@sha256:aa"));
    }

    #[test]
    fn nothing_begins_while_it_is_suspended_or_the_database_is_restored() {
        assert_eq!(spec("schedule: '30 2 * * *', suspend: true", |_| {})["suspend"], json!(true));
        let restoring = spec("schedule: '30 2 * * *'", |observed| observed.backups.restoring = true);
        assert_eq!(restoring["suspend"], json!(true));
    }

    #[test]
    fn it_is_created_when_the_services_run_and_removed_with_the_schedule() {
        let has = |cluster: &Cluster, observed: &Observed| {
            let plan = plan(cluster, observed);
            let is_it =
                |object: &&DynamicObject| object.types.as_ref().is_some_and(|types| types.kind == "CronJob");
            (plan.apply.iter().any(|object| is_it(&object)), plan.objects().any(|object| is_it(&object)))
        };
        let with = cluster("schedule: '30 2 * * *'");
        assert_eq!(has(&with, &observed(&with)), (true, true));
        assert_eq!(has(&with, &Observed::default()), (false, true), "one that is there stays");
        let without = cluster("keep: 3");
        assert_eq!(has(&without, &observed(&without)), (false, false));
    }
}
