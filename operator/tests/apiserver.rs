//! Conversations with a mock Kubernetes API server: every request the operator makes is answered in order and checked, so that what
//! it reads, writes, refuses and leaves alone is seen byte for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
};

use crds::{OpenIMCluster, OpenIMClusterSpec};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::{
    Api, Client,
    api::{DynamicObject, TypeMeta},
    client::Body,
    core::DeserializeGuard,
};
use operator::{
    apply::{self, Applied, ApplyError, sent::Sent},
    controller::lease::Candidate,
};
use planner::{
    credentials,
    model::{cluster::Cluster, observed::Observed, plan::Plan, secret},
    plan::plan,
    rotation_steps, secret_rotation,
    validate::validate,
};
use serde_json::{Value, json};

/// One request that must come, and its answer.
struct Exchange {
    method: Method,
    /// The path and query must contain all of these.
    contains: Vec<&'static str>,
    status: u16,
    answer: Value,
    /// Looks at the request's body.
    check: Box<dyn Fn(&Value)>,
}

impl Exchange {
    fn new(method: Method, contains: &[&'static str], status: u16, answer: Value) -> Self {
        Self { method, contains: contains.to_vec(), status, answer, check: Box::new(|_| {}) }
    }

    fn checking(mut self, check: impl Fn(&Value) + 'static) -> Self {
        self.check = Box::new(check);
        self
    }
}

fn refusal(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason})
}

fn not_found() -> Value {
    refusal(404, "NotFound")
}

/// Runs `work` against an API server that expects exactly these exchanges.
async fn converse<T, F: Future<Output = T>>(script: Vec<Exchange>, work: impl FnOnce(Client) -> F) -> T {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "team");
    let server = async move {
        let mut handle = pin!(handle);
        for (number, exchange) in script.into_iter().enumerate() {
            let (request, send) = handle.next_request().await.expect("the conversation ended too early");
            let (parts, body) = request.into_parts();
            let target = parts.uri.to_string();
            assert_eq!(parts.method, exchange.method, "exchange {number}: {target}");
            for part in &exchange.contains {
                assert!(target.contains(part), "exchange {number}: {target} lacks {part}");
            }
            let body = body.collect().await.expect("a body").to_bytes();
            (exchange.check)(&serde_json::from_slice(&body).unwrap_or(Value::Null));
            let answer = serde_json::to_vec(&exchange.answer).expect("an answer");
            send.send_response(
                Response::builder().status(exchange.status).body(Body::from(answer)).expect("a response"),
            );
        }
        assert!(handle.next_request().await.is_none(), "more requests than the conversation has");
    };
    let (outcome, ()) = futures::join!(work(client), server);
    outcome
}

fn cluster(spec: &str) -> Cluster {
    let spec: OpenIMClusterSpec = serde_yaml_ng::from_str(spec).expect("a spec");
    let mut object = OpenIMCluster::new("chat", spec);
    object.metadata.namespace = Some("team".into());
    object.metadata.uid = Some("uid-of-chat".into());
    object.metadata.generation = Some(1);
    validate(&object).expect("a good object")
}

fn config_map(data: &str) -> DynamicObject {
    let types = TypeMeta { api_version: "v1".into(), kind: "ConfigMap".into() };
    let mut object = DynamicObject {
        types: Some(types),
        metadata: Default::default(),
        data: json!({"data": {"a": data}}),
    };
    object.metadata.name = Some("chat-config".into());
    object.metadata.namespace = Some("team".into());
    object
}

fn live(data: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": data},
        "metadata": {"name": "chat-config", "namespace": "team", "uid": "u1", "ownerReferences": [
            {"apiVersion": "openim.io/v1alpha1", "kind": "OpenIMCluster", "name": "chat", "uid": owner}
        ]},
    })
}

/// As the API server keeps it, with a value that a newer definition allows.
fn unreadable(status: Value) -> Value {
    json!({
        "apiVersion": "openim.io/v1alpha1", "kind": "OpenIMCluster", "status": status,
        "metadata": {"name": "chat", "namespace": "team", "uid": "uid-of-chat", "generation": 4},
        "spec": {"pods": {"spread": "Sometimes"}},
    })
}

