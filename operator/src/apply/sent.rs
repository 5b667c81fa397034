//! What was sent to the API server, and as what it was stored. The API server normalizes quantities, omits empty values, and
//! admission can change objects: desired and stored object then differ in text although there is nothing to do.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What the API server itself counts and stamps.
const STAMPS: [&str; 5] = ["resourceVersion", "managedFields", "generation", "uid", "creationTimestamp"];

type Hash = [u8; 32];

/// For an object: what was sent, and the response.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kept {
    sent: Hash,
    answer: Hash,
}

/// Of all clusters, by uid; of each the objects that are kept as something else than what was sent, by kind and name.
#[derive(Default)]
pub struct Sent(Mutex<HashMap<String, BTreeMap<String, Kept>>>);

impl Sent {
    /// Whether exactly this was sent before, and the stored object is the API server's result of it.
    pub(crate) fn is_kept(&self, cluster: &str, what: &str, desired: &Value, live: &Value) -> bool {
        let known = self.0.lock().get(cluster).and_then(|objects| objects.get(what).copied());
        known.is_some_and(|known| known == Kept { sent: hash(desired), answer: content(live) })
    }

    /// The API server stored what was sent as `answer`.
    pub(crate) fn remember(&self, cluster: &str, what: &str, desired: &Value, answer: &Value) {
        let kept = Kept { sent: hash(desired), answer: content(answer) };
        self.0.lock().entry(cluster.to_owned()).or_default().insert(what.to_owned(), kept);
    }

    /// The other clusters are gone.
    pub(crate) fn keep(&self, clusters: &HashSet<String>) {
        self.0.lock().retain(|cluster, _| clusters.contains(cluster));
    }
}

/// Whether two states of an object differ in more than what the API server counts, and in their status.
pub(crate) fn differ(one: &Value, other: &Value) -> bool {
    content(one) != content(other)
}

fn content(object: &Value) -> Hash {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !STAMPS.contains(&name.as_str()));
    }
    hash(&object)
}

fn hash(value: &Value) -> Hash {
    let mut digest = Sha256::new();
    feed(&mut digest, value);
    digest.finalize().into()
}

/// Whatever the order of the keys.
fn feed(digest: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            digest.update(format!("{{{}", fields.len()));
            for (name, value) in fields {
                digest.update(Value::from(name.as_str()).to_string());
                feed(digest, value);
            }
        }
        Value::Array(items) => {
            digest.update(format!("[{}", items.len()));
            items.iter().for_each(|item| feed(digest, item));
        }
        other => digest.update(format!("={other};")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_kept_is_known_until_either_side_changes() {
        let sent = Sent::default();
        let desired = json!({"spec": {"cpu": "0.5"}});
        let live = json!({"metadata": {"resourceVersion": "7"}, "spec": {"cpu": "500m"}});
        assert!(!sent.is_kept("u", "Deployment/a", &desired, &live));
        sent.remember("u", "Deployment/a", &desired, &live);
        let mut later = live.clone();
        later["metadata"]["resourceVersion"] = json!("8");
        later["status"] = json!({"readyReplicas": 1});
        assert!(sent.is_kept("u", "Deployment/a", &desired, &later), "only its status has changed");
        later["spec"]["cpu"] = json!("600m");
        assert!(!sent.is_kept("u", "Deployment/a", &desired, &later), "somebody has edited it");
        assert!(!sent.is_kept("u", "Deployment/a", &json!({"spec": {"cpu": "1"}}), &live));
        assert!(!sent.is_kept("u", "Deployment/b", &desired, &live));
        sent.keep(&HashSet::new());
        assert!(!sent.is_kept("u", "Deployment/a", &desired, &live));
    }
}
