//! What a backup consists of, and how its parts are written and read. Nothing here speaks to a server.

use std::io::{Read, Write};

use anyhow::{Context, bail, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::encryption::Keys;

pub(super) const FOLDER: &str = "backups/";
pub(super) const MANIFEST: &str = "manifest.json";
/// Of documents in one object, before compression.
pub(super) const CHUNK_BYTES: usize = 16 << 20;
/// A chunk is written at this size: the last document can be as large as MongoDB allows.
const MOST_INFLATED: usize = CHUNK_BYTES + (17 << 20);
/// Maximum size of an object of a backup, whatever the bucket says.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// Encrypted and signed.
const SEALED: u32 = 2;
/// Of versions that wrote backups as they are.
const PLAIN: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub format: u32,
    /// Of the program that wrote it.
    pub version: String,
    pub begun: Timestamp,
    pub ended: Timestamp,
    pub collections: Vec<Collection>,
    /// Salt for the keys of this backup; empty in backups of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub salt: String,
    /// Over everything else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seal: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Collection {
    pub name: String,
    pub documents: u64,
    pub chunks: Vec<Chunk>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk {
    pub key: String,
    pub bytes: usize,
    pub sha256: String,
}

pub(super) fn key(backup: &str, name: &str) -> String {
    format!("{FOLDER}{backup}/{name}")
}

/// Without `.` and `..`, which lead elsewhere.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('.')
        && !text.contains("..")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c))
}

impl Manifest {
    /// Of a backup that begins.
    pub(super) fn begun(salt: String) -> Self {
        let (version, now) = (env!("CARGO_PKG_VERSION").to_owned(), Timestamp::now());
        Self {
            format: SEALED,
            version,
            begun: now,
            ended: now,
            collections: vec![],
            salt,
            seal: String::new(),
        }
    }

    fn unsealed(&self) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&Self { seal: String::new(), ..self.clone() })?)
    }

    /// The bytes to keep under a name.
    pub(super) fn close(mut self, name: &str, keys: &Keys) -> anyhow::Result<Vec<u8>> {
        self.seal = keys.sign(name, &self.unsealed()?);
        Ok(serde_json::to_vec_pretty(&self)?)
    }

    /// Reads what was kept under a name, and the keys of its chunks: `None` when they are not encrypted, which has to be allowed.
    pub(super) fn open(
        bytes: &[u8],
        name: &str,
        configured: &str,
        plain_is_allowed: bool,
    ) -> anyhow::Result<(Self, Option<Keys>)> {
        let manifest: Self = serde_json::from_slice(bytes).context(MANIFEST)?;
        match manifest.format {
            SEALED => {
                let keys = Keys::of(configured, &manifest.salt)?;
                ensure!(
                    keys.signed(name, &manifest.unsealed()?, &manifest.seal),
                    "backup {name} was written with another key, or was changed: set backup.key to the key of the cluster that wrote it \
                     (spec.backup.keySecretName), or restore another backup"
                );
                Ok((manifest, Some(keys)))
            }
            PLAIN if plain_is_allowed => Ok((manifest, None)),
            PLAIN => bail!(
                "backup {name} is neither encrypted nor signed: version {} wrote it, or somebody who can write to the bucket. Use --unsealed \
                 to restore it all the same, if you know that it is yours",
                manifest.version
            ),
            other => bail!(
                "backup {name} has format {other}, this version reads {PLAIN} and {SEALED}: restore with version {}",
                manifest.version
            ),
        }
    }

    /// Number of documents.
    pub(super) fn documents(&self) -> u64 {
        self.collections.iter().map(|collection| collection.documents).sum()
    }

    /// Bytes in the bucket, without the manifest.
    pub(super) fn bytes(&self) -> u64 {
        let chunks = self.collections.iter().flat_map(|collection| &collection.chunks);
        chunks.map(|chunk| chunk.bytes as u64).sum()
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} documents in {} collections, {} kB, of {}",
            self.documents(),
            self.collections.len(),
            self.bytes().div_ceil(1000),
            self.begun
        )
    }
}

/// Makes the next chunk of a collection; `number` counts the chunks of the backup.
pub(super) fn write_chunk(
    backup: &str,
    collection: &Collection,
    number: u64,
    keys: &Keys,
    documents: &[u8],
) -> anyhow::Result<(Chunk, Vec<u8>)> {
    let key = key(backup, &format!("{}/{:06}.bson.gz.aes", collection.name, collection.chunks.len()));
    let data = keys.seal(number, &key, &compressed(documents)?)?;
    let chunk = Chunk { key, bytes: data.len(), sha256: hex::encode(Sha256::digest(&data)) };
    Ok((chunk, data))
}