/// The operator may list clusters, but not get one.
fn listed(cluster: Value) -> Exchange {
    let list = json!({"apiVersion": "openim.io/v1alpha1", "kind": "OpenIMClusterList", "metadata": {}, "items": [cluster]});
    Exchange::new(Method::GET, &["/openimclusters?", "fieldSelector=metadata.name%3Dchat"], 200, list)
}

#[tokio::test]
async fn a_pod_that_is_gone_is_not_created_by_a_note() {
    let gone = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
    let patch =
        Exchange::new(Method::PATCH, &["/pods/chat-msg-1", "fieldManager=openim-operator"], 404, gone)
            .checking(|body| assert_eq!(body["apiVersion"], Value::Null, "a merge, not an apply"));
    let behind = BTreeMap::from([("chat-msg-1".to_owned(), String::new())]);
    let cluster = cluster("{}");
    converse(vec![patch], async |client| {
        operator::observe::live_config::nudge(&client, &cluster, &behind, "r").await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_data_needs_is_not_generated_again_when_its_key_is_gone() {
    let mut ran = cluster("{}");
    ran.ran = "1.0.0".into();
    let complete = credentials::complete(&ran, BTreeMap::new());
    let mut less: Vec<BTreeMap<String, String>> = vec![BTreeMap::new()];
    for lost in [secret::key::SECRET, secret::key::MONGO_KEYFILE, secret::FIRST.mongo_password] {
        let mut data = complete.clone();
        data.remove(lost);
        less.push(data);
    }
    for data in less {
        // Nothing is written.
        let script = vec![get_secret(200, secret(&data, "chat"))];
        let outcome = converse(script, async |client| apply::ensure_credentials(&client, &ran).await).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.reason(), crds::Reason::CredentialsGone);
        assert!(error.to_string().contains("its key "), "{error}");
    }
}

#[tokio::test]
async fn a_cluster_that_cannot_be_read_is_told_so_once() {
    let guarded: DeserializeGuard<OpenIMCluster> = serde_json::from_value(unreadable(json!({}))).unwrap();
    let broken = guarded.0.unwrap_err();
    let (seen, written) = (std::cell::RefCell::new(Value::Null), "/openimclusters/chat/status");
    let before =
        json!({"observedGeneration": 3, "version": "1.0.0", "message": "All pods run version 1.0.0."});
    let seen = std::rc::Rc::new(seen);
    let status = seen.clone();
    let script = vec![
        listed(unreadable(before)),
        Exchange::new(Method::PATCH, &[written], 200, unreadable(json!({}))).checking(move |body| {
            *status.borrow_mut() = body["status"].clone();
        }),
    ];
    converse(script, |client| async move {
        operator::controller::unreadable::tell(&client, &broken).await.map(|()| broken)
    })
    .await
    .unwrap();
    let status = seen.borrow().clone();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("Sometimes") && message.contains("correct the field"), "{message}");
    assert_eq!((&status["observedGeneration"], &status["version"]), (&json!(4), &json!("1.0.0")));
    let entry = |kind: &str| {
        let entries = status["conditions"].as_array().unwrap();
        entries.iter().find(|entry| entry["type"] == kind).unwrap().clone()
    };
    assert_eq!((&entry("Ready")["status"], &entry("Stalled")["status"]), (&json!("False"), &json!("True")));
    assert_eq!(entry("Ready")["reason"], "InvalidSpec");

    let guarded: DeserializeGuard<OpenIMCluster> =
        serde_json::from_value(unreadable(status.clone())).unwrap();
    let broken = guarded.0.unwrap_err();
    let script = vec![listed(unreadable(status.clone()))];
    converse(script, |client| async move { operator::controller::unreadable::tell(&client, &broken).await })
        .await
        .unwrap();
}

fn one(object: DynamicObject) -> Plan {
    Plan { apply: vec![object], kept_config: Some(BTreeSet::new()), ..Default::default() }
}

/// The lists of what is there; `config_maps` is the answer for that kind.
fn lists(config_maps: Value) -> Vec<Exchange> {
    let list = |items: Value| json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items});
    [
        "deployments",
        "statefulsets",
        "services",
        "configmaps",
        "ingresses",
        "httproutes",
        "podmonitors",
        "networkpolicies",
        "poddisruptionbudgets",
        "horizontalpodautoscalers",
        "cronjobs",
        "jobs",
        "rolebindings",
        "roles",
        "serviceaccounts",
    ]
    .into_iter()
    .map(|kind| {
        let items = if kind == "configmaps" { config_maps.clone() } else { json!([]) };
        // Not every cluster has the Gateway API and the Prometheus operator.
        let unknown = ["httproutes", "podmonitors"].contains(&kind);
        let (status, answer) = if unknown { (404, not_found()) } else { (200, list(items)) };
        Exchange::new(Method::GET, &[kind, "labelSelector=", "openim.io%2Fcluster%3Dchat"], status, answer)
    })
    .collect()
}

