//! `openim-server backup` and `restore`: MongoDB's collections as compressed and encrypted BSON in an object storage, below
//! `backups/NAME/`.
//!
//! A backup exists when its manifest does, which is written last: one that was interrupted is not one. A restore marks the database
//! before it changes it, so that it can be run again when it was interrupted, and only as the restore that it was.

mod encryption;
mod manifest;
mod retention;

use std::path::Path;

use anyhow::{Context, bail, ensure};
use config::{Config, ObjectKind, ObjectStorage};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use object_storage::Objects;
use serde::Serialize;
use store::Store;

use encryption::Keys;
use manifest::{
    CHUNK_BYTES, Collection, FOLDER, MANIFEST, MOST_BYTES, Manifest, is_name, key, read_chunk, write_chunk,
};

pub(crate) use retention::Series;

use crate::commands::open;

/// Where things are.
struct Places {
    store: Store,
    /// Where backups are written, and looked for first.
    objects: Objects,
    /// Where earlier versions wrote them: the bucket of users' files, if that is another one.
    before: Option<Objects>,
    config: Config,
}

/// The settings of the bucket for backups: their own, or those of users' files.
fn bucket(config: &Config) -> anyhow::Result<&ObjectStorage> {
    if !config.backup.s3.endpoint.is_empty() {
        return Ok(&config.backup.s3);
    }
    ensure!(
        config.object.enable == ObjectKind::S3,
        "backup.s3.endpoint: backups need an object storage (spec.backup.objectStorage)"
    );
    Ok(&config.object.s3)
}

/// Why no backup can be written there: it is public.
fn is_public(config: &Config) -> Option<&'static str> {
    let (own, files) = (&config.backup.s3, &config.object.s3);
    if !own.cdn_prefix.is_empty() {
        return Some(
            "backup.s3.cdnPrefix must be empty: a content delivery network would make backups public",
        );
    }
    let shared = own.endpoint.is_empty()
        || own.bucket == files.bucket
            && own.endpoint.trim_end_matches('/') == files.endpoint.trim_end_matches('/');
    (shared && !files.cdn_prefix.is_empty()).then_some(
        "the bucket of object.s3 is public (cdnPrefix), and so would backups be: set backup.s3 to another \
         bucket (spec.backup.objectStorage)",
    )
}

impl Places {
    async fn open(directory: &Path) -> anyhow::Result<Self> {
        let (store, config) = open(directory).await?;
        let objects = Objects::new(bucket(&config)?).context("backup")?;
        let before = if config.backup.s3.endpoint.is_empty() { None } else { Objects::from_config(&config)? };
        Ok(Self { store, objects, before, config })
    }

    /// The manifest of a backup, and where it is.
    async fn find(&self, name: &str) -> anyhow::Result<Option<(Vec<u8>, &Objects)>> {
        for objects in std::iter::once(&self.objects).chain(&self.before) {
            if let Some(manifest) = objects.get(&key(name, MANIFEST), MOST_BYTES).await? {
                return Ok(Some((manifest, objects)));
            }
        }
        Ok(None)
    }

    /// The names of backups that are whole.
    async fn names(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for objects in std::iter::once(&self.objects).chain(&self.before) {
            let found = objects.list(FOLDER).await?;
            let whole = found.iter().filter_map(|key| key.strip_prefix(FOLDER)?.strip_suffix(MANIFEST));
            names.extend(whole.map(|name| name.trim_end_matches('/').to_owned()));
        }
        Ok(names)
    }
}

/// The chunks of a backup, as they are written.
struct Writer<'a> {
    objects: &'a Objects,
    name: &'a str,
    keys: Keys,
    /// How many there are.
    number: u64,
}

