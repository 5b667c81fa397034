//! Runs of the backup schedule, as their Jobs and pods tell.

use jiff::Timestamp;
use serde::Deserialize;

/// Name of the CronJob, and the beginning of the names of its Jobs, after the cluster's.
pub const PART: &str = "backup";
/// Component of Jobs that back up.
pub const BACKUP: &str = "backup";
/// Component of Jobs that restore.
pub const RESTORE: &str = "restore";
/// A termination message has at most 4 KiB; the rest of a longer one says nothing new.
const LONGEST: usize = 500;

/// What the program reported (`Report` in services/server/src/backup.rs).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the backup.
    pub backup: String,
    /// Number of documents.
    pub documents: i64,
    /// Bytes in the bucket.
    pub bytes: i64,
    /// Why old backups could not be removed; empty if they could.
    #[serde(default)]
    pub problem: String,
}

impl Report {
    /// Reads a termination message.
    pub fn parse(text: &str) -> Option<Self> {
        let mut report: Self = serde_json::from_str(text.trim()).ok()?;
        report.backup = bounded(&report.backup);
        report.problem = bounded(&report.problem);
        Some(report)
    }
}

/// A Job of the schedule that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRun {
    /// The Job.
    pub job: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The report, or why there is no backup. A pod that is gone took its report with it.
    pub outcome: Result<Option<Report>, String>,
}

/// What is known of backups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backups {
    /// The newest run that succeeded and the newest one that failed, in any order.
    pub runs: Vec<BackupRun>,
    /// A restore is under way.
    pub restoring: bool,
    /// A Secret that the Jobs need and that is not there, with the remedy; empty: none.
    pub missing: String,
}

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// Why a run failed, from the last lines of its log: the error and its causes in one line.
pub fn reason(log: &str) -> String {
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| line.starts_with("Error: ") || line.starts_with("error: ");
    let from_error: Vec<&str> = lines().skip_while(|line| !is_error(line)).collect();
    let told = if from_error.is_empty() {
        lines().next_back().unwrap_or_default().to_owned()
    } else {
        from_error.join(" ")
    };
    // Services of an earlier version do not know the option.
    if told.contains("unexpected argument '--scheduled'") {
        return "the running version of the services has no scheduled backups: upgrade spec.version".into();
    }
    bounded(told.get("Error: ".len()..).filter(|_| !from_error.is_empty()).unwrap_or(&told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_error_with_its_causes_in_one_line() {
        let log =
            "messages: 1000 documents\nError: mongo.uri\n\nCaused by:\n    0: Server selection timeout\n";
        assert_eq!(reason(log), "mongo.uri Caused by: 0: Server selection timeout");
        assert_eq!(reason("killed\n"), "killed");
        assert_eq!(reason(""), "");
        let old = "error: unexpected argument '--scheduled' found\n\nFor more information, try '--help'.\n";
        assert!(reason(old).contains("upgrade spec.version"));
        assert_eq!(reason(&format!("Error: {}", "é".repeat(9000))).chars().count(), LONGEST);
    }

    #[test]
    fn a_report_is_read_and_what_is_none_is_not() {
        let report =
            Report::parse("{\"backup\":\"b\",\"documents\":3,\"bytes\":9,\"removed\":1,\"problem\":\"\"}\n");
        assert_eq!(
            report.unwrap(),
            Report { backup: "b".into(), documents: 3, bytes: 9, problem: String::new() }
        );
        assert_eq!(Report::parse("messages: 1000 documents"), None);
    }
}
