//! `openim-server import` and `export`: from the database of an upstream OpenIM 3.8 server, and back.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bson::DateTime;
use clap::Args;
use jiff::Timestamp;
use upstream::{
    Cache, Import, Mongo, Progress, Redis,
    export::{export, left_behind},
    import,
    survey::survey,
    verify::verify,
};

use crate::commands::open;

/// How often progress is printed.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Pause between two passes that found nothing to do.
const PAUSE: Duration = Duration::from_secs(1);

/// What an import does.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Connection string of upstream's MongoDB; it is only read.
    #[arg(long, env = "OPENIM_IMPORT_FROM", hide_env_values = true, required_unless_present = "abort")]
    from: Option<String>,
    /// Upstream's database.
    #[arg(long, default_value = "openim_v3")]
    database: String,
    /// Upstream's Redis (redis://:password@host:6379/0), which knows newer read positions; it is only read.
    #[arg(long, env = "OPENIM_IMPORT_REDIS", hide_env_values = true)]
    redis: Option<String>,
    /// Only list what the source holds and what cannot be moved.
    #[arg(long)]
    dry_run: bool,
    /// Continue although something cannot be moved.
    #[arg(long)]
    leave_out: bool,
    /// Bring over changes until interrupted.
    #[arg(long, conflicts_with_all = ["dry_run", "abort"])]
    follow: bool,
    /// Compare with the source at the end; fails when something differs.
    #[arg(long)]
    verify: bool,
    /// Upstream's services have stopped: copy the rest, compare, and hand the database over.
    #[arg(long, conflicts_with_all = ["dry_run", "abort", "follow"])]
    finish: bool,
    /// Remove everything that was imported.
    #[arg(long, conflicts_with_all = ["dry_run", "verify"])]
    abort: bool,
}

/// The hosts and the database of a connection string, without passwords and options.
fn name_of(uri: &str, database: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let hosts = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    format!("{hosts}/{database}")
}

/// Prints how far a copy is.
struct Told {
    begun: Instant,
    last: Instant,
}

impl Told {
    fn new() -> Self {
        let now = Instant::now();
        Self { begun: now, last: now }
    }

    fn progress(&mut self, progress: &Progress) {
        if self.last.elapsed() >= TOLD_EVERY {
            self.last = Instant::now();
            println!("{}", line(progress, self.begun.elapsed()));
        }
    }

    fn end(&self, counts: &upstream::Counts) {
        let took = self.begun.elapsed();
        println!(
            "read {} documents and wrote {}, with {} messages, in {:.1} s: {} messages a second",
            counts.documents,
            counts.changed,
            counts.messages,
            took.as_secs_f64(),
            rate(counts.messages, took)
        );
    }
}

fn rate(count: u64, took: Duration) -> u64 {
    (count as f64 / took.as_secs_f64().max(0.001)) as u64
}

fn line(progress: &Progress, took: Duration) -> String {
    let Progress { collection, documents, of, counts } = progress;
    let percent = documents.min(of) * 100 / (*of).max(1);
    let a_second = rate(counts.documents, took);
    let left = of.saturating_sub(*documents) / a_second.max(1);
    format!(
        "{collection}: {documents} of {of} documents ({percent} %), {} messages, about {left} s left",
        counts.messages
    )
}

