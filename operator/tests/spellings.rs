//! However amounts are spelled and whatever is empty, and whatever admission makes of it: what was applied once is not written again. Against a
//! stand-in that keeps objects as the API server of Kubernetes does.

use std::{collections::BTreeMap, future::Future, pin::pin};

use crds::{Dependency, OpenIMCluster, OpenIMClusterSpec};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::{Client, ResourceExt, client::Body, core::Status};
use operator::apply::{self, Applied, sent::Sent};
use planner::{
    credentials,
    model::{cluster::Cluster, observed::Observed, plan::Plan},
    plan::plan,
    validate::validate,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Objects by collection and name.
#[derive(Default)]
struct Server {
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    patches: usize,
    /// Admission gives every container this CPU request.
    cpu: Option<&'static str>,
}

/// As the API server spells an amount.
fn canonical(text: &str) -> String {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits.parse().expect("a number");
    let suffix = &text[digits.len()..];
    let powers = |list: &[(&str, f64)], value: f64| {
        let exact = list.iter().find(|(_, size)| value >= *size && value % size == 0.0);
        exact.map(|(name, size)| format!("{}{name}", value / size))
    };
    let binary = [("Gi", 1024_f64.powi(3)), ("Mi", 1024_f64.powi(2)), ("Ki", 1024.0)];
    if let Some((_, size)) = binary.iter().find(|(name, _)| *name == suffix) {
        return powers(&binary, number * size).unwrap_or_else(|| (number * size).to_string());
    }
    let decimal = [("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3)];
    let size = decimal.iter().find(|(name, _)| *name == suffix).map_or(1.0, |(_, size)| *size);
    // Nothing is less than a thousandth. What has no suffix and is whole stays as it is written.
    let milli = (number * size * 1e3).ceil();
    if suffix.is_empty() && milli % 1e3 == 0.0 && !text.contains('e') {
        return text.to_owned();
    }
    powers(&decimal[..4], milli / 1e3).unwrap_or_else(|| format!("{milli}m"))
}

/// What of an object is kept.
fn kept(value: &Value, path: &str) -> Option<Value> {
    let is_dropped = value == "" && (path.ends_with(".env.value") || path.contains(".tolerations."))
        || value == 0 && path.ends_with(".minReadySeconds")
        || *value == json!([]) && path.contains(".affinity.");
    if is_dropped {
        return None;
    }
    Some(match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(name, inner)| Some((name.clone(), kept(inner, &format!("{path}.{name}"))?)))
            .collect(),
        Value::Array(items) => items.iter().filter_map(|item| kept(item, path)).collect(),
        Value::String(text) if path.contains(".resources.") => canonical(text).into(),
        other => other.clone(),
    })
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => into.clone_from(from),
    }
}

impl Server {
    fn apply(&mut self, key: (String, String), sent: &Value) -> Value {
        self.patches += 1;
        let mut wanted = kept(sent, "").expect("an object");
        let containers = wanted.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
        if let Some(cpu) = self.cpu {
            for container in containers.into_iter().flatten() {
                container["resources"]["requests"]["cpu"] = json!(cpu);
            }
        }
        let before = self.objects.get(&key).cloned();
        let mut after = before.clone().unwrap_or_else(|| json!({"metadata": {"uid": key.1}}));
        merge(&mut after, &wanted);
        if before.as_ref() != Some(&after) {
            self.version += 1;
            after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        }
        self.objects.insert(key, after.clone());
        after
    }

    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let mut parts = path.rsplit("/namespaces/team/").next().unwrap_or_default().split('/');
        let (collection, name) = (parts.next().unwrap_or_default().to_owned(), parts.next());
        let Some(name) = name.map(str::to_owned) else {
            let all = self.objects.iter().filter(|((of, _), _)| *of == collection);
            let items: Vec<&Value> = all.map(|(_, object)| object).collect();
            return (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}));
        };
        let key = (collection, name);
        if method == Method::PATCH {
            return (200, self.apply(key, &serde_json::from_slice(body).expect("JSON")));
        }
        let not_found = || json!(Status { code: 404, reason: "NotFound".into(), ..Default::default() });
        self.objects.get(&key).map_or_else(|| (404, not_found()), |object| (200, object.clone()))
    }

    async fn serve<T, F: Future<Output = T>>(&mut self, work: impl FnOnce(Client) -> F) -> T {
        let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "team");
        let server = async move {
            let mut handle = pin!(handle);
            while let Some((request, send)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                let (status, answer) = self.answer(&parts.method, parts.uri.path(), &body);
                let answer = Body::from(serde_json::to_vec(&answer).expect("an answer"));
                send.send_response(Response::builder().status(status).body(answer).expect("a response"));
            }
        };
        futures::join!(work(client), server).0
    }

    /// One pass, and how many objects were sent.
    async fn pass(&mut self, cluster: &Cluster, plan: &Plan, sent: &Sent) -> (Applied, usize) {
        let before = self.patches;
        let applied = self.serve(|client| async move {
            let there = apply::there(&client, cluster).await.expect("the lists");
            apply::apply(&client, cluster, plan, &there, sent).await.expect("applied")
        });
        (applied.await, self.patches - before)
    }
}