async fn carried_out(client: &Client, cluster: &Cluster, plan: &Plan) -> Result<Applied, ApplyError> {
    let there = apply::there(client, cluster).await.expect("the lists");
    apply::apply(client, cluster, plan, &there, &Sent::default()).await
}

fn get(status: u16, answer: Value) -> Exchange {
    Exchange::new(Method::GET, &["/namespaces/team/configmaps/chat-config"], status, answer)
}

#[tokio::test]
async fn who_may_not_see_rights_sees_the_rest_of_a_cluster() {
    let refused = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "forbidden", "reason": "Forbidden", "code": 403});
    let mut script = lists(json!([live("x", "uid-of-chat")]));
    let seen = script.len() - 3;
    script.truncate(seen);
    script.extend(["rolebindings", "roles", "serviceaccounts"].map(|kind| {
        Exchange::new(
            Method::GET,
            &[kind, "labelSelector=", "openim.io%2Fcluster%3Dchat"],
            403,
            refused.clone(),
        )
    }));
    let there =
        converse(script, |client| async move { apply::there(&client, &cluster("{}")).await }).await.unwrap();
    assert_eq!(there.len(), 1);
}

#[tokio::test]
async fn what_is_missing_is_applied_server_side_as_our_own() {
    let mut script = lists(json!([]));
    script.extend([
        get(404, not_found()),
        Exchange::new(
            Method::PATCH,
            &["/configmaps/chat-config", "fieldManager=openim-operator", "force=true"],
            200,
            live("x", "uid-of-chat"),
        )
        .checking(|body| assert_eq!(body["data"]["a"], "x")),
    ]);
    let cluster = cluster("{}");
    let applied =
        converse(script, async |client| carried_out(&client, &cluster, &one(config_map("x"))).await);
    assert_eq!(applied.await.unwrap().written, ["ConfigMap/chat-config"]);
}

#[tokio::test]
async fn what_is_as_planned_is_not_written() {
    let script = lists(json!([live("x", "uid-of-chat")]));
    let cluster = cluster("{}");
    let applied =
        converse(script, async |client| carried_out(&client, &cluster, &one(config_map("x"))).await);
    assert_eq!(applied.await.unwrap(), Applied::default());
}

#[tokio::test]
async fn a_route_without_the_gateway_api_holds_up_nothing_else() {
    let types = TypeMeta { api_version: "gateway.networking.k8s.io/v1".into(), kind: "HTTPRoute".into() };
    let mut route = DynamicObject { types: Some(types), metadata: Default::default(), data: json!({}) };
    route.metadata.name = Some("chat".into());
    let mut script = lists(json!([]));
    script.extend([
        Exchange::new(Method::GET, &["/httproutes/chat"], 404, not_found()),
        Exchange::new(Method::PATCH, &["/httproutes/chat"], 404, not_found()),
    ]);
    let cluster = cluster("{}");
    let applied = converse(script, async |client| carried_out(&client, &cluster, &one(route)).await);
    let refused = applied.await.unwrap().refused;
    assert!(refused[0].message.contains("install the Gateway API"), "{refused:?}");
}

