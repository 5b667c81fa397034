//! Ingress hosts, each of which one object can have: a host of an Ingress class, or of a Gateway's listener. The current holder
//! keeps it; of those waiting the oldest gets it. Two objects with the same host would get each other's clients. Pure.

use std::collections::BTreeMap;

use crds::{OpenIMCluster, OpenIMClusterSpec, Reason};
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressRule};
use kube_core::{DynamicObject, ResourceExt};
use topology::Extra;

use crate::model::{
    cluster::Cluster,
    door::{Door, Kind, Neighbour},
    observed::Observed,
    plan::Blocker,
};

/// Paths of client traffic: another object with one of them conflicts.
const PATHS: [&str; 4] = ["/", "/*", "/msg_gateway", "/msg_gateway/"];
/// The annotation that named the class before there was a field.
const CLASS: &str = "kubernetes.io/ingress.class";

impl Neighbour {
    /// A cluster as a neighbour: the hosts it wants, and those it has.
    pub fn of(object: &OpenIMCluster, has: Vec<Door>) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        Self {
            kind: "OpenIMCluster".into(),
            wants: wanted(&object.spec, &namespace, &has),
            namespace,
            name: object.name_any(),
            created: object.creation_timestamp().map(|time| time.0),
            has,
            shared: object.status.as_ref().map(|status| status.shared.clone()).unwrap_or_default(),
        }
    }
}

/// The hosts desired by a spec; if it names no Ingress class, the one of its Ingress counts.
fn wanted(spec: &OpenIMClusterSpec, namespace: &str, has: &[Door]) -> Vec<Door> {
    let given = has.iter().find(|door| door.kind == Kind::Ingress).map_or("", |door| &door.at);
    let (class, host) = (&spec.ingress.class_name, &spec.ingress.host);
    let at = if class.is_empty() { given } else { class };
    let by_ingress = |host: &String| Door {
        kind: Kind::Ingress,
        at: at.to_owned(),
        listener: String::new(),
        host: host.clone(),
    };
    let hosts = std::iter::once(host).chain(host_of_console(spec));
    let mut doors: Vec<Door> = hosts.filter(|_| spec.ingress.enabled).map(by_ingress).collect();
    if let Some(routes) = &spec.gateway_api {
        let parents = routes.parent_refs.iter().map(|parent| {
            let of = if parent.namespace.is_empty() { namespace } else { &parent.namespace };
            (format!("{of}/{}", parent.name), parent.section_name.clone())
        });
        doors.extend(routed(parents.clone(), &routes.hostnames));
        let of_console = host_of_console(spec).map(std::slice::from_ref);
        doors.extend(of_console.into_iter().flat_map(|host| routed(parents.clone(), host)));
    }
    doors
}

/// The host of the console, if it has one.
fn host_of_console(spec: &OpenIMClusterSpec) -> Option<&String> {
    let console = spec.console.as_ref().filter(|console| console.enabled);
    console.map(|console| &console.host).filter(|host| !host.is_empty())
}

fn routed(parents: impl Iterator<Item = (String, String)>, hosts: &[String]) -> Vec<Door> {
    let any = [String::new()];
    let hosts = if hosts.is_empty() { &any } else { hosts };
    parents
        .flat_map(|(at, listener)| {
            hosts.iter().map(move |host| Door {
                kind: Kind::Route,
                at: at.clone(),
                listener: listener.clone(),
                host: host.clone(),
            })
        })
        .collect()
}

pub fn backends(rule: &IngressRule) -> impl Iterator<Item = (&str, &IngressBackend)> {
    let paths = rule.http.iter().flat_map(|http| &http.paths);
    paths.map(|path| (path.path.as_deref().unwrap_or("/"), &path.backend))
}