impl Writer<'_> {
    async fn write(&mut self, collection: &mut Collection, pending: &mut Vec<u8>) -> anyhow::Result<()> {
        let (chunk, data) = write_chunk(self.name, collection, self.number, &self.keys, pending)?;
        pending.clear();
        self.objects.put(&chunk.key, data).await?;
        self.number += 1;
        collection.chunks.push(chunk);
        Ok(())
    }

    async fn collection(&mut self, store: &Store, name: String) -> anyhow::Result<Collection> {
        let mut collection = Collection { name, documents: 0, chunks: vec![] };
        let mut cursor = store.raw_documents(&collection.name).await?;
        let mut pending = Vec::new();
        while let Some(document) = cursor.try_next().await? {
            pending.extend_from_slice(document.as_bytes());
            collection.documents += 1;
            if pending.len() >= CHUNK_BYTES {
                self.write(&mut collection, &mut pending).await?;
                println!("{}: {} documents", collection.name, collection.documents);
            }
        }
        if !pending.is_empty() {
            self.write(&mut collection, &mut pending).await?;
        }
        Ok(collection)
    }
}

/// Writes a backup that a person asked for.
pub(crate) async fn backup(directory: &Path, name: &str) -> anyhow::Result<()> {
    ensure!(
        is_name(name),
        "{name:?}: a name has 1 to 64 letters, digits, hyphens, underscores and single dots"
    );
    ensure!(
        !retention::is_reserved(name),
        "{name:?}: names of this form are for scheduled backups, which are removed after a while: choose another one"
    );
    let manifest = write(&Places::open(directory).await?, name, None).await?;
    println!("backup {name}: {}", manifest.summary());
    Ok(())
}

/// What a scheduled backup reports to whoever reads the termination message of its container. The operator reads it
/// (operator/planner/src/model/backup_run.rs).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    backup: String,
    documents: u64,
    bytes: u64,
    /// Removed backups.
    removed: usize,
    /// Why old backups could not be removed; empty if they could.
    problem: String,
}

