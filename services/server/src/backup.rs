//! `openim-server backup` and `restore`: MongoDB's collections as compressed BSON in the object storage, below `backups/NAME/`.
//!
//! A backup exists when its manifest does, which is written last: one that was interrupted is not one. A restore marks the database
//! before it changes it, so that it can be run again when it was interrupted, and only as the restore that it was.

use std::{
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use config::Config;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::TryStreamExt;
use jiff::Timestamp;
use objects::Objects;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::Store;

const FOLDER: &str = "backups/";
const MANIFEST: &str = "manifest.json";
/// Of documents in one object, before compression.
const CHUNK_BYTES: usize = 16 << 20;
/// The document that fills a chunk may have 16 MiB.
const LARGEST_CHUNK: u64 = CHUNK_BYTES as u64 + (17 << 20);
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    format: u32,
    /// Of the program that wrote it.
    version: String,
    begun: Timestamp,
    ended: Timestamp,
    collections: Vec<Collection>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Collection {
    name: String,
    documents: u64,
    chunks: Vec<Chunk>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    key: String,
    bytes: usize,
    sha256: String,
}

/// Where things are.
struct Places {
    store: Store,
    objects: Objects,
    config: Config,
}

impl Places {
    async fn open(directory: &Path) -> anyhow::Result<Self> {
        let config = (*config::Live::load(directory)?.now()).clone();
        let objects = Objects::from_config(&config)?
            .context("object.enable: backups are kept in the object storage, and there is none")?;
        let reads = budget::Budget::new(budget::share_of_process());
        Ok(Self { store: Store::connect(&config.mongo, reads).await.context("mongo.uri")?, objects, config })
    }
}

fn key(backup: &str, name: &str) -> String {
    format!("{FOLDER}{backup}/{name}")
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        // `.` and `..` lead elsewhere.
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c))
}

fn compressed(documents: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(documents)?;
    Ok(encoder.finish()?)
}

/// Cuts BSON documents that follow one another apart.
fn documents(compressed: &[u8]) -> anyhow::Result<Vec<store::RawDocumentBuf>> {
    let mut bytes = Vec::new();
    GzDecoder::new(compressed).take(LARGEST_CHUNK + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= LARGEST_CHUNK, "it inflates to more than {LARGEST_CHUNK} bytes");
    let mut found = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(length) = rest.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize) {
        ensure!(length >= 5 && length <= rest.len(), "a document is cut off");
        let (document, after) = rest.split_at(length);
        found.push(store::RawDocumentBuf::from_bytes(document.to_vec())?);
        rest = after;
    }
    ensure!(rest.is_empty(), "a document is cut off");
    Ok(found)
}

async fn write_chunk(
    objects: &Objects,
    backup: &str,
    collection: &mut Collection,
    pending: &mut Vec<u8>,
) -> anyhow::Result<()> {
    let key = key(backup, &format!("{}/{:06}.bson.gz", collection.name, collection.chunks.len()));
    let data = compressed(pending)?;
    pending.clear();
    let chunk = Chunk { key, bytes: data.len(), sha256: hex::encode(Sha256::digest(&data)) };
    objects.put(&chunk.key, data).await?;
    collection.chunks.push(chunk);
    Ok(())
}

/// Writes a backup.
pub(crate) async fn backup(directory: &Path, name: &str) -> anyhow::Result<()> {
    ensure!(is_name(name), "{name:?}: a name has 1 to 64 letters, digits, hyphens, underscores and dots");
    let Places { store, objects, .. } = Places::open(directory).await?;
    objects.ensure_bucket().await?;
    ensure!(
        objects.get(&key(name, MANIFEST)).await?.is_none(),
        "there is a backup {name}: choose another name"
    );
    let begun = Timestamp::now();
    let mut collections = Vec::new();
    for collection in store.collections().await?.into_iter().filter(|name| store::backup::is_restored(name)) {
        let mut collection = Collection { name: collection, documents: 0, chunks: vec![] };
        let mut cursor = store.raw_documents(&collection.name).await?;
        let mut pending = Vec::new();
        while let Some(document) = cursor.try_next().await? {
            pending.extend_from_slice(document.as_bytes());
            collection.documents += 1;
            if pending.len() >= CHUNK_BYTES {
                write_chunk(&objects, name, &mut collection, &mut pending).await?;
                println!("{}: {} documents", collection.name, collection.documents);
            }
        }
        if !pending.is_empty() {
            write_chunk(&objects, name, &mut collection, &mut pending).await?;
        }
        collections.push(collection);
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, version, begun, ended: Timestamp::now(), collections };
    objects.put(&key(name, MANIFEST), serde_json::to_vec_pretty(&manifest)?).await?;
    println!("backup {name}: {}", summary(&manifest));
    Ok(())
}

