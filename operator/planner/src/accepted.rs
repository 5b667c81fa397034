//! Whether the Gateways that a cluster names accept its HTTPRoute, from the status of the route. Pure.

use crds::Reason;
use serde_json::Value;

use crate::model::{cluster::Cluster, observed::Observed, plan::Blocker};

/// What the first Gateway that does not accept the HTTPRoute says; `None` while none has said anything.
pub fn refused(cluster: &Cluster, observed: &Observed) -> Option<Blocker> {
    cluster.spec.gateway_api.as_ref()?;
    let route = observed.there.get(&("HTTPRoute".to_owned(), cluster.name.clone()))?;
    let generation = route.metadata.generation;
    let parents = route.data["status"]["parents"].as_array()?;
    parents.iter().find_map(|parent| {
        let refusal = parent["conditions"].as_array()?.iter().find(|condition| {
            let is_about_this =
                generation.is_none() || condition["observedGeneration"].as_i64() == generation;
            condition["type"] == "Accepted" && condition["status"] == "False" && is_about_this
        })?;
        Some(blocker(&parent["parentRef"], refusal))
    })
}

fn blocker(gateway: &Value, refusal: &Value) -> Blocker {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (reason, message) = (text(&refusal["reason"]), text(&refusal["message"]));
    Blocker {
        component: "ingress".into(),
        reason: Reason::DependencyNotReady,
        message: format!(
            "spec.gatewayAPI: Gateway {} does not accept the HTTPRoute ({reason}: {}): use one of its listeners and hosts, or let it accept routes of this namespace",
            text(&gateway["name"]),
            message.trim_end_matches('.'),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validate::{tests::object, validate};

    #[test]
    fn a_gateway_that_refuses_the_route_is_named() {
        let cluster = validate(&object("gatewayAPI: {parentRefs: [{name: gate}]}")).unwrap();
        let said = |status: &str, generation: i64| {
            let condition = json!({
                "type": "Accepted", "status": status, "reason": "NoMatchingListenerHostname", "message": "no such host.",
                "observedGeneration": generation,
            });
            let parents = json!([{ "parentRef": { "name": "gate" }, "conditions": [condition] }]);
            let route = serde_json::from_value(json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                "metadata": { "name": "chat", "generation": 2 }, "status": { "parents": parents },
            }));
            let there = [(("HTTPRoute".to_owned(), "chat".to_owned()), route.unwrap())].into();
            refused(&cluster, &Observed { there, ..Default::default() })
        };
        let told = said("False", 2).unwrap().message;
        assert!(
            told.contains(
                "Gateway gate does not accept the HTTPRoute (NoMatchingListenerHostname: no such host)"
            ),
            "{told}"
        );
        assert_eq!(said("True", 2), None);
        assert_eq!(said("False", 1), None, "about what was there before");
        assert_eq!(refused(&cluster, &Observed::default()), None);
    }
}
