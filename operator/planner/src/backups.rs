//! The status of scheduled backups, and whether they are overdue. Pure.

use crds::{Backup, BackupFailure, BackupStatus, BackupSuccess};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    calendar::{self, Calendar},
    model::{backup_run::BackupRun, cluster::Cluster, observed::Observed},
    render::backup::is_suspended,
};

/// When backups are due; `None`: there is no schedule.
///
/// # Errors
/// The field, and what is wrong with it.
pub fn calendar(backup: &Backup) -> Result<Option<Calendar>, (&'static str, String)> {
    if backup.schedule.is_empty() {
        return Ok(None);
    }
    let zone = calendar::zone(&backup.time_zone).map_err(|problem| ("spec.backup.timeZone", problem))?;
    let calendar =
        Calendar::parse(&backup.schedule, zone).map_err(|problem| ("spec.backup.schedule", problem))?;
    Ok(Some(calendar))
}

fn success(run: &BackupRun) -> Option<BackupSuccess> {
    let report = run.outcome.as_ref().ok()?.clone().unwrap_or_default();
    Some(BackupSuccess {
        time: Time(run.began),
        name: report.backup,
        documents: report.documents,
        bytes: report.bytes,
    })
}

fn failure(run: &BackupRun) -> Option<BackupFailure> {
    let message = run.outcome.as_ref().err()?.clone();
    Some(BackupFailure { time: Time(run.ended), job: run.job.clone(), message })
}

/// What is wrong, the worst first.
fn message(observed: &Observed, status: &BackupStatus) -> String {
    let runs = observed.backups.runs.iter().filter_map(|run| run.outcome.as_ref().ok()?.as_ref());
    let problem = runs.map(|report| report.problem.as_str()).find(|problem| !problem.is_empty());
    let failed = status
        .last_failure
        .as_ref()
        .map(|failure| format!("Job {} failed: {}", failure.job, failure.message));
    let cause = Some(observed.backups.missing.clone()).filter(|missing| !missing.is_empty()).or(failed);
    if !status.overdue {
        return cause.or(problem.map(str::to_owned)).unwrap_or_default();
    }
    let last = match &status.last_success {
        Some(last) => format!("the last backup began at {}", last.time.0),
        None => "there is no scheduled backup yet".to_owned(),
    };
    let cause = cause.unwrap_or_else(|| "see the events of the CronJob".to_owned());
    format!("no scheduled backup has succeeded in two periods, {last}: {cause}")
}