/// The documents of a chunk.
pub(super) fn read_chunk(
    backup: &str,
    chunk: &Chunk,
    number: u64,
    keys: Option<&Keys>,
    data: &[u8],
) -> anyhow::Result<Vec<store::RawDocumentBuf>> {
    let of_backup = chunk.key.strip_prefix(&key(backup, ""));
    ensure!(
        of_backup.is_some_and(|rest| !rest.contains("..")),
        "{} is not part of backup {backup}",
        chunk.key
    );
    ensure!(
        data.len() == chunk.bytes && hex::encode(Sha256::digest(data)) == chunk.sha256,
        "{} was modified or damaged: restore another backup",
        chunk.key
    );
    match keys {
        Some(keys) => documents(&keys.open(number, &chunk.key, data)?),
        None => documents(data),
    }
    .with_context(|| chunk.key.clone())
}

fn compressed(documents: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(documents)?;
    Ok(encoder.finish()?)
}

/// Cuts BSON documents that follow one another apart.
fn documents(compressed: &[u8]) -> anyhow::Result<Vec<store::RawDocumentBuf>> {
    let mut bytes = Vec::new();
    GzDecoder::new(compressed).take(MOST_INFLATED as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= MOST_INFLATED, "it exceeds the maximum size of a chunk");
    let mut found = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(length) = rest.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize) {
        ensure!(length >= 5 && length <= rest.len(), "a document is truncated");
        let (document, after) = rest.split_at(length);
        found.push(store::RawDocumentBuf::from_bytes(document.to_vec())?);
        rest = after;
    }
    ensure!(rest.is_empty(), "a document is truncated");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn bson(numbers: std::ops::Range<i32>) -> Vec<store::RawDocumentBuf> {
        numbers.map(|n| store::RawDocumentBuf::try_from(&bson::doc! { "n": n }).unwrap()).collect()
    }

    /// A bucket with a backup of two collections of two chunks each.
    fn bucket() -> BTreeMap<String, Vec<u8>> {
        let keys = Keys::of(KEY, "salt").unwrap();
        let (mut manifest, mut bucket, mut number) = (Manifest::begun("salt".into()), BTreeMap::new(), 0);
        for name in ["messages", "user"] {
            let mut collection = Collection { name: name.into(), documents: 0, chunks: vec![] };
            for _ in 0..2 {
                let first = number as i32 * 10;
                let raw: Vec<u8> =
                    bson(first..first + 3).iter().flat_map(|document| document.as_bytes().to_vec()).collect();
                let (chunk, data) = write_chunk("monday", &collection, number, &keys, &raw).unwrap();
                bucket.insert(chunk.key.clone(), data);
                collection.chunks.push(chunk);
                collection.documents += 3;
                number += 1;
            }
            manifest.collections.push(collection);
        }
        bucket.insert(key("monday", MANIFEST), manifest.close("monday", &keys).unwrap());
        bucket
    }

    fn restored(bucket: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<Vec<store::RawDocumentBuf>> {
        let kept = bucket.get(&key("monday", MANIFEST)).context("no manifest")?;
        let (manifest, keys) = Manifest::open(kept, "monday", KEY, false)?;
        let (mut found, mut number) = (vec![], 0);
        for chunk in manifest.collections.iter().flat_map(|collection| &collection.chunks) {
            let data = bucket.get(&chunk.key).context("missing")?;
            found.extend(read_chunk("monday", chunk, number, keys.as_ref(), data)?);
            number += 1;
        }
        Ok(found)
    }

    #[test]
    fn documents_come_back_as_they_were() {
        let expected: Vec<_> = [0, 10, 20, 30].into_iter().flat_map(|first| bson(first..first + 3)).collect();
        assert_eq!(restored(&bucket()).unwrap(), expected);
        let bytes: Vec<u8> = bson(0..3).iter().flat_map(|document| document.as_bytes().to_vec()).collect();
        assert!(documents(&compressed(&bytes[..bytes.len() - 1]).unwrap()).is_err());
    }

    #[test]
    fn nothing_that_was_written_can_be_read_without_the_key() {
        let bucket = bucket();
        let kept = &bucket[&key("monday", MANIFEST)];
        let refused = |bytes: &[u8], name: &str, configured: &str| {
            Manifest::open(bytes, name, configured, true).err().unwrap().to_string()
        };
        let other = refused(kept, "monday", "ffffffffffffffffffffffffffffffff");
        assert!(other.contains("written with another key, or was changed"), "{other}");
        assert!(
            refused(kept, "sunday", KEY).contains("another key, or was changed"),
            "moved to another name"
        );
        assert!(refused(kept, "monday", "").starts_with("backup.key"));
    }

    #[test]
    fn what_is_changed_cut_or_exchanged_is_refused() {
        let whole = bucket();
        let chunks: Vec<&String> = whole.keys().filter(|key| key.ends_with(".aes")).collect();
        for chunk in &chunks {
            let mut cut = whole.clone();
            cut.get_mut(*chunk).unwrap().pop();
            assert!(restored(&cut).is_err());
            let mut gone = whole.clone();
            gone.remove(*chunk);
            assert!(restored(&gone).is_err());
            for other in chunks.iter().filter(|other| *other != chunk) {
                let mut exchanged = whole.clone();
                exchanged.insert((*chunk).clone(), whole[*other].clone());
                assert!(restored(&exchanged).is_err());
            }
        }
        // An attacker with write access can also write checksums, and claim that nothing was ever signed.
        let said: Manifest = serde_json::from_slice(&whole[&key("monday", MANIFEST)]).unwrap();
        let mut said_otherwise = vec![
            Manifest { format: PLAIN, ..said.clone() },
            Manifest { collections: said.collections.iter().rev().cloned().collect(), ..said.clone() },
            Manifest { salt: "another".into(), ..said.clone() },
        ];
        let mut fewer = said.clone();
        fewer.collections[0].chunks.pop();
        fewer.collections[0].documents = 3;
        let mut counted = said.clone();
        counted.collections[1].documents += 1;
        let mut summed = said.clone();
        summed.collections[0].chunks[0].sha256 = "0".repeat(64);
        let mut ordered = said;
        ordered.collections[0].chunks.reverse();
        said_otherwise.extend([fewer, counted, summed, ordered]);
        for manifest in said_otherwise {
            let mut forged = whole.clone();
            forged.insert(key("monday", MANIFEST), serde_json::to_vec(&manifest).unwrap());
            assert!(restored(&forged).is_err(), "{manifest:?}");
        }
    }

    #[test]
    fn a_backup_of_before_is_read_when_that_is_asked_for() {
        let old = br#"{"format":1,"version":"0.1.0","begun":"2026-01-31T10:00:00Z","ended":"2026-01-31T10:00:01Z","collections":[
            {"name":"user","documents":3,"chunks":[{"key":"backups/old/user/000000.bson.gz","bytes":0,"sha256":""}]}]}"#;
        let refused = Manifest::open(old, "old", KEY, false).err().unwrap().to_string();
        assert!(
            refused.contains("neither encrypted nor signed") && refused.contains("--unsealed"),
            "{refused}"
        );
        let (manifest, keys) = Manifest::open(old, "old", "", true).unwrap();
        assert!(keys.is_none() && manifest.collections[0].documents == 3);
        let raw: Vec<u8> = bson(0..3).iter().flat_map(|document| document.as_bytes().to_vec()).collect();
        let data = compressed(&raw).unwrap();
        let mut chunk = manifest.collections[0].chunks[0].clone();
        (chunk.bytes, chunk.sha256) = (data.len(), hex::encode(Sha256::digest(&data)));
        assert_eq!(read_chunk("old", &chunk, 0, None, &data).unwrap(), bson(0..3));
        for elsewhere in ["backups/other/user/0", "openim/x", "backups/old/../other/0"] {
            chunk.key = elsewhere.into();
            assert!(read_chunk("old", &chunk, 0, None, &data).is_err(), "{elsewhere}");
        }
        let newer = String::from_utf8_lossy(old).replace("\"format\":1", "\"format\":3");
        let refused = Manifest::open(newer.as_bytes(), "old", KEY, true).err().unwrap().to_string();
        assert!(refused.contains("has format 3"), "{refused}");
    }

    #[test]
    fn a_chunk_inflates_to_no_more_than_a_chunk() {
        let bomb = compressed(&vec![0; MOST_INFLATED + 1]).unwrap();
        assert!(bomb.len() < 1 << 20);
        assert!(documents(&bomb).unwrap_err().to_string().contains("exceeds the maximum size"));
    }

    #[test]
    fn names_stay_in_their_folder() {
        assert!(is_name("2026-11-25T20-00-00-0123456789abcdef"));
        for name in ["..", ".", "../x", "", "a/b", "a..b", ".a"] {
            assert!(!is_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_noticed(at: prop::sample::Index, byte: prop::sample::Index, flip in 1_u8..) {
            let mut changed = bucket();
            let at = changed.keys().nth(at.index(changed.len())).unwrap().clone();
            let data = changed.get_mut(&at).unwrap();
            let byte = byte.index(data.len());
            data[byte] ^= flip;
            let outcome = restored(&changed);
            // White space in the manifest says nothing.
            prop_assert!(outcome.is_err() || outcome.unwrap() == restored(&bucket()).unwrap(), "{at} {byte}");
        }
    }
}