/// The hosts of an Ingress.
pub fn of_ingress(ingress: &Ingress) -> Vec<Door> {
    let Some(spec) = &ingress.spec else { return vec![] };
    let class = spec.ingress_class_name.as_ref().or_else(|| ingress.annotations().get(CLASS));
    let hosts = spec.rules.iter().flatten().filter(|rule| {
        let mut paths = backends(rule);
        paths.any(|(path, _)| PATHS.contains(&path))
    });
    let hosts = hosts.map(|rule| rule.host.clone().unwrap_or_default());
    hosts
        .chain(spec.default_backend.as_ref().map(|_| String::new()))
        .map(|host| Door {
            kind: Kind::Ingress,
            at: class.cloned().unwrap_or_default(),
            listener: String::new(),
            host,
        })
        .collect()
}

/// The hosts of an HTTPRoute.
pub fn of_route(route: &DynamicObject) -> Vec<Door> {
    let spec = &route.data["spec"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = route.namespace().unwrap_or_default();
    let parents = spec["parentRefs"].as_array().into_iter().flatten().map(|parent| {
        let of = parent["namespace"].as_str().unwrap_or(&namespace);
        (format!("{of}/{}", text(&parent["name"])), text(&parent["sectionName"]))
    });
    let hosts: Vec<String> = spec["hostnames"].as_array().into_iter().flatten().map(text).collect();
    routed(parents, &hosts)
}

fn of_live(object: &DynamicObject) -> Vec<Door> {
    let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
    let ingress = || serde_json::to_value(object).and_then(serde_json::from_value);
    match kind {
        "Ingress" => ingress().map(|ingress| of_ingress(&ingress)).unwrap_or_default(),
        "HTTPRoute" => of_route(object),
        _ => vec![],
    }
}

/// The cluster itself.
pub fn own(cluster: &Cluster, observed: &Observed) -> Neighbour {
    let names = [cluster.name.clone(), cluster.part(Extra::Console)];
    let live = observed.there.values().filter(|object| {
        names.contains(&object.name_any())
            && object.owner_references().iter().any(|owner| owner.uid == cluster.owner.uid)
    });
    let has: Vec<Door> = live.flat_map(of_live).collect();
    Neighbour {
        kind: "OpenIMCluster".into(),
        namespace: cluster.namespace.clone(),
        name: cluster.name.clone(),
        created: cluster.created,
        wants: wanted(&cluster.spec, &cluster.namespace, &has),
        has,
        shared: vec![],
    }
}

/// The hosts used by other objects, with a message for each: nothing is created for them.
pub fn taken(cluster: &Cluster, observed: &Observed) -> BTreeMap<Kind, Blocker> {
    taken_of(cluster, observed, false)
}

/// The same of the console's host.
pub fn taken_of_console(cluster: &Cluster, observed: &Observed) -> BTreeMap<Kind, Blocker> {
    taken_of(cluster, observed, true)
}

fn taken_of(cluster: &Cluster, observed: &Observed, console: bool) -> BTreeMap<Kind, Blocker> {
    let own = own(cluster, observed);
    let pages = host_of_console(&cluster.spec);
    let first = |door: &Door| {
        let before = observed.neighbours.iter().filter(|neighbour| neighbour.is_before(&own, door));
        before.min_by_key(|neighbour| neighbour.rank(door))
    };
    let asked = own.wants.iter().rev().filter(|door| (pages == Some(&door.host)) == console);
    let found = asked.filter_map(|door| Some((door.kind, blocker(door, first(door)?, console))));
    found.collect()
}

fn blocker(door: &Door, holder: &Neighbour, console: bool) -> Blocker {
    let whose = format!("{} {} in namespace {}", holder.kind, holder.name, holder.namespace);
    let (field, made, place, remedy) = match door.kind {
        Kind::Ingress => (
            "spec.ingress.host",
            "Ingress",
            if door.at.is_empty() {
                "this ingress class".into()
            } else {
                format!("ingress class {}", door.at)
            },
            "set another spec.ingress.host or spec.ingress.className, or spec.ingress.enabled to false",
        ),
        Kind::Route => (
            "spec.gatewayAPI.hostnames",
            "HTTPRoute",
            format!("Gateway {}", door.at),
            "set others, name another listener in spec.gatewayAPI.parentRefs, or remove spec.gatewayAPI",
        ),
    };
    let (component, field, remedy) = if console {
        (Extra::Console.name(), "spec.console.host", "set another spec.console.host")
    } else {
        ("ingress", field, remedy)
    };
    let which = if door.host.is_empty() { "all hosts".to_owned() } else { format!("the host {}", door.host) };
    Blocker {
        component: component.into(),
        reason: Reason::HostTaken,
        message: format!(
            "{field}: {whose} already uses {which} of {place}, so no {made} is created: {remedy}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::validate::{tests::object, validate};
    use jiff::Timestamp;

    fn cluster(namespace: &str, age: i64, spec: &str) -> OpenIMCluster {
        let mut made = object(spec);
        made.metadata.namespace = Some(namespace.into());
        made.metadata.uid = Some(format!("uid-{namespace}"));
        let created = Timestamp::constant(1_000_000 - age, 0);
        made.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created));
        made
    }

    fn ingress(host: &str, class: &str, owner: &str) -> DynamicObject {
        let path = json!({ "path": "/", "pathType": "Prefix", "backend": {} });
        let rule = json!({ "host": host, "http": { "paths": [path] } });
        serde_json::from_value(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "chat", "ownerReferences": [
                { "apiVersion": "", "kind": "OpenIMCluster", "name": "chat", "uid": owner },
            ] },
            "spec": { "ingressClassName": class, "rules": [rule] },
        }))
        .unwrap()
    }

    /// What `of` is told when `others` are there; whose namespaces are in `live` have their Ingress.
    fn said(of: &OpenIMCluster, others: &[&OpenIMCluster], live: &[&str]) -> Option<String> {
        let has = |object: &OpenIMCluster| {
            let namespace = object.namespace().unwrap();
            let uid = object.uid().unwrap();
            live.contains(&namespace.as_str()).then(|| {
                let class = &object.spec.ingress.class_name;
                ingress(&object.spec.ingress.host, if class.is_empty() { "contour" } else { class }, &uid)
            })
        };
        let neighbours = others
            .iter()
            .map(|other| Neighbour::of(other, has(other).iter().flat_map(of_live).collect()))
            .collect();
        let there = has(of).map(|live| (("Ingress".to_owned(), "chat".to_owned()), live));
        let observed = Observed { neighbours, there: there.into_iter().collect(), ..Default::default() };
        taken(&validate(of).unwrap(), &observed).remove(&Kind::Ingress).map(|blocker| blocker.message)
    }

    #[test]
    fn the_second_default_cluster_waits_and_is_told_for_whom() {
        let (first, second) = (cluster("a", 60, "{}"), cluster("b", 30, "{}"));
        assert_eq!(said(&first, &[&second], &[]), None);
        let told = said(&second, &[&first], &[]).unwrap();
        assert!(
            told.contains("OpenIMCluster chat in namespace a already uses all hosts of this ingress class"),
            "{told}"
        );
        assert!(told.contains("set another spec.ingress.host"), "{told}");
        assert_eq!(said(&second, &[], &[]), None, "when the first is gone the second gets it");
        // Both have one, from an operator before: the older stays.
        assert_eq!(said(&first, &[&second], &["a", "b"]), None);
        assert!(said(&second, &[&first], &["a", "b"]).is_some());
    }

    #[test]
    fn whoever_has_it_keeps_it_from_an_older_one_that_comes_later() {
        let (old, young) = (cluster("a", 60, "{}"), cluster("b", 30, "{}"));
        assert_eq!(said(&young, &[&old], &["b"]), None);
        assert!(said(&old, &[&young], &["b"]).is_some());
    }

    #[test]
    fn another_host_or_class_is_another_way_in() {
        let first = cluster("a", 60, "ingress: {className: contour}");
        for spec in
            ["ingress: {host: b.example.org}", "ingress: {className: nginx}", "ingress: {enabled: false}"]
        {
            assert_eq!(said(&cluster("b", 30, spec), &[&first], &["a"]), None, "{spec}");
        }
        // The default class may be contour.
        let second = cluster("b", 30, "{}");
        assert!(said(&second, &[&first], &["a"]).is_some());
        // Two that live with the classes they were given disturb each other no more than those classes do.
        let nginx = cluster("c", 90, "ingress: {className: nginx}");
        assert_eq!(said(&second, &[&nginx], &["b", "c"]), None);
    }

    #[test]
    fn an_ingress_of_somebody_else_that_was_there_first_stays_alone() {
        let stranger = |path: &str| {
            let mut theirs = ingress("", "contour", "theirs");
            theirs.data["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!(path);
            let has = of_live(&theirs);
            Neighbour {
                kind: "Ingress".into(),
                namespace: "web".into(),
                name: "shop".into(),
                has,
                ..Default::default()
            }
        };
        let told = |path: &str, own: Option<DynamicObject>| {
            let there = own.map(|live| (("Ingress".to_owned(), "chat".to_owned()), live));
            let observed = Observed {
                neighbours: vec![stranger(path)],
                there: there.into_iter().collect(),
                ..Default::default()
            };
            taken(&validate(&cluster("a", 60, "{}")).unwrap(), &observed).len()
        };
        assert_eq!(told("/", None), 1);
        assert_eq!(told("/shop", None), 0, "another path of the host");
        assert_eq!(told("/", Some(ingress("", "contour", "uid-a"))), 0, "we were first");
    }

    #[test]
    fn routes_of_one_listener_are_told_apart_by_host() {
        let with = |namespace: &str, age: i64, rest: &str| {
            let parent = "parentRefs: [{name: gate, namespace: edge}]";
            cluster(namespace, age, &format!("ingress: {{enabled: false}}\ngatewayAPI: {{{parent}{rest}}}"))
        };
        let told = |of: &OpenIMCluster, other: &OpenIMCluster| {
            let neighbours = vec![Neighbour::of(other, vec![])];
            let observed = Observed { neighbours, ..Default::default() };
            taken(&validate(of).unwrap(), &observed).into_keys().collect::<Vec<_>>()
        };
        let first = with("a", 60, ", hostnames: [a.example.org, b.example.org]");
        assert_eq!(told(&with("b", 30, ", hostnames: [b.example.org]"), &first), [Kind::Route]);
        assert_eq!(told(&first, &with("b", 30, ", hostnames: [b.example.org]")), []);
        assert_eq!(told(&with("b", 30, ""), &first), []);
    }

    proptest! {
        /// However many want the same, and whoever has it: one gets it, and when it has it nothing changes any more.
        #[test]
        fn exactly_one_gets_it_and_keeps_it(ages in prop::collection::vec(0..4_i64, 2..6), live in prop::collection::vec(any::<bool>(), 6)) {
            let names: Vec<String> = (0..ages.len()).map(|number| format!("n{number}")).collect();
            let all: Vec<OpenIMCluster> = names.iter().zip(&ages).map(|(name, age)| cluster(name, *age, "{}")).collect();
            let winners = |live: &[&str]| -> Vec<&str> {
                let others = |of: &str| all.iter().filter(|other| other.namespace().unwrap() != of).collect::<Vec<_>>();
                names.iter().zip(&all).filter(|(name, of)| said(of, &others(name), live).is_none()).map(|(name, _)| name.as_str()).collect()
            };
            let now: Vec<&str> = names.iter().zip(&live).filter(|(_, live)| **live).map(|(name, _)| name.as_str()).collect();
            let first = winners(&now);
            prop_assert_eq!(first.len(), 1);
            prop_assert!(now.is_empty() || now.contains(&first[0]));
            prop_assert_eq!(winners(&first), first);
        }
    }
}