/// The status of scheduled backups. What a Job told is remembered after the Job is gone.
pub fn status(
    cluster: &Cluster,
    observed: &Observed,
    before: Option<&BackupStatus>,
    now: Timestamp,
) -> Option<BackupStatus> {
    let calendar = calendar(cluster.spec.backup.as_ref()?).ok()??;
    let backup = cluster.spec.backup.as_ref()?;
    let zone = if backup.time_zone.is_empty() { calendar::UTC } else { &backup.time_zone };
    let schedule = format!("{} {zone}", backup.schedule);
    let suspended = is_suspended(cluster, observed);
    let runs = &observed.backups.runs;
    let was = before.and_then(|before| before.last_success.clone());
    let last_success = runs.iter().filter_map(success).chain(was).max_by_key(|success| success.time.0);
    let failed = before.and_then(|before| before.last_failure.clone());
    let last_failure = runs.iter().filter_map(failure).chain(failed).max_by_key(|failure| failure.time.0);
    let is_newer =
        |failure: &BackupFailure| last_success.as_ref().is_none_or(|success| success.time.0 < failure.time.0);
    let last_failure = last_failure.filter(is_newer);
    // A schedule that was changed or resumed has its own two periods.
    let same = before.filter(|before| before.schedule == schedule).and_then(|before| before.since.clone());
    let since = (!suspended).then(|| same.unwrap_or(Time(now)));
    let newest = last_success.as_ref().map(|success| success.time.0);
    let overdue_at = since
        .as_ref()
        .and_then(|since| calendar.overdue_at(newest.map_or(since.0, |newest| newest.max(since.0))));
    let mut status = BackupStatus {
        schedule,
        since,
        next: if suspended { None } else { calendar.next(now).map(Time) },
        last_success,
        last_failure,
        overdue: overdue_at.is_some_and(|overdue_at| overdue_at < now),
        message: String::new(),
    };
    status.message = message(observed, &status);
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::backup_run::{Backups, Report},
        validate::{tests::object, validate},
    };

    const DAILY: &str = "schedule: '0 3 * * *'";

    fn cluster(fields: &str) -> Cluster {
        let storage = "objectStorage: {endpoint: 'http://s3', bucket: safe, secretName: s}";
        validate(&object(&format!("backup: {{{storage}, {fields}}}"))).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn run(began: &str, outcome: Result<Option<Report>, String>) -> BackupRun {
        let began = at(began);
        let ended = began.checked_add(jiff::SignedDuration::from_mins(5)).unwrap();
        BackupRun { job: format!("chat-backup-{}", began.as_second() / 60), began, ended, outcome }
    }

    fn written(name: &str) -> Result<Option<Report>, String> {
        Ok(Some(Report { backup: name.into(), documents: 3, bytes: 9, problem: String::new() }))
    }

    fn seen(runs: Vec<BackupRun>) -> Observed {
        Observed { backups: Backups { runs, ..Default::default() }, ..Default::default() }
    }

    #[test]
    fn the_last_success_is_told_and_remembered_when_its_job_is_gone() {
        let cluster = cluster(DAILY);
        let now = at("2026-11-30T12:00:00Z");
        let first =
            status(&cluster, &seen(vec![run("2026-11-30T03:00:00Z", written("b1"))]), None, now).unwrap();
        let success = first.last_success.clone().unwrap();
        assert_eq!((success.name.as_str(), success.documents, success.bytes), ("b1", 3, 9));
        assert_eq!(success.time.0, at("2026-11-30T03:00:00Z"), "what it holds is of when it began");
        assert_eq!(first.next, Some(Time(at("2026-12-01T03:00:00Z"))));
        assert_eq!((first.overdue, first.message.as_str()), (false, ""));
        let later = status(&cluster, &seen(vec![]), Some(&first), at("2026-11-30T12:05:00Z"));
        assert_eq!(later.as_ref(), Some(&first), "nothing is written while nothing happens");
        let newer = run("2026-12-01T03:00:00Z", written("b2"));
        let newer = status(&cluster, &seen(vec![newer]), Some(&first), at("2026-12-01T03:06:00Z")).unwrap();
        assert_eq!(newer.last_success.unwrap().name, "b2");
    }

    #[test]
    fn a_success_counts_when_its_pod_is_gone_and_what_was_told_before_is_kept() {
        let cluster = cluster(DAILY);
        let now = at("2026-11-30T12:00:00Z");
        let gone = seen(vec![run("2026-11-30T03:00:00Z", Ok(None))]);
        let unread = status(&cluster, &gone, None, now).unwrap();
        assert_eq!(unread.last_success.unwrap().name, "");
        let read = status(&cluster, &seen(vec![run("2026-11-30T03:00:00Z", written("b1"))]), None, now);
        assert_eq!(status(&cluster, &gone, read.as_ref(), now), read);
    }

    #[test]
    fn a_failure_is_told_until_a_backup_succeeds() {
        let cluster = cluster(DAILY);
        let ok = run("2026-11-29T03:00:00Z", written("b1"));
        let bad = run("2026-11-30T03:00:00Z", Err("the bucket is full".into()));
        let failed =
            status(&cluster, &seen(vec![ok, bad.clone()]), None, at("2026-11-30T04:00:00Z")).unwrap();
        assert_eq!(failed.last_failure.as_ref().unwrap().message, "the bucket is full");
        assert!(
            failed.message.starts_with("Job chat-backup-") && failed.message.ends_with("the bucket is full")
        );
        let good = run("2026-12-01T03:00:00Z", written("b3"));
        let healed =
            status(&cluster, &seen(vec![bad, good]), Some(&failed), at("2026-12-01T04:00:00Z")).unwrap();
        assert_eq!((healed.last_failure, healed.message), (None, String::new()));
    }

    #[test]
    fn two_periods_without_a_success_are_overdue() {
        let cluster = cluster(DAILY);
        let of = |observed: &Observed, before: Option<&BackupStatus>, now: &str| {
            status(&cluster, observed, before, at(now)).unwrap()
        };
        let first = of(&seen(vec![run("2026-11-29T03:00:00Z", written("b1"))]), None, "2026-11-29T03:10:00Z");
        for (now, overdue) in [("2026-12-01T03:30:00Z", false), ("2026-12-01T04:00:01Z", true)] {
            assert_eq!(of(&seen(vec![]), Some(&first), now).overdue, overdue, "{now}");
        }
        let late = of(&seen(vec![]), Some(&first), "2026-12-02T03:30:00Z");
        assert!(
            late.message.contains("in two periods, the last backup began at 2026-11-29T03:00:00Z"),
            "{}",
            late.message
        );
        // Without any, since the schedule was set.
        let fresh = of(&seen(vec![]), None, "2026-11-29T12:00:00Z");
        assert!(!fresh.overdue && !of(&seen(vec![]), Some(&fresh), "2026-12-01T03:59:00Z").overdue);
        let never = of(&seen(vec![]), Some(&fresh), "2026-12-01T04:01:00Z");
        assert!(
            never.overdue && never.message.contains("there is no scheduled backup yet"),
            "{}",
            never.message
        );
    }

    #[test]
    fn what_is_suspended_is_not_overdue_and_has_its_time_again_when_it_is_resumed() {
        let daily = cluster(DAILY);
        let first = status(
            &daily,
            &seen(vec![run("2026-10-01T03:00:00Z", written("b1"))]),
            None,
            at("2026-10-01T03:10:00Z"),
        );
        let suspended = cluster(&format!("{DAILY}, suspend: true"));
        let now = at("2026-11-30T12:00:00Z");
        let rests = status(&suspended, &seen(vec![]), first.as_ref(), now).unwrap();
        assert_eq!((rests.overdue, &rests.next, &rests.since), (false, &None, &None));
        assert!(rests.last_success.is_some());
        assert!(!status(&daily, &seen(vec![]), Some(&rests), now).unwrap().overdue);
        // The same for a schedule that was changed.
        let hourly = cluster("schedule: '0 * * * *'");
        assert!(status(&daily, &seen(vec![]), first.as_ref(), now).unwrap().overdue);
        assert!(!status(&hourly, &seen(vec![]), first.as_ref(), now).unwrap().overdue);
    }

    #[test]
    fn a_secret_that_is_missing_and_old_backups_that_stay_are_told() {
        let cluster = cluster(DAILY);
        let now = at("2026-11-30T12:00:00Z");
        let mut observed = seen(vec![run("2026-11-30T03:00:00Z", written("b1"))]);
        if let Ok(Some(report)) = &mut observed.backups.runs[0].outcome {
            report.problem = "old backups could not be removed: 403".into();
        }
        assert_eq!(
            status(&cluster, &observed, None, now).unwrap().message,
            "old backups could not be removed: 403"
        );
        observed.backups.missing = "spec.backup.keySecretName: the Secret k has no key key".into();
        assert!(status(&cluster, &observed, None, now).unwrap().message.contains("the Secret k"));
    }

    #[test]
    fn without_a_schedule_there_is_nothing_to_say() {
        assert_eq!(status(&cluster("keep: 3"), &seen(vec![]), None, at("2026-11-30T12:00:00Z")), None);
    }
}
