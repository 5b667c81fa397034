//! The cluster as its operator sees it: what runs, what is planned, what it waits for, what ran before. What `kubectl openim` knows, to look at.

use maud::{Markup, html};
use protocol::Result;
use serde::Deserialize;

use crate::{formatting::said, http::Visit, live, page, texts::Text};

/// Rows of each list that are shown: the operator writes fewer.
const ROWS: usize = 200;

/// The object: what is shown of it, whatever version of the operator wrote it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Object {
    metadata: Metadata,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
    generation: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    observed_generation: i64,
    message: String,
    pods: String,
    version: String,
    conditions: Vec<Condition>,
    components: Vec<Component>,
    plan: Vec<Change>,
    #[serde(rename = "planID")]
    plan_id: String,
    older_templates: Vec<String>,
    blockers: Vec<Blocker>,
    dependencies: Vec<Dependency>,
    endpoints: Endpoints,
    history: Vec<GoodSpec>,
    secrets: String,
    backup: Option<Backup>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
    last_transition_time: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Component {
    name: String,
    desired: i32,
    ready: i32,
    updated: i32,
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change {
    component: String,
    reason: String,
    pods: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Blocker {
    component: String,
    gate: String,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dependency {
    name: String,
    managed: bool,
    reachable: bool,
    message: String,
    disk: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoints {
    api: String,
    ws: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GoodSpec {
    generation: i64,
    version: String,
    since: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Backup {
    last_success: Option<Success>,
    overdue: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Success {
    time: String,
    name: String,
}

pub(crate) async fn page(visit: Visit) -> Result<Markup> {
    let body = match &visit.app().kubernetes {
        Some(kubernetes) => {
            let object = kubernetes.object().await?;
            html! { (all(&visit, &object)) (live::switch(&visit)) }
        }
        None => html! {
            p { (visit.text(Text::ClusterOff)) " " code { "console.kubernetes.cluster" } }
        },
    };
    Ok(page::shown(&visit, visit.text(Text::Cluster), &body))
}

fn all(visit: &Visit, object: &Object) -> Markup {
    let status = &object.status;
    let is_seen = status.observed_generation == object.metadata.generation;
    html! {
        @if !is_seen { p.problem role="status" { (visit.text(Text::SpecNotSeen)) } }
        p { (said(&status.message)) }
        (tree(visit, object))
        h2 { (visit.text(Text::Blockers)) }
        (table(visit, Text::Blockers, [Text::Component, Text::Gate, Text::Message], &blockers(status)))
        h2 { (visit.text(Text::Plan)) }
        @if !status.plan_id.is_empty() { p.small { (visit.text(Text::PlanId)) ": " code { (said(&status.plan_id)) } } }
        (table(visit, Text::Plan, [Text::Component, Text::Why, Text::Pods], &plan(status)))
        h2 { (visit.text(Text::Conditions)) }
        (table(visit, Text::Conditions, [Text::Condition, Text::State, Text::Why, Text::Message, Text::Since], &conditions(status)))
        h2 { (visit.text(Text::History)) }
        (table(visit, Text::History, [Text::Generation, Text::Version, Text::Since], &history(status)))
        @if !status.older_templates.is_empty() {
            p.small { (visit.text(Text::OlderTemplates)) ": " (said(&status.older_templates.join(", "))) }
        }
    }
}

/// The object, its services and its servers.
fn tree(visit: &Visit, object: &Object) -> Markup {
    let (metadata, status) = (&object.metadata, &object.status);
    html! {
        ul.tree {
            li {
                strong { (said(&metadata.namespace)) "/" (said(&metadata.name)) }
                " " (said(&status.version)) " · " (visit.text(Text::Pods)) " " (said(&status.pods))
                ul {
                    li {
                        (visit.text(Text::Services))
                        ul { @for component in status.components.iter().take(ROWS) { li { (service(visit, component)) } } }
                    }
                    li {
                        (visit.text(Text::Servers))
                        ul { @for server in status.dependencies.iter().take(ROWS) { li { (dependency(visit, server)) } } }
                    }
                    @if let Some(backup) = &status.backup {
                        li { (visit.text(Text::LastBackup)) ": " (last_backup(visit, backup)) }
                    }
                    @if !status.secrets.is_empty() { li { (visit.text(Text::SecretRotation)) ": " (said(&status.secrets)) } }
                    @if !status.endpoints.api.is_empty() { li { "REST " (said(&status.endpoints.api)) } }
                    @if !status.endpoints.ws.is_empty() { li { "WebSocket " (said(&status.endpoints.ws)) } }
                }
            }
        }
    }
}

/// A word and a sign, so that nobody has to tell colours apart.
fn health(visit: &Visit, is_well: bool) -> Markup {
    html! {
        @if is_well { span.well { "✓ " (visit.text(Text::Well)) } } @else { span.ill { "✗ " (visit.text(Text::Ill)) } }
    }
}

fn service(visit: &Visit, component: &Component) -> Markup {
    let Component { name, desired, ready, updated, version } = component;
    html! {
        (said(name)) " " (ready) "/" (desired) " · " (said(version)) " " (health(visit, ready >= desired))
        @if updated < desired { " · " (visit.text(Text::Updated)) " " (updated) "/" (desired) }
    }
}

fn dependency(visit: &Visit, server: &Dependency) -> Markup {
    let is_well = server.reachable && server.message.is_empty() && server.disk.is_empty();
    let of_whom = if server.managed { Text::Managed } else { Text::External };
    html! {
        (said(&server.name)) " (" (visit.text(of_whom)) ") " (health(visit, is_well))
        @for problem in [&server.message, &server.disk] { @if !problem.is_empty() { " · " (said(problem)) } }
    }
}

fn last_backup(visit: &Visit, backup: &Backup) -> Markup {
    html! {
        @match &backup.last_success {
            Some(success) => { (said(&success.time)) " " (said(&success.name)) " " }
            None => { "– " }
        }
        @if backup.overdue { (health(visit, false)) }
    }
}

fn table<const COLUMNS: usize>(
    visit: &Visit,
    caption: Text,
    columns: [Text; COLUMNS],
    rows: &[Vec<Markup>],
) -> Markup {
    let columns = columns.map(|text| visit.text(text));
    html! {
        @if rows.is_empty() { p { (visit.text(Text::Empty)) } } @else { (page::table(visit.text(caption), &columns, rows)) }
    }
}

/// Of which component; of the whole cluster where none is named.
fn component(name: &str) -> Markup {
    html! { @if name.is_empty() { "–" } @else { (said(name)) } }
}

fn blockers(status: &Status) -> Vec<Vec<Markup>> {
    let row =
        |blocker: &Blocker| vec![component(&blocker.component), said(&blocker.gate), said(&blocker.message)];
    status.blockers.iter().take(ROWS).map(row).collect()
}

fn plan(status: &Status) -> Vec<Vec<Markup>> {
    let row =
        |change: &Change| vec![component(&change.component), said(&change.reason), html! { (change.pods) }];
    status.plan.iter().take(ROWS).map(row).collect()
}

fn conditions(status: &Status) -> Vec<Vec<Markup>> {
    let row = |condition: &Condition| {
        let Condition { kind, status, reason, message, last_transition_time } = condition;
        [kind, status, reason, message, last_transition_time].map(|text| said(text)).to_vec()
    };
    status.conditions.iter().take(ROWS).map(row).collect()
}

/// Not the specs themselves: they are long, and `kubectl openim rollback` restores them.
fn history(status: &Status) -> Vec<Vec<Markup>> {
    let row = |good: &GoodSpec| vec![html! { (good.generation) }, said(&good.version), said(&good.since)];
    status.history.iter().take(ROWS).map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::World;

    fn object() -> serde_json::Value {
        json!({
            "metadata": { "name": "demo", "namespace": "chat", "generation": 8 },
            "spec": { "version": "2.0.0" },
            "status": {
                "observedGeneration": 7, "message": "Waits for an approval.", "pods": "11/12", "version": "1.9.0", "planID": "a1b2c3",
                "conditions": [{ "type": "Ready", "status": "False", "reason": "AwaitingApproval", "message": "<script>", "lastTransitionTime": "2026-11-30T01:02:03Z" }],
                "components": [{ "name": "gateway", "desired": 2, "ready": 1, "updated": 0, "version": "1.9.0" }],
                "plan": [{ "component": "gateway", "reason": "version 1.9.0 to 2.0.0", "pods": 2 }],
                "blockers": [{ "component": "", "gate": "AwaitingApproval", "message": "approve the plan" }],
                "dependencies": [{ "name": "kafka", "managed": true, "reachable": true, "message": "", "disk": "kafka-0 is 85 % full" }],
                "endpoints": { "api": "https://im.example/api", "ws": "" },
                "history": [{ "generation": 5, "version": "1.9.0", "since": "2026-11-01T00:00:00Z", "spec": "{\"never\":\"shown\"}" }],
                "backup": { "schedule": "0 3 * * *", "lastSuccess": null, "overdue": true },
                "somethingNewer": { "x": 1 }
            }
        })
    }

    #[tokio::test]
    async fn the_status_is_shown_as_a_tree_with_plan_blockers_and_history() {
        let world = World::in_kubernetes(Some(object())).await;
        let page = world.signed_in("reader").await.page("/cluster").await;
        for expected in [
            "Waits for an approval.",
            "chat</bdi>/",
            "demo",
            "11/12",
            "gateway</bdi> 1/2",
            "kafka-0 is 85 % full",
            "version 1.9.0 to 2.0.0",
            "approve the plan",
            "a1b2c3",
            "2026-11-01T00:00:00Z",
            "&lt;script&gt;",
            "newer spec",
            "https://im.example/api",
            "✗",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("never") && !page.contains("<details"), "{page}");
        assert!(page.contains("/cluster\" aria-current"), "it is among the sections: {page}");
    }

    #[tokio::test]
    async fn without_an_object_or_the_right_to_read_it_the_page_says_what_is_missing() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        assert!(admin.page("/cluster").await.contains("console.kubernetes.cluster"));
        assert!(!admin.page("/").await.contains("href=\"/cluster\""));
        let world = World::in_kubernetes(None).await;
        let refused = world.signed_in("imAdmin").await.get("/cluster").await;
        assert_eq!(refused.status(), 403);
        assert!(
            crate::testing::text(refused)
                .await
                .contains("needs the verb get for openimclusters in namespace chat")
        );
    }
}