/// Imports, or what else is wanted.
pub(crate) async fn import(directory: &Path, wanted: Wanted) -> anyhow::Result<()> {
    if wanted.abort {
        let (store, _) = open(directory).await?;
        let was = import::abort(&store).await?;
        println!(
            "{}",
            if was { "everything that was imported is removed" } else { "no import has been started here" }
        );
        return Ok(());
    }
    let from = wanted.from.as_deref().context("--from is required")?;
    let source = Mongo::connect(from, &wanted.database).await.context("--from")?;
    if wanted.dry_run {
        survey(&source).await?.lines().iter().for_each(|line| println!("{line}"));
        return Ok(());
    }
    let (store, config) = open(directory).await?;
    let name = name_of(from, &wanted.database);
    ensure!(
        name != name_of(&config.mongo.uri, &config.mongo.database),
        "mongo.database: the source and the target are the same database"
    );
    let redis = match &wanted.redis {
        Some(address) => Some(Redis::connect(address).await.context("--redis")?),
        None => {
            println!("note: without --redis, read positions that only upstream's Redis has are not moved");
            None
        }
    };
    let cache = redis.as_ref().map(|redis| redis as &dyn Cache);
    let import = Import::new(&store, &source, cache, name);
    let has_begun = import.has_begun(&config.admin_user_ids).await?;
    // Passes and the comparison skip what cannot be moved: what came since the beginning is looked at before the end.
    if !has_begun || wanted.finish {
        let found = survey(&source).await?;
        found.lines().iter().for_each(|line| println!("{line}"));
        ensure!(
            found.is_complete() || wanted.leave_out,
            "something cannot be moved (see above): repair it at the source, or continue without it with --leave-out"
        );
    }
    import.begin(&config.admin_user_ids).await?;
    if wanted.follow {
        return follow(&import).await;
    }
    let mut told = Told::new();
    if wanted.finish {
        let verified = import.finish(&mut |progress| told.progress(progress)).await?;
        println!(
            "compared {} documents and messages: all are the same; start the services",
            verified.compared
        );
        return Ok(());
    }
    let pass = import.pass(&mut |progress| told.progress(progress)).await?;
    told.end(&pass.counts);
    if wanted.verify {
        let verified = verify(&store, &source).await?;
        verified.check()?;
        println!("compared {} documents and messages: all are the same", verified.compared);
    }
    Ok(())
}

/// Passes until somebody interrupts; an interrupted pass is continued by the next run.
async fn follow(import: &Import<'_>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        failed = passes(import) => failed,
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    }
}

/// One pass after another; ends when one fails.
async fn passes(import: &Import<'_>) -> anyhow::Result<()> {
    loop {
        let mut told = Told::new();
        let pass = import.pass(&mut |progress| told.progress(progress)).await?;
        if pass.counts.changed > 0 {
            told.end(&pass.counts);
        } else {
            // Not a wait for anything: it spares the source's server.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Writes upstream's layout into another database.
pub(crate) async fn write_upstream(directory: &Path, to: &str, database: &str) -> anyhow::Result<()> {
    let (store, config) = open(directory).await?;
    ensure!(
        name_of(to, database) != name_of(&config.mongo.uri, &config.mongo.database),
        "--to: the source and the target are the same database"
    );
    let sink = Mongo::connect(to, database).await.context("--to")?;
    for (what, count) in left_behind(&store).await? {
        println!("not moved: {count} {what}: upstream's layout has no place for them");
    }
    sink.create_indexes().await?;
    let now = DateTime::from_millis(Timestamp::now().as_millisecond());
    let written =
        export(&store, &sink, now, &mut |collection, count| println!("{collection}: {count}")).await?;
    println!("exported {} documents", written.values().sum::<u64>());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_without_its_password() {
        for uri in [
            "mongodb://openim:secret@mongo-0:27017,mongo-1/openim_v3?authSource=admin",
            "mongodb://mongo-0:27017,mongo-1?replicaSet=rs",
            "mongo-0:27017,mongo-1",
        ] {
            assert_eq!(name_of(uri, "openim_v3"), "mongo-0:27017,mongo-1/openim_v3");
        }
    }

    #[test]
    fn progress_tells_how_long_it_takes() {
        let counts = upstream::Counts { documents: 100, changed: 100, messages: 9000 };
        let progress = Progress { collection: "msg", documents: 100, of: 400, counts };
        let told = line(&progress, Duration::from_secs(10));
        assert_eq!(told, "msg: 100 of 400 documents (25 %), 9000 messages, about 30 s left");
        let empty = Progress { collection: "s3", documents: 0, of: 0, counts: upstream::Counts::default() };
        assert!(line(&empty, Duration::ZERO).contains("(0 %)"));
    }
}