fn cluster(spec: &str) -> Cluster {
    let spec: OpenIMClusterSpec = serde_yaml_ng::from_str(spec).expect("a spec");
    let mut object = OpenIMCluster::new("chat", spec);
    object.metadata.namespace = Some("team".into());
    object.metadata.uid = Some("uid-of-chat".into());
    validate(&object).expect("a good object")
}

/// Everything that a cluster is made of.
fn whole(cluster: &Cluster) -> Plan {
    let dependency = |name: &str| Dependency { name: name.into(), reachable: true, ..Default::default() };
    let mut observed = Observed {
        credentials: credentials::complete(cluster, BTreeMap::new()),
        dependencies: ["mongodb", "redis", "kafka"].map(dependency).into(),
        ..Default::default()
    };
    let is_job = |kind: &str| kind == "Job";
    let first = plan(cluster, &observed);
    let job = first.objects().find(|object| object.types.as_ref().is_some_and(|types| is_job(&types.kind)));
    observed.finished_jobs.extend(job.map(ResourceExt::name_any));
    plan(cluster, &observed)
}

fn any_spec() -> impl Strategy<Value = String> {
    let cpu = prop::sample::select(vec!["0.5", "500m", "1000m", "1", ".25", "0.1m", "+1", "010", "1500m"]);
    let memory = prop::sample::select(vec!["64Mi", "65536Ki", "1.5Gi", "1024Mi", "2000M", "1e9", "0.5Gi"]);
    let text = prop::sample::select(vec!["", "x"]);
    (cpu, memory, text, 0..3_i32).prop_map(|(cpu, memory, text, soak)| {
        let amounts = format!("{{cpuRequest: '{cpu}', memoryRequest: '{memory}', memoryLimit: 4096Mi}}");
        format!(
            "rollout: {{soakSeconds: {soak}}}\n\
             services: {{api: {{resources: {amounts}, env: {{A: '{text}'}}}}}}\n\
             mongodb: {{managed: {{resources: {amounts}}}}}\n\
             pods: {{tolerations: [{{key: chat, operator: Exists, value: '{text}'}}], \
             annotations: {{note: '{text}'}}, \
             affinity: {{podAntiAffinity: {{preferredDuringSchedulingIgnoredDuringExecution: []}}}}}}"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_was_applied_is_not_written_again(spec in any_spec(), cpu in prop::option::of(Just("250m"))) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let cluster = cluster(&spec);
            let plan = whole(&cluster);
            let (mut server, sent) = (Server { cpu, ..Default::default() }, Sent::default());
            let (first, _) = server.pass(&cluster, &plan, &sent).await;
            assert!(first.written.len() > 40, "{}", first.written.len());
            assert_eq!(server.pass(&cluster, &plan, &sent).await, (Applied::default(), 0), "{spec}");
            // An operator that has just started knows of nothing that was sent: it asks once, and that is no write.
            let fresh = Sent::default();
            assert_eq!(server.pass(&cluster, &plan, &fresh).await.0, Applied::default(), "{spec}");
            assert_eq!(server.pass(&cluster, &plan, &fresh).await, (Applied::default(), 0), "{spec}");
            // Somebody's edit is seen for all that.
            let key = ("deployments".to_owned(), "chat-api".to_owned());
            let api = server.objects.get_mut(&key).unwrap();
            api["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("1Gi");
            let (repaired, _) = server.pass(&cluster, &plan, &fresh).await;
            assert_eq!(repaired.written, ["Deployment/chat-api"], "{spec}");
            assert_eq!(server.pass(&cluster, &plan, &fresh).await, (Applied::default(), 0), "{spec}");
        });
    }
}
