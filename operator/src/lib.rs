//! The operator, in floors: each imports only what is below it (docs/adr/0037-floors-of-the-operator.md; `e2e/floors.py` checks it).
//!
//! The package `openim-planner` beneath has the lower floors, `model` (facts) and the pure decisions. Here: `observe`, `apply`, `probe`
//! (requests to the API server and the backing servers) → `controller` (the loop); `plugin` is `kubectl openim`.

pub mod apply;
pub mod controller;
pub mod observe;
pub mod plugin;
pub mod probe;

#[cfg(test)]
mod tests {
    use crds::{OpenIMCluster, OpenIMClusterSpec};

    /// A cluster as the API server has it.
    pub(crate) fn object(spec: &str) -> OpenIMCluster {
        let spec: OpenIMClusterSpec = serde_yaml_ng::from_str(spec).unwrap();
        let mut object = OpenIMCluster::new("chat", spec);
        object.metadata.namespace = Some("team".into());
        object.metadata.uid = Some("0000-1111".into());
        object.metadata.generation = Some(3);
        object
    }
}