/// Writes a backup of a schedule, then removes all but the newest `keep` of that schedule. A backup whose predecessors cannot be removed is a
/// backup all the same.
pub(crate) async fn scheduled(
    directory: &Path,
    series: &Series,
    keep: usize,
    report: Option<&Path>,
) -> anyhow::Result<()> {
    let places = Places::open(directory).await?;
    let name = series.name(Timestamp::now());
    let manifest = write(&places, &name, Some(retention::LONGEST)).await?;
    println!("backup {name}: {}", manifest.summary());
    let (objects, now) = (&places.objects, Timestamp::now());
    let removed = retention::remove_old(objects, series, keep, &name, now).await;
    let (documents, bytes) = (manifest.documents(), manifest.bytes());
    let report_of =
        |removed: usize, problem: String| Report { backup: name, documents, bytes, removed, problem };
    let outcome = match removed {
        Ok(removed) => report_of(removed, String::new()),
        Err(error) => {
            report_of(0, format!("old backups could not be removed: {error:#}").chars().take(500).collect())
        }
    };
    println!("removed backups: {}", outcome.removed);
    if !outcome.problem.is_empty() {
        println!("{}", outcome.problem);
    }
    if let Some(path) = report {
        std::fs::write(path, serde_json::to_vec(&outcome)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// A database that a restore has begun to fill holds half of what it is to hold.
async fn ensure_not_restoring(store: &Store) -> anyhow::Result<()> {
    match store.restoring().await? {
        Some(restored) => {
            bail!(
                "the database is being restored from {restored}: a backup would be incomplete; finish the restore first"
            )
        }
        None => Ok(()),
    }
}

async fn write(places: &Places, name: &str, longest: Option<SignedDuration>) -> anyhow::Result<Manifest> {
    if let Some(reason) = is_public(&places.config) {
        bail!("{reason}");
    }
    let salt = hex::encode(rand::random::<[u8; 32]>());
    let keys = Keys::of(&places.config.backup.key, &salt)?;
    let (store, objects) = (&places.store, &places.objects);
    ensure_not_restoring(store).await?;
    objects.ensure_bucket().await?;
    ensure!(places.find(name).await?.is_none(), "backup {name} already exists: choose another name");
    let mut manifest = Manifest::begun(salt);
    let mut writer = Writer { objects, name, keys, number: 0 };
    for collection in store.collections().await?.into_iter().filter(|name| store::backup::is_restored(name)) {
        manifest.collections.push(writer.collection(store, collection).await?);
    }
    // A restore may have begun meanwhile.
    ensure_not_restoring(store).await?;
    manifest.ended = Timestamp::now();
    // A later run removes what was begun that long ago and has no manifest: there must not be one afterwards.
    if let Some(longest) = longest {
        let took = manifest.ended.duration_since(manifest.begun);
        ensure!(
            took <= longest,
            "the backup took {} hours, more than {}",
            took.as_hours(),
            longest.as_hours()
        );
    }
    objects.put(&key(name, MANIFEST), manifest.clone().close(name, &writer.keys)?).await?;
    Ok(manifest)
}

/// Why a restore may not begin: `begun` is one that was interrupted.
fn refusal(begun: Option<&str>, name: &str, replace: bool, unused: bool) -> Option<String> {
    match begun {
        Some(same) if same == name => None,
        _ if replace => None,
        Some(other) => {
            Some(format!("a restore of {other} was interrupted here: finish it first, or use --replace"))
        }
        None if unused => None,
        None => Some(
            "the database contains users or messages: restore into a new cluster, or use --replace to \
             delete them"
                .into(),
        ),
    }
}

/// How a backup is restored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Remove what the database holds.
    pub replace: bool,
    /// How many sequence numbers to skip in every conversation.
    pub advance: i64,
    /// Also accept unencrypted, unsigned backups.
    pub unsealed: bool,
}

/// Fills the database from a backup.
pub(crate) async fn restore(directory: &Path, name: &str, wanted: Wanted) -> anyhow::Result<()> {
    ensure!(
        is_name(name),
        "{name:?}: a name has 1 to 64 letters, digits, hyphens, underscores and single dots"
    );
    let places = Places::open(directory).await?;
    let (store, config) = (&places.store, &places.config);
    let Some((bytes, objects)) = places.find(name).await? else {
        let names = places.names().await?;
        let known = if names.is_empty() { "there are none".into() } else { names.join(", ") };
        bail!("backup {name} not found; backups: {known}");
    };
    let (manifest, keys) = Manifest::open(&bytes, name, &config.backup.key, wanted.unsealed)?;
    if keys.is_none() {
        println!("backup {name} is neither encrypted nor signed: its content is not verified");
    }
    let begun = store.restoring().await?;
    // Asked only where it decides.
    let unused = begun.is_none() && !wanted.replace && store.is_unused(&config.admin_user_ids).await?;
    if let Some(reason) = refusal(begun.as_deref(), name, wanted.replace, unused) {
        bail!("{reason}");
    }
    // From here on the database is neither what it was nor what it will be; the mark says so.
    store.begin_restore(name).await?;
    for collection in store.collections().await?.iter().filter(|name| !store::backup::is_kept(name)) {
        store.clear(collection).await?;
    }
    fill(store, objects, name, &manifest, keys.as_ref()).await?;
    store.advance_seqs(wanted.advance).await?;
    store.ensure_indexes().await?;
    store.remove_planted_conversations().await?;
    let now = Timestamp::now().as_millisecond();
    let erased = store.erase_again_since(manifest.begun.as_millisecond(), now).await?;
    store.end_restore().await?;
    if erased > 0 {
        println!("users erased since the backup, who will be erased again: {erased}");
    }
    println!("restored {name}: {}", manifest.summary());
    Ok(())
}

async fn fill(
    store: &Store,
    objects: &Objects,
    name: &str,
    manifest: &Manifest,
    keys: Option<&Keys>,
) -> anyhow::Result<()> {
    let mut number = 0;
    for collection in &manifest.collections {
        let mut restored = 0;
        for chunk in &collection.chunks {
            let at = number;
            number += 1;
            if !store::backup::is_restored(&collection.name) {
                continue;
            }
            ensure!(chunk.bytes <= MOST_BYTES, "{} exceeds the maximum size of a chunk", chunk.key);
            let data = objects.get(&chunk.key, chunk.bytes).await?;
            let data = data.with_context(|| format!("{} is missing", chunk.key))?;
            let documents = read_chunk(name, chunk, at, keys, &data)?;
            if store::backup::is_kept(&collection.name) {
                store.insert_missing(&collection.name, &documents).await?;
            } else {
                store.insert_documents(&collection.name, &documents).await?;
            }
            restored += documents.len() as u64;
        }
        ensure!(
            restored == collection.documents || !store::backup::is_restored(&collection.name),
            "{} has {restored} documents, the manifest names {}",
            collection.name,
            collection.documents
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_replaces_nothing_that_it_was_not_told_to() {
        for (begun, replace, unused, refused) in [
            (None, false, true, ""),
            (None, false, false, "the database contains users or messages"),
            (None, true, false, ""),
            (Some("monday"), false, false, ""),
            (Some("sunday"), false, false, "a restore of sunday was interrupted here"),
            (Some("sunday"), true, false, ""),
        ] {
            let reason = refusal(begun, "monday", replace, unused).unwrap_or_default();
            assert!(
                reason.starts_with(refused) && reason.is_empty() == refused.is_empty(),
                "{begun:?}: {reason}"
            );
        }
    }

    #[test]
    fn who_was_logged_in_is_no_part_of_a_backup_and_who_was_erased_is_not_replaced() {
        for (collection, restored, kept) in [
            ("token", false, false),
            ("device", false, false),
            ("user", true, false),
            ("messages", true, false),
            ("erasure", true, true),
        ] {
            assert_eq!(store::backup::is_restored(collection), restored, "{collection}");
            assert_eq!(store::backup::is_kept(collection), kept, "{collection}");
        }
    }

    fn config(files: (&str, &str, &str), own: (&str, &str)) -> Config {
        let mut config = Config::default();
        config.object.enable = ObjectKind::S3;
        config.object.s3 = ObjectStorage {
            endpoint: files.0.into(),
            bucket: files.1.into(),
            cdn_prefix: files.2.into(),
            ..Default::default()
        };
        (config.backup.s3.endpoint, config.backup.s3.bucket) = (own.0.into(), own.1.into());
        config
    }

    #[test]
    fn no_backup_is_written_where_everybody_reads() {
        let (cdn, s3) = ("https://cdn.example.org", "http://s3:9000");
        for (files, own, public) in [
            ((s3, "chat", ""), ("", "openim"), false),
            ((s3, "chat", cdn), ("", "openim"), true),
            ((s3, "chat", cdn), (s3, "chat"), true),
            ((s3, "chat", cdn), ("http://s3:9000/", "chat"), true),
            ((s3, "chat", cdn), (s3, "backups"), false),
            ((s3, "chat", ""), (s3, "chat"), false),
        ] {
            let config = config(files, own);
            assert_eq!(is_public(&config).is_some(), public, "{files:?} {own:?}");
            let used = &bucket(&config).unwrap().bucket;
            assert_eq!(used, if own.0.is_empty() { files.1 } else { own.1 });
        }
        let mut fronted = config((s3, "chat", ""), (s3, "backups"));
        fronted.backup.s3.cdn_prefix = cdn.into();
        assert!(is_public(&fronted).unwrap().starts_with("backup.s3.cdnPrefix"));
        let refused = bucket(&Config::default()).unwrap_err().to_string();
        assert!(refused.contains("spec.backup.objectStorage"), "{refused}");
    }
}
