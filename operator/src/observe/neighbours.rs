//! Reads which objects hold or want the hosts that a cluster asks for (see [`planner::doors`]). This step only performs I/O.

use std::{borrow::Borrow, collections::BTreeMap};

use crds::OpenIMCluster;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
};
use planner::{
    doors::{backends, of_ingress, of_route, own},
    model::{
        cluster::Cluster,
        door::{Door, Kind, Neighbour},
        observed::Observed,
    },
    render::services::http_route_type,
    validate::validate,
};
use serde::de::DeserializeOwned;

use crate::observe::scope::{foreign, resource, scoped, scopes};

/// Those that may go before a cluster: other clusters that the operator sees, and for an Ingress that is still to be made anybody's. `scope` are
/// the namespaces that it sees; none: it sees all.
///
/// # Errors
/// When the API server rejects or cannot be reached.
pub async fn read<C: Borrow<OpenIMCluster>>(
    client: &Client,
    scope: &[String],
    cluster: &Cluster,
    clusters: &[C],
    observed: &Observed,
) -> kube::Result<Vec<Neighbour>> {
    let own = own(cluster, observed);
    let stays: Vec<&OpenIMCluster> = clusters
        .iter()
        .map(Borrow::borrow)
        .filter(|other| other.uid().as_ref() != Some(&cluster.owner.uid))
        .filter(|other| other.metadata.deletion_timestamp.is_none())
        .collect();
    // Nobody comes before the oldest of those that have it: most need not be looked for.
    let unsure = |kind: Kind| {
        own.wants.iter().filter(|door| door.kind == kind).any(|door| {
            let older = |other: &&&OpenIMCluster| {
                let other = Neighbour::of(other, vec![door.clone()]);
                other.is_before(&own, door)
            };
            !own.holds(door) || stays.iter().any(|other| older(&other))
        })
    };
    let mut found: BTreeMap<String, Vec<Door>> = BTreeMap::new();
    let mut strangers = Vec::new();
    if unsure(Kind::Ingress) {
        for ingress in listed(apis(scope, |namespace| scoped::<Ingress>(client, namespace))).await? {
            let doors = of_ingress(&ingress);
            let owners: Vec<&str> =
                ingress.owner_references().iter().map(|owner| owner.uid.as_str()).collect();
            if owners.contains(&cluster.owner.uid.as_str()) || leads_here(&ingress, cluster) {
                continue;
            }
            match stays.iter().filter_map(|other| other.uid()).find(|uid| owners.contains(&uid.as_str())) {
                Some(uid) => found.entry(uid).or_default().extend(doors),
                None => strangers.push(Neighbour {
                    kind: "Ingress".into(),
                    namespace: ingress.namespace().unwrap_or_default(),
                    name: ingress.name_any(),
                    created: ingress.creation_timestamp().map(|time| time.0),
                    wants: vec![],
                    has: doors,
                    shared: vec![],
                }),
            }
        }
    }
    if unsure(Kind::Route) {
        for route in routes(client, scope).await? {
            let owner = route.owner_references().iter().map(|owner| owner.uid.clone()).next();
            found.entry(owner.unwrap_or_default()).or_default().extend(of_route(&route));
        }
    }
    let mut neighbours = strangers;
    for other in stays {
        let has = found.remove(&other.uid().unwrap_or_default()).unwrap_or_default();
        let holds = !has.is_empty();
        let mut neighbour = Neighbour::of(other, has);
        if !holds && neighbour.wants.iter().any(|door| own.wants.iter().any(|wanted| wanted.is_same(door))) {
            // One that cannot be carried out never comes to it.
            neighbour.wants.retain(|_| validate(other).is_ok());
        }
        neighbours.push(neighbour);
    }
    Ok(neighbours)
}

/// Somebody's own Ingress in front of this very cluster.
fn leads_here(ingress: &Ingress, cluster: &Cluster) -> bool {
    let names =
        [cluster.part("api-http"), cluster.part("gateway-ws"), cluster.part(topology::Extra::Console)];
    let spec = ingress.spec.as_ref();
    let rules = spec.and_then(|spec| spec.rules.as_ref()).into_iter().flatten();
    let mut services = rules
        .flat_map(backends)
        .map(|(_, backend)| backend)
        .chain(spec.and_then(|spec| spec.default_backend.as_ref()))
        .filter_map(|backend| Some(&backend.service.as_ref()?.name));
    ingress.namespace().as_ref() == Some(&cluster.namespace) && services.any(|name| names.contains(name))
}

/// HTTPRoutes; none where the Gateway API is not there.
async fn routes(client: &Client, scope: &[String]) -> kube::Result<Vec<DynamicObject>> {
    let kind = resource(&http_route_type());
    match listed(apis(scope, |namespace| foreign(client, namespace, &kind))).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(vec![]),
        listed => listed,
    }
}

fn apis<K>(scope: &[String], api: impl Fn(Option<&str>) -> Api<K>) -> Vec<Api<K>> {
    scopes(scope).into_iter().map(api).collect()
}

async fn listed<K: Clone + DeserializeOwned + std::fmt::Debug>(apis: Vec<Api<K>>) -> kube::Result<Vec<K>> {
    let mut all = Vec::new();
    for api in apis {
        all.extend(api.list(&ListParams::default()).await?.items);
    }
    Ok(all)
}