#[tokio::test]
async fn a_number_of_pods_that_kubernetes_has_set_is_left_to_it() {
    let object = |kind: &str, api: &str, spec: Value| {
        let types = TypeMeta { api_version: api.into(), kind: kind.into() };
        let mut object =
            DynamicObject { types: Some(types), metadata: Default::default(), data: json!({"spec": spec}) };
        object.metadata.name = Some("chat-msg".into());
        object
    };
    let deployment = object("Deployment", "apps/v1", json!({"replicas": 2, "paused": false}));
    let scaler = object(
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        json!({"scaleTargetRef": {"kind": "Deployment", "name": "chat-msg"}}),
    );
    for (scaled, sent) in [(true, Value::Null), (false, json!(2))] {
        let fields = json!({"f:spec": {"f:replicas": {}}});
        let managed_fields = if scaled {
            json!([{"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "fieldsV1": fields}])
        } else {
            json!([])
        };
        let live = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "chat-msg", "uid": "d", "ownerReferences": [
                {"apiVersion": "openim.io/v1alpha1", "kind": "OpenIMCluster", "name": "chat",
                    "uid": "uid-of-chat"}
            ], "managedFields": managed_fields},
            "spec": {"replicas": 5, "paused": true},
        });
        let mut script = lists(json!([]));
        script.extend([
            Exchange::new(Method::GET, &["/deployments/chat-msg"], 200, live.clone()),
            Exchange::new(Method::PATCH, &["/deployments/chat-msg"], 200, live)
                .checking(move |body| assert_eq!(body["spec"]["replicas"], sent)),
            Exchange::new(Method::GET, &["/horizontalpodautoscalers/chat-msg"], 404, not_found()),
            Exchange::new(
                Method::PATCH,
                &["/horizontalpodautoscalers/chat-msg"],
                201,
                json!(
                    {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                        "metadata": {"name": "chat-msg"}}
                ),
            ),
        ]);
        let cluster = cluster("{}");
        let mut plan = one(deployment.clone());
        plan.apply.push(scaler.clone());
        converse(script, async |client| carried_out(&client, &cluster, &plan).await).await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_of_what_nothing_needs_does_not_stop_the_rest() {
    let types = TypeMeta { api_version: "networking.k8s.io/v1".into(), kind: "Ingress".into() };
    let mut ingress = DynamicObject { types: Some(types), metadata: Default::default(), data: json!({}) };
    ingress.metadata.name = Some("chat".into());
    let mut denied = refusal(403, "Forbidden");
    denied["message"] = json!("admission webhook \"policy\" denied the request: no Ingress here");
    let mut script = lists(json!([]));
    script.extend([
        Exchange::new(Method::GET, &["/ingresses/chat"], 404, not_found()),
        Exchange::new(Method::PATCH, &["/ingresses/chat"], 403, denied),
        get(404, not_found()),
        Exchange::new(Method::PATCH, &["/configmaps/chat-config"], 201, live("x", "uid-of-chat")),
    ]);
    let cluster = cluster("{}");
    let mut plan = one(ingress);
    plan.apply.push(config_map("x"));
    let applied = converse(script, async |client| carried_out(&client, &cluster, &plan).await).await.unwrap();
    assert_eq!(applied.written, ["ConfigMap/chat-config"]);
    let [told] = applied.invalid.try_into().unwrap();
    assert_eq!(told.reason.as_str(), "Refused");
    assert!(
        told.message.starts_with("Ingress/chat: ") && told.message.contains("no Ingress here"),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_touched() {
    let met = async |found: Value| {
        let mut script = lists(json!([]));
        script.push(get(200, found));
        let cluster = cluster("{}");
        let applied =
            converse(script, async |client| carried_out(&client, &cluster, &one(config_map("x"))).await);
        applied.await.unwrap_err()
    };
    let mut theirs = live("theirs", "another-uid");
    let error = met(theirs.clone()).await;
    assert!(matches!(&error, ApplyError::Leftover { what } if what == "ConfigMap/chat-config"), "{error}");
    theirs["metadata"]["ownerReferences"][0]["name"] = json!("another");
    let error = met(theirs).await;
    assert!(matches!(&error, ApplyError::Foreign { what } if what == "ConfigMap/chat-config"), "{error}");
    assert!(error.to_string().contains("rename the cluster or remove the object"));
}

#[tokio::test]
async fn orphans_are_removed_and_only_ours_and_only_as_they_were_seen() {
    let orphan = |name: &str, uid: &str, owner: &str| {
        json!({"metadata": {"name": name, "namespace": "team", "uid": uid, "ownerReferences": [
            {"apiVersion": "openim.io/v1alpha1", "kind": "OpenIMCluster", "name": "chat", "uid": owner}
        ]}})
    };
    let found = json!([
        live("x", "uid-of-chat"),
        orphan("old", "u7", "uid-of-chat"),
        orphan("theirs", "u8", "another-uid")
    ]);
    let mut script = lists(found);
    let delete = Exchange::new(Method::DELETE, &["/configmaps/old"], 404, not_found());
    script.push(delete.checking(|body| assert_eq!(body["preconditions"]["uid"], "u7")));
    let cluster = cluster("{}");
    let applied =
        converse(script, async |client| carried_out(&client, &cluster, &one(config_map("x"))).await);
    // It was gone already when it was to be removed: nothing to report, nothing failed.
    assert_eq!(applied.await.unwrap(), Applied::default());
}

#[tokio::test]
async fn a_refusing_api_server_is_an_error_that_names_the_object() {
    for (code, reason) in
        [(429, "TooManyRequests"), (500, "InternalError"), (403, "Forbidden"), (409, "Conflict")]
    {
        let mut script = lists(json!([]));
        script.extend([
            get(404, not_found()),
            Exchange::new(Method::PATCH, &["/configmaps/chat-config"], code, refusal(code, reason)),
        ]);
        let cluster = cluster("{}");
        let applied =
            converse(script, async |client| carried_out(&client, &cluster, &one(config_map("x"))).await);
        let error = applied.await.unwrap_err().to_string();
        assert!(error.starts_with("ConfigMap/chat-config: ") && error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn what_only_the_api_server_refuses_is_told_in_its_words_and_by_its_field() {
    let types = TypeMeta { api_version: "networking.k8s.io/v1".into(), kind: "Ingress".into() };
    let mut ingress = DynamicObject { types: Some(types), metadata: Default::default(), data: json!({}) };
    ingress.metadata.name = Some("chat".into());
    ingress.metadata.labels = Some([("app.kubernetes.io/component".to_owned(), "ingress".to_owned())].into());
    let mut answer = refusal(422, "Invalid");
    answer["message"] =
        json!("Ingress.networking.k8s.io \"chat\" is invalid: spec.rules[0].host: Invalid value");
    let cause = json!({"reason": "FieldValueInvalid", "field": "spec.rules[0].host", "message": "Invalid value: \"Chat\": a lowercase name"});
    answer["details"] = json!({"causes": [cause]});
    let mut script = lists(json!([]));
    script.extend([
        Exchange::new(Method::GET, &["/ingresses/chat"], 404, not_found()),
        Exchange::new(Method::PATCH, &["/ingresses/chat"], 422, answer.clone()),
        // Nothing needs an Ingress: the others are applied.
        get(404, not_found()),
        Exchange::new(Method::PATCH, &["/configmaps/chat-config"], 422, answer),
    ]);
    let cluster = cluster("{}");
    let mut plan = one(ingress);
    let mut never = config_map("y");
    never.metadata.name = Some("after".into());
    plan.apply.extend([config_map("x"), never]);
    let applied = converse(script, async |client| carried_out(&client, &cluster, &plan).await).await;
    let [first, second] = applied.unwrap().invalid.try_into().unwrap();
    assert_eq!((first.component.as_str(), first.reason.as_str()), ("ingress", "InvalidSpec"));
    assert_eq!(
        first.message,
        "the API server rejects Ingress/chat: spec.rules[0].host: Invalid value: \"Chat\": a lowercase name"
    );
    assert!(second.message.starts_with("the API server rejects ConfigMap/chat-config: "), "{second:?}");
}

fn secret(data: &BTreeMap<String, String>, cluster_label: &str) -> Value {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let data: BTreeMap<&String, String> =
        data.iter().map(|(key, value)| (key, BASE64_STANDARD.encode(value))).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
        "metadata": {"name": "chat-credentials", "namespace": "team", "uid": "s1", "resourceVersion": "9",
            "labels": {"openim.io/cluster": cluster_label}, "annotations": {
                apply::MADE_FOR: "uid-of-chat",
                "argocd.argoproj.io/sync-options": "Prune=false",
                "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
            }},
    })
}

fn get_secret(status: u16, answer: Value) -> Exchange {
    Exchange::new(Method::GET, &["/namespaces/team/secrets/chat-credentials"], status, answer)
}

#[tokio::test]
async fn credentials_are_generated_by_a_create_that_overwrites_nothing() {
    let created = |body: &Value| {
        assert_eq!(body["metadata"]["name"], "chat-credentials");
        assert!(body["data"]["secret"].as_str().is_some_and(|text| text.len() >= 16));
        assert!(body["data"]["api-secret"].is_string(), "back ends hold another secret than the services");
        assert_ne!(body["data"]["api-secret"], body["data"]["secret"]);
        assert!(body["data"]["internal-tls.crt"].is_string(), "a new cluster speaks TLS");
        assert_eq!(
            body["metadata"]["ownerReferences"],
            Value::Null,
            "retained volumes need their credentials"
        );
        let notes = &body["metadata"]["annotations"];
        assert_eq!(notes["argocd.argoproj.io/sync-options"], "Prune=false", "it has no owner");
    };
    let script = vec![
        get_secret(404, not_found()),
        list_claims(json!([])),
        Exchange::new(Method::POST, &["/namespaces/team/secrets"], 409, refusal(409, "AlreadyExists"))
            .checking(created),
    ];
    let cluster = cluster("{}");
    let outcome = converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await;
    // Another replica was faster: its values count, on the next pass.
    assert!(outcome.unwrap_err().to_string().contains("AlreadyExists"));
}

#[tokio::test]
async fn complete_credentials_are_left_alone() {
    let cluster = cluster("{}");
    let data = credentials::complete(&cluster, BTreeMap::new());
    let script = vec![get_secret(200, secret(&data, "chat"))];
    let found = converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await;
    assert_eq!(found.unwrap(), data);
}

#[tokio::test]
async fn a_cluster_that_exists_stays_without_tls_and_with_one_secret() {
    let data = credentials::complete(&cluster("{}"), BTreeMap::new());
    for spec in ["{}", "internalTLS: Disabled", "internalTLS: Required"] {
        let mut cluster = cluster(spec);
        cluster.ran = "1.0.0".into();
        let script = vec![get_secret(200, secret(&data, "chat"))];
        let found = converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await;
        assert_eq!(found.unwrap(), data, "{spec}");
        let observed = Observed { credentials: data.clone(), ..Default::default() };
        let plan = plan(&cluster, &observed);
        let told = plan.blockers.iter().any(|blocker| blocker.message.contains("created without TLS"));
        assert_eq!(told, spec.ends_with("Required"), "{spec}");
    }
}

#[tokio::test]
async fn a_cluster_without_tls_is_made_where_that_is_asked_for() {
    let created = |body: &Value| assert_eq!(body["data"]["internal-tls.crt"], Value::Null);
    let create =
        Exchange::new(Method::POST, &["/namespaces/team/secrets"], 201, secret(&BTreeMap::new(), "chat"));
    let script = vec![get_secret(404, not_found()), list_claims(json!([])), create.checking(created)];
    let cluster = cluster("internalTLS: Disabled");
    converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await.unwrap();
}

#[tokio::test]
async fn a_step_to_other_secrets_overwrites_nothing_that_it_has_not_seen() {
    let cluster = cluster("secretRotation: '2026'");
    let before = credentials::complete(&cluster, BTreeMap::new());
    let after =
        secret_rotation::taken(&cluster, &before, rotation_steps::Step::Begin, jiff::Timestamp::UNIX_EPOCH);
    let stored = secret(&before, "chat")["data"]["secret"].clone();
    let replace = Exchange::new(Method::PUT, &["/secrets/chat-credentials"], 200, secret(&after, "chat"));
    let script = vec![
        get_secret(200, secret(&before, "chat")),
        replace.checking(move |body| {
            assert_eq!(body["data"]["secret"], stored, "it stays in use");
            assert!(body["data"]["secret-other"].is_string() && body["data"]["api-secret-other"].is_string());
            assert_eq!(body["metadata"]["resourceVersion"], "9");
        }),
        get_secret(200, secret(&after, "chat")),
    ];
    converse(script, async |client| {
        apply::replace_credentials(&client, &cluster, &before, &after).await.unwrap();
        // Another operator was faster.
        let again = apply::replace_credentials(&client, &cluster, &before, &after).await;
        assert!(matches!(again, Err(ApplyError::Changed { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_missing_password_is_added_and_the_others_stay() {
    let cluster = cluster("{}");
    let complete = credentials::complete(&cluster, BTreeMap::new());
    let mut partial = complete.clone();
    partial.remove(secret::FIRST.app.kafka_password);
    let stored = secret(&partial, "chat")["data"]["secret"].clone();
    let replace = Exchange::new(Method::PUT, &["/secrets/chat-credentials"], 200, secret(&complete, "chat"))
        .checking(move |body| {
            assert_eq!(body["data"]["secret"], stored);
            assert!(body["data"]["kafka-app-password"].is_string());
            assert_eq!(body["metadata"]["resourceVersion"], "9", "a concurrent change must win");
        });
    let script = vec![get_secret(200, secret(&partial, "chat")), replace];
    let found = converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await;
    assert_eq!(found.unwrap()[secret::key::SECRET], complete[secret::key::SECRET]);
}

#[tokio::test]
async fn a_secret_of_another_cluster_is_refused() {
    let script = vec![get_secret(200, secret(&BTreeMap::new(), "another"))];
    let cluster = cluster("{}");
    let outcome = converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await;
    assert!(matches!(outcome, Err(ApplyError::Foreign { .. })));
}

/// A Secret that has the cluster's label and was made for another object of its name, or for nobody.
fn labelled(made_for: Option<&str>) -> Value {
    let mut secret = secret(&credentials::complete(&cluster("{}"), BTreeMap::new()), "chat");
    secret["metadata"]["annotations"] = made_for.map_or(json!({}), |uid| json!({ apply::MADE_FOR: uid }));
    secret
}

fn list_claims(claims: Value) -> Exchange {
    let answer =
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaimList", "metadata": {}, "items": claims});
    Exchange::new(
        Method::GET,
        &["/namespaces/team/persistentvolumeclaims", "openim.io%2Fcluster%3Dchat"],
        200,
        answer,
    )
}

#[tokio::test]
async fn credentials_are_not_made_anew_beside_what_only_the_old_ones_open() {
    let claim = |metadata: Value| list_claims(json!([{"metadata": metadata}]));
    let stays = claim(json!({"name": "data-chat-mongodb-0"}));
    let mut ran = cluster("{}");
    ran.ran = "1.0.0".into();
    for (cluster, script) in [(cluster("{}"), vec![stays]), (ran.clone(), vec![])] {
        let script = [get_secret(404, not_found())].into_iter().chain(script).collect();
        let outcome =
            converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await;
        let error = outcome.unwrap_err();
        assert!(error.needs_an_edit() && error.reason() == crds::Reason::CredentialsGone);
        assert!(error.to_string().contains("openim.io/new-credentials=$(date"), "{error}");
    }
    let created =
        || Exchange::new(Method::POST, &["/namespaces/team/secrets"], 201, secret(&BTreeMap::new(), "chat"));
    // The volumes are on their way out, as after `volumes: Delete`.
    let goes = claim(json!({"name": "data-chat-mongodb-0", "deletionTimestamp": "2026-01-01T00:00:00Z"}));
    let script = vec![get_secret(404, not_found()), goes, created()];
    let fresh = cluster("{}");
    converse(script, async |client| apply::ensure_credentials(&client, &fresh).await).await.unwrap();
    // Somebody insists; an hour later that counts no more.
    ran.new_credentials = jiff::Timestamp::now().to_string();
    let script = vec![get_secret(404, not_found()), created()];
    converse(script, async |client| apply::ensure_credentials(&client, &ran).await).await.unwrap();
    ran.new_credentials = "2026-01-01T00:00:00Z".into();
    let script = vec![get_secret(404, not_found())];
    let outcome = converse(script, async |client| apply::ensure_credentials(&client, &ran).await).await;
    assert!(outcome.is_err());
}

#[tokio::test]
async fn a_secret_is_not_taken_over_for_its_label_alone() {
    for made_for in [None, Some("another")] {
        let script = vec![get_secret(200, labelled(made_for)), list_claims(json!([]))];
        let cluster = cluster("{}");
        let outcome =
            converse(script, async |client| apply::ensure_credentials(&client, &cluster).await).await;
        let error = outcome.unwrap_err();
        assert!(error.needs_an_edit());
        assert!(error.to_string().contains("openim.io/made-for=uid-of-chat"), "{error}");
    }
}

#[tokio::test]
async fn a_secret_is_taken_over_with_the_volumes_that_it_opens_and_by_the_cluster_that_ran_with_it() {
    let noted = |body: &Value| assert_eq!(body["metadata"]["annotations"][apply::MADE_FOR], "uid-of-chat");
    let replace = || {
        Exchange::new(Method::PUT, &["/secrets/chat-credentials"], 200, labelled(Some("uid-of-chat")))
            .checking(noted)
    };
    let claim = json!([{"metadata": {"name": "data-chat-mongodb-0"}}]);
    let retained = vec![get_secret(200, labelled(Some("another"))), list_claims(claim), replace()];
    let cluster = cluster("{}");
    let found = converse(retained, async |client| apply::ensure_credentials(&client, &cluster).await).await;
    assert!(found.is_ok(), "{found:?}");
    let before = vec![get_secret(200, labelled(None)), replace()];
    let mut ran = cluster.clone();
    ran.ran = "0.1.0".into();
    let found = converse(before, async |client| apply::ensure_credentials(&client, &ran).await).await;
    assert!(found.is_ok(), "{found:?}");
}

fn lease(holder: &str, renewed: &str, version: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "op", "namespace": "team", "resourceVersion": version},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 10, "leaseTransitions": 4},
    })
}

fn get_lease(status: u16, answer: Value) -> Exchange {
    Exchange::new(Method::GET, &["/leases/op"], status, answer)
}

fn candidate(client: Client) -> Candidate {
    Candidate::new(Api::namespaced(client, "team"), "op", "me")
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_is_taken_over_after_its_time_and_not_before() {
    const RENEWED: &str = "2026-01-01T00:00:00.000000Z";
    // Asked every 2 s; 10 s must pass by our own clock.
    let mut script: Vec<Exchange> = (0..5).map(|_| get_lease(200, lease("other", RENEWED, "7"))).collect();
    script.push(get_lease(200, lease("other", RENEWED, "7")));
    script.push(Exchange::new(Method::PUT, &["/leases/op"], 200, lease("me", RENEWED, "8")).checking(
        |body| {
            assert_eq!(body["spec"]["holderIdentity"], "me");
            assert_eq!(body["spec"]["leaseTransitions"], 5);
            assert_eq!(body["metadata"]["resourceVersion"], "7");
        },
    ));
    let started = tokio::time::Instant::now();
    converse(script, async |client| candidate(client).lead().await).await;
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_renews_is_left_in_peace_and_a_lost_race_is_lost() {
    let script = vec![
        get_lease(200, lease("other", "2026-01-01T00:00:00.000000Z", "7")),
        get_lease(200, lease("other", "2026-01-01T00:00:03.000000Z", "8")),
        get_lease(404, not_found()),
        Exchange::new(Method::POST, &["/leases"], 409, refusal(409, "AlreadyExists")),
        get_lease(500, refusal(500, "InternalError")),
        get_lease(200, lease("", "2026-01-01T00:00:03.000000Z", "9")),
        Exchange::new(Method::PUT, &["/leases/op"], 409, refusal(409, "Conflict")),
        get_lease(200, lease("", "2026-01-01T00:00:03.000000Z", "10")),
        Exchange::new(Method::PUT, &["/leases/op"], 200, lease("me", "2026-01-01T00:00:09.000000Z", "11")),
    ];
    converse(script, async |client| candidate(client).lead().await).await;
}
