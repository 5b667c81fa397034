//! A Pod's affinity, which the definition of the cluster takes as any object. Pure.

use crds::AnyObject;
use k8s_openapi::api::core::v1::Affinity;
use serde_json::Value;

use crate::model::quantity::covers;

/// Null means absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let given = fields.into_iter().filter(|(_, value)| !value.is_null());
            given.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// An affinity as Kubernetes reads it.
pub(crate) fn affinity(given: &AnyObject) -> Result<Affinity, String> {
    let given = without_nulls(serde_json::to_value(given).unwrap_or_default());
    let read: Affinity = serde_json::from_value(given.clone()).map_err(|error| error.to_string())?;
    // What it does not know it would leave out.
    if covers(&serde_json::to_value(&read).unwrap_or_default(), &given) {
        Ok(read)
    } else {
        Err("has a field that a Pod's affinity does not have: see `kubectl explain pod.spec.affinity`".into())
    }
}
