//! The certificates of a cluster's own authority that its pods have read at their start, and when they expire.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use sha2::{Digest, Sha256};
use topology::Component;

use crate::model::{
    cluster::Cluster,
    names::CERTIFICATE,
    pod_template::annotation,
    secret::{key, servers_speak_tls, services_speak_tls},
};

type Data = BTreeMap<String, String>;

/// A short name of a text that must not be shown.
pub(crate) fn mark_of(text: &str) -> String {
    hex::encode(Sha256::digest(text))[..8].to_owned()
}

fn text<'a>(data: &'a Data, name: &str) -> &'a str {
    data.get(name).map_or("", String::as_str)
}

/// Whether the authority has been replaced, or is about to be.
fn is_rotated(data: &Data) -> bool {
    data.contains_key(key::AUTHORITY_ROTATION) || data.contains_key(key::NEXT_AUTHORITY_ROTATION)
}

/// Names what the managed servers read at their start; empty: they use no TLS. While a cluster has its first authority, only the
/// certificate counts: servers that exist need no restart.
pub fn of_servers(data: &Data) -> String {
    if !servers_speak_tls(data) {
        return String::new();
    }
    let authorities = if is_rotated(data) { text(data, key::AUTHORITY) } else { "" };
    mark_of(&format!("{}{authorities}", text(data, key::SERVERS_CERTIFICATE)))
}

/// What pods of services that start now read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Current {
    /// Names it; empty: no certificates.
    mark: String,
    /// It is not what the cluster began with: pods that do not say what they have read may have something else.
    pub reissued: bool,
}

impl Current {
    /// As the Secret has it.
    pub fn of(cluster: &Cluster, data: &Data) -> Self {
        if !services_speak_tls(cluster, data) && !servers_speak_tls(data) {
            return Self::default();
        }
        let read = format!("{}{}", text(data, key::AUTHORITY), text(data, key::CERTIFICATE));
        let reissued = is_rotated(data) || data.contains_key(key::CERTIFICATE_BEFORE);
        Self { mark: mark_of(&read), reissued }
    }

    /// The annotation of pods that read it.
    pub fn note(&self) -> Option<(String, String)> {
        (!self.mark.is_empty()).then(|| (CERTIFICATE.to_owned(), self.mark.clone()))
    }

    /// Whether the pods of a template have read something else.
    pub fn is_late(&self, template: &PodTemplateSpec) -> bool {
        let read = annotation(template, CERTIFICATE);
        !self.mark.is_empty() && if read.is_empty() { self.reissued } else { read != self.mark }
    }

    /// The same pods, with these certificates.
    pub fn noted(&self, mut template: PodTemplateSpec) -> PodTemplateSpec {
        let annotations = template.metadata.get_or_insert_default().annotations.get_or_insert_default();
        annotations.extend(self.note());
        template
    }
}

/// When certificates expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The authority's own.
    pub authority: Timestamp,
    /// The first one of those that pods use.
    pub earliest: Timestamp,
}

/// The certificates of a cluster, and who has read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificates {
    /// What pods of services that start now read.
    pub current: Current,
    /// The services and managed servers whose pods have read others, or are being replaced.
    pub late: Vec<Component>,
    /// When they expire; `None` without TLS, or if somebody edited them.
    pub ends: Option<Ends>,
}
