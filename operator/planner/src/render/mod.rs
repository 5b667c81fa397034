//! Builds the objects of a cluster from validated facts. Pure; one file per group of resources. Nothing here reads the API
//! server.

pub mod availability;
pub mod backing;
pub mod backup;
pub(crate) mod config_file;
pub mod console;
pub mod labels;
pub mod migration;
pub mod monitoring;
pub mod network;
pub mod pods;
pub(crate) mod secrets;
pub mod services;
pub mod settings;
pub mod template;

use k8s_openapi::{Metadata, NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube_core::{DynamicObject, TypeMeta};
use serde::Serialize;

/// Any object as the generic one that is applied, with its type.
pub(crate) fn dynamic<K>(object: &K) -> DynamicObject
where
    K: Serialize + k8s_openapi::Resource<Scope = NamespaceResourceScope> + Metadata<Ty = ObjectMeta>,
{
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
        map.remove("metadata");
        map.remove("status");
    }
    DynamicObject {
        types: Some(TypeMeta { api_version: K::API_VERSION.to_owned(), kind: K::KIND.to_owned() }),
        metadata: object.metadata().clone(),
        data: value,
    }
}
