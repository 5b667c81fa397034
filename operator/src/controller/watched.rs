//! The namespaces that the operator watches, and its watches of what clusters own.

use std::sync::{Arc, OnceLock};

use crds::OpenIMCluster;
use futures::{Stream, StreamExt, future::ready};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        controller::Controller,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use planner::render::labels;
use serde::de::DeserializeOwned;

use crate::{
    controller::quiescence::Quiescence,
    observe::scope::{foreign, scoped},
};

/// A cluster, or why it cannot be parsed.
pub(crate) type Guarded = DeserializeGuard<OpenIMCluster>;

/// The clusters in the watches' caches; empty until they run. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub(crate) struct Clusters(Arc<OnceLock<Vec<Store<Guarded>>>>);

impl Clusters {
    /// Sets the caches; only once, because a process leads only once.
    pub(crate) fn set(&self, stores: Vec<Store<Guarded>>) {
        let _first = self.0.set(stores);
    }

    fn stores(&self) -> &[Store<Guarded>] {
        self.0.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Guarded>> {
        self.stores().iter().flat_map(Store::state).collect()
    }

    pub(crate) fn get(&self, reference: &ObjectRef<Guarded>) -> Option<Arc<Guarded>> {
        self.stores().iter().find_map(|store| store.get(reference))
    }

    pub(crate) fn len(&self) -> usize {
        self.stores().iter().map(Store::len).sum()
    }
}

/// Watches the objects that clusters own: each change triggers a pass over its cluster.
pub(crate) struct Watch<'a> {
    pub(crate) client: &'a Client,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) quiescence: &'a Arc<Quiescence>,
    pub(crate) clusters: &'a Clusters,
}

impl Watch<'_> {
    pub(crate) fn owned<K>(&self, controller: Controller<Guarded>) -> Controller<Guarded>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + 'static,
        PartialObjectMeta<K>: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync,
    {
        // Names and owners suffice: a pass reads what it needs.
        let api = scoped::<PartialObjectMeta<K>>(self.client, self.namespace);
        controller.watches(api, ours(), self.by_owner())
    }

    /// The same for a kind that only some clusters need: where the operator may not watch it, everything else goes on.
    pub(crate) fn owned_if_allowed<K>(&self, controller: Controller<Guarded>) -> Controller<Guarded>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + 'static,
        PartialObjectMeta<K>: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync,
    {
        let api = scoped::<PartialObjectMeta<K>>(self.client, self.namespace);
        controller.reconcile_on(touched(api, self.by_owner()))
    }

    /// The same for a kind of a third party. If the kind does not exist yet, the watch is retried until it does.
    pub(crate) fn owned_foreign(
        &self,
        controller: Controller<Guarded>,
        kind: &ApiResource,
    ) -> Controller<Guarded> {
        let api = foreign::<PartialObjectMeta<DynamicObject>>(self.client, self.namespace, kind);
        controller.reconcile_on(touched(api, self.by_owner()))
    }

    /// What outlives its owner, or has another one than the cluster: its label names the cluster.
    pub(crate) fn labelled<K>(&self, controller: Controller<Guarded>) -> Controller<Guarded>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + 'static,
        PartialObjectMeta<K>: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync,
    {
        let api = scoped::<PartialObjectMeta<K>>(self.client, self.namespace);
        let (quiescence, clusters) = (self.quiescence.clone(), self.clusters.clone());
        controller.reconcile_on(touched(api, move |object| {
            let cluster = object.labels().get(labels::CLUSTER)?;
            let reference = ObjectRef::new(cluster).within(&object.namespace()?);
            if let Some(uid) = clusters.get(&reference).and_then(|cluster| cluster.uid()) {
                quiescence.changed(&uid);
            }
            Some(reference)
        }))
    }

    fn by_owner<K: 'static>(
        &self,
    ) -> impl Fn(PartialObjectMeta<K>) -> Option<ObjectRef<Guarded>> + Send + Sync + 'static + use<K>
    where
        PartialObjectMeta<K>: ResourceExt,
    {
        let quiescence = self.quiescence.clone();
        move |object| {
            let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true))?;
            quiescence.changed(&owner.uid);
            Some(ObjectRef::new(&owner.name).within(&object.namespace().unwrap_or_default()))
        }
    }
}

/// The clusters of changed objects. Retries on its own: a failing watch among the controller's triggers would delay all of them.
fn touched<K>(
    api: Api<K>,
    whose: impl Fn(K) -> Option<ObjectRef<Guarded>> + Send + Sync + 'static,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let changes = watcher(api, ours()).default_backoff().touched_objects();
    changes.filter_map(move |change| ready(change.ok().and_then(&whose)))
}

/// Objects with a cluster's label.
fn ours() -> watcher::Config {
    watcher::Config::default().labels(labels::any_cluster())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_of_all_namespaces_are_known() {
        let store = |namespace: &str| {
            let (store, mut writer) = kube::runtime::reflector::store::<Guarded>();
            let mut cluster = OpenIMCluster::new("chat", Default::default());
            cluster.metadata.namespace = Some(namespace.into());
            cluster.metadata.uid = Some(format!("of {namespace}"));
            writer.apply_watcher_event(&watcher::Event::Apply(DeserializeGuard(Ok(cluster))));
            store
        };
        let clusters = Clusters::default();
        assert_eq!(clusters.len(), 0);
        clusters.set(vec![store("a"), store("b")]);
        let uid = |namespace: &str| clusters.get(&ObjectRef::new("chat").within(namespace))?.uid();
        assert_eq!((clusters.len(), clusters.all().len()), (2, 2));
        assert_eq!(uid("b").as_deref(), Some("of b"));
        assert_eq!(uid("c"), None);
    }
}