fn summary(manifest: &Manifest) -> String {
    let chunks = manifest.collections.iter().flat_map(|collection| &collection.chunks);
    let documents: u64 = manifest.collections.iter().map(|collection| collection.documents).sum();
    format!(
        "{documents} documents in {} collections, {} kB, of {}",
        manifest.collections.len(),
        chunks.map(|chunk| chunk.bytes).sum::<usize>().div_ceil(1000),
        manifest.begun
    )
}

/// The names of backups that are whole.
async fn names(objects: &Objects) -> anyhow::Result<Vec<String>> {
    let found = objects.list(FOLDER).await?;
    let whole = found.iter().filter_map(|key| key.strip_prefix(FOLDER)?.strip_suffix(MANIFEST));
    Ok(whole.map(|name| name.trim_end_matches('/').to_owned()).collect())
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
            "the database holds users or messages: restore into a new cluster, or use --replace to remove them".into(),
        ),
    }
}

/// Fills the database from a backup.
pub(crate) async fn restore(directory: &Path, name: &str, replace: bool, advance: i64) -> anyhow::Result<()> {
    let Places { store, objects, config } = Places::open(directory).await?;
    let Some(manifest) = objects.get(&key(name, MANIFEST)).await? else {
        let names = names(&objects).await?;
        let known = if names.is_empty() { "there are none".into() } else { names.join(", ") };
        bail!("there is no backup {name}; backups: {known}");
    };
    let manifest: Manifest = serde_json::from_slice(&manifest).context(MANIFEST)?;
    ensure!(
        manifest.format == FORMAT,
        "backup {name} has format {}, this version reads {FORMAT}: restore with version {}",
        manifest.format,
        manifest.version
    );
    let begun = store.restoring().await?;
    // Asked only where it decides.
    let unused = begun.is_none() && !replace && store.is_unused(&config.admin_user_ids).await?;
    if let Some(reason) = refusal(begun.as_deref(), name, replace, unused) {
        bail!("{reason}");
    }
    // From here on the database is neither what it was nor what it will be; the mark says so.
    store.begin_restore(name).await?;
    for collection in store.collections().await? {
        store.clear(&collection).await?;
    }
    for collection in
        manifest.collections.iter().filter(|collection| store::backup::is_restored(&collection.name))
    {
        let mut restored = 0;
        for chunk in &collection.chunks {
            let data = objects.get(&chunk.key).await?.with_context(|| format!("{} is missing", chunk.key))?;
            ensure!(
                hex::encode(Sha256::digest(&data)) == chunk.sha256,
                "{} is not what was written: restore another backup",
                chunk.key
            );
            let documents = documents(&data).with_context(|| chunk.key.clone())?;
            store.insert_documents(&collection.name, &documents).await?;
            restored += documents.len() as u64;
        }
        ensure!(
            restored == collection.documents,
            "{} has {restored} documents, the manifest names {}",
            collection.name,
            collection.documents
        );
    }
    store.advance_seqs(advance).await?;
    store.ensure_indexes().await?;
    store.remove_planted_conversations().await?;
    store.end_restore().await?;
    println!("restored {name}: {}", summary(&manifest));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_back_as_they_were() {
        let document = |number: i32| store::RawDocumentBuf::try_from(&bson::doc! { "n": number }).unwrap();
        let written: Vec<_> = (0..3).map(document).collect();
        let bytes: Vec<u8> = written.iter().flat_map(|document| document.as_bytes().to_vec()).collect();
        assert_eq!(documents(&compressed(&bytes).unwrap()).unwrap(), written);
        assert!(documents(&compressed(&bytes[..bytes.len() - 1]).unwrap()).is_err());
        let bomb = compressed(&vec![0; LARGEST_CHUNK as usize + 1]).unwrap();
        assert!(documents(&bomb).unwrap_err().to_string().contains("inflates to more than"));
    }

    #[test]
    fn a_restore_replaces_nothing_that_it_was_not_told_to() {
        for (begun, replace, unused, refused) in [
            (None, false, true, ""),
            (None, false, false, "the database holds users or messages"),
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
    fn who_was_logged_in_is_no_part_of_a_backup() {
        for (collection, restored) in
            [("token", false), ("device", false), ("user", true), ("messages", true)]
        {
            assert_eq!(store::backup::is_restored(collection), restored, "{collection}");
        }
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert!(
            is_name("2026-11-25T20-00-00")
                && !is_name("..")
                && !is_name(".")
                && !is_name("../x")
                && !is_name("")
                && !is_name("a/b")
        );
    }
}
