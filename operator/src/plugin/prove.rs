//! Implements `kubectl openim prove`: sends messages of test users during a change of the cluster, through the addresses that
//! clients use, and reports whether they arrived (docs/adr/0027-prove.md).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use checker::{
    message::Mix,
    outcome::Outcome,
    rest::{Admin, Endpoints},
    run::{Checks, Load, Run},
    streams::StreamLoad,
};
use crds::{OpenIMCluster, OpenIMClusterStatus, Proof, condition};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use planner::{
    credentials,
    model::{cluster::Cluster, secret::key},
    validate,
};

use crate::plugin::view;

/// The field manager of `status.proof`.
const MANAGER: &str = "kubectl-openim-prove";
/// Prefix of the ids of all test users.
const PREFIX: &str = "prove";
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long sending continues after the change has ended.
const AFTERWARDS: Duration = Duration::from_secs(10);
const PAIRS: usize = 2;
const MEMBERS: usize = 3;
const SENDERS: u64 = 2 * PAIRS as u64 + MEMBERS as u64;

/// How it is proved.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Send for this time, for example 5m, whatever changes [default: until the current or next change has ended].
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<SignedDuration>,
    /// How long to wait for a change to start.
    #[arg(long, value_name = "TIME", default_value = "15m", conflicts_with = "time")]
    pub wait: SignedDuration,
    /// Messages per second, all senders together.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=500))]
    pub rate: u64,
    /// Base URL of the REST API [default: from the status].
    #[arg(long, requires = "ws")]
    pub api: Option<String>,
    /// URL of the WebSocket gateway [default: from the status].
    #[arg(long, requires = "api")]
    pub ws: Option<String>,
    /// PEM file with additional certificate authorities.
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// Seed printed by an earlier proof, to repeat its random choices.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// How far a change is.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is to be changed.
    Quiet,
    /// Something is being changed, or will be.
    UnderWay,
    /// Only an edit helps.
    Stuck,
}

fn phase(cluster: &OpenIMCluster) -> Phase {
    let Some(status) = &cluster.status else { return Phase::UnderWay };
    let is = |kind: &str| status.conditions.iter().any(|entry| entry.type_ == kind && entry.status == "True");
    if Some(status.observed_generation) != cluster.metadata.generation {
        Phase::UnderWay
    } else if is(condition::STALLED) {
        Phase::Stuck
    } else if !status.plan.is_empty() || is(condition::PROGRESSING) {
        Phase::UnderWay
    } else {
        Phase::Quiet
    }
}

/// Where clients connect from here.
fn addresses(
    status: &OpenIMClusterStatus,
    options: &Options,
    in_cluster: bool,
) -> anyhow::Result<(String, String)> {
    if let (Some(api), Some(ws)) = (&options.api, &options.ws) {
        return Ok((api.trim_end_matches('/').to_owned(), ws.clone()));
    }
    let (api, ws) = (&status.endpoints.api, &status.endpoints.ws);
    ensure!(
        !api.is_empty() && !ws.is_empty(),
        "the status does not say where clients connect: set --api and --ws"
    );
    ensure!(
        in_cluster || !api.contains(".svc:"),
        "clients can reach {api} only inside the Kubernetes cluster: set --api and --ws to addresses reachable from here, or run this in a pod"
    );
    Ok((api.clone(), ws.clone()))
}

fn load(options: &Options) -> Load {
    Load {
        conversations: PAIRS,
        groups: 1,
        members: MEMBERS,
        pause_ms: SENDERS * 1000 / options.rate,
        round: 200,
        gzip: true,
        seed: options.seed.unwrap_or_else(|| rand::random::<u32>().into()),
        mix: Mix { payload: 200, at_all_every: 40, ..Mix::default() },
        streams: StreamLoad::none(),
    }
}

/// The counts of a run.
fn proof_of(outcome: &Outcome, from: &str, to: &str, now: Timestamp) -> Proof {
    let count = |kind: &str| outcome.by_kind.get(kind).copied().unwrap_or(0).cast_signed();
    let (lost, doubled, reordered) = (count("lost"), count("doubled"), count("reordered"));
    Proof {
        time: Time(now),
        from_version: from.to_owned(),
        to_version: to.to_owned(),
        seconds: outcome.sending_seconds as i64,
        acknowledged: outcome.acknowledged.cast_signed(),
        lost,
        doubled,
        reordered,
        other: outcome.anomalies.cast_signed() - lost - doubled - reordered,
        longest_gap_millis: outcome.gap_ms["max"].as_f64().unwrap_or_default() as i64,
    }
}

/// What back ends get; clusters that were made before have one secret for all.
fn api_secret(data: &BTreeMap<String, String>) -> Option<String> {
    let found = [key::API_SECRET, key::SECRET].into_iter().filter_map(|name| data.get(name));
    found.map(String::as_str).find(|secret| !secret.is_empty()).map(str::to_owned)
}

async fn secret(client: &Client, cluster: &Cluster) -> anyhow::Result<String> {
    let name = cluster.part("credentials");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &cluster.namespace);
    let found = secrets.get(&name).await.with_context(|| {
        format!("Secret/{name}: the right to read it is needed, to create tokens for test users")
    })?;
    api_secret(&credentials::text(&found))
        .with_context(|| format!("Secret/{name} has neither {} nor {}", key::API_SECRET, key::SECRET))
}

/// Waits until the change has ended, or for the requested time.
async fn until_over(
    clusters: &Api<OpenIMCluster>,
    name: &str,
    options: &Options,
    run: &Run,
) -> anyhow::Result<()> {
    if let Some(time) = options.time {
        tokio::time::sleep(Duration::try_from(time).context("--for")?).await;
        return Ok(());
    }
    let (started, wait) = (Instant::now(), Duration::try_from(options.wait).context("--wait")?);
    let mut begun = false;
    let mut said = String::new();
    loop {
        // A briefly unavailable API server is part of the proof.
        if let Ok(cluster) = clusters.get(name).await {
            let message = cluster.status.as_ref().map_or("", |status| &status.message).to_owned();
            match phase(&cluster) {
                Phase::UnderWay => begun = true,
                Phase::Quiet | Phase::Stuck if begun => break,
                Phase::Quiet | Phase::Stuck => {}
            }
            if message != said {
                println!("{:>5} acknowledged  {message}", run.so_far());
                said = message;
            }
        }
        if !begun && started.elapsed() > wait {
            bail!(
                "no change of {name} started within {:#}: make one while this runs, or set a time with --for",
                options.wait
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tokio::time::sleep(AFTERWARDS).await;
    Ok(())
}

async fn write(clusters: &Api<OpenIMCluster>, name: &str, proof: &Proof) -> anyhow::Result<()> {
    let patch = serde_json::json!({
        "apiVersion": OpenIMCluster::api_version(&()), "kind": OpenIMCluster::kind(&()), "status": { "proof": proof },
    });
    let parameters = PatchParams::apply(MANAGER).force();
    let written = clusters.patch_status(name, &parameters, &Patch::Apply(&patch)).await.context(
        "the proof was not written to the status: the right to patch openimclusters/status is needed",
    )?;
    ensure!(
        written.status.is_some_and(|status| status.proof.is_some()),
        "the proof is not in the status: the OpenIMCluster CRD is outdated; upgrade it with the operator"
    );
    Ok(())
}

async fn send(run: &Arc<Run>, over: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Outcome> {
    let ending = async {
        let ended = tokio::select! {
            ended = over => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
            () = run.enough.cancelled() => Ok(()),
        };
        run.end();
        ended
    };
    let (outcome, ()) = run.go(ending).await?;
    Ok(outcome)
}

/// Proves a change; prints and records the result.
///
/// # Errors
/// When a guarantee was violated, or nothing could be proved.
pub async fn prove(client: Client, namespace: &str, name: &str, options: &Options) -> anyhow::Result<()> {
    let clusters: Api<OpenIMCluster> = Api::namespaced(client.clone(), namespace);
    let object = clusters.get(name).await?;
    let cluster = validate::validate(&object)?;
    let before = object.status.unwrap_or_default();
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let (api, ws) = addresses(&before, options, in_cluster)?;
    let admin_user_id = cluster.spec.config.admin_user_ids.first().cloned().unwrap_or_default();
    let secret = secret(&client, &cluster).await?;
    let endpoints = Endpoints { api, ws, admin_user_id, secret, kubeconfig: String::new() };
    let admin = Admin::login(endpoints, options.ca.as_deref())
        .await
        .with_context(|| format!("{name} is not reachable from here; set --api and --ws"))?;
    let load = load(options);
    println!("Test users {PREFIX}… send {} messages per second; seed {}.", options.rate, load.seed);
    let run = Run::new(
        admin,
        load,
        Checks { settle_seconds: 90, stored_only: false, read_after_end: None },
        PREFIX,
        None,
    );
    let sent = send(&run, until_over(&clusters, name, options, &run)).await;
    for left in run.clean_up().await.iter().take(3) {
        eprintln!("not cleaned up: {left}");
    }
    let outcome = sent?;
    let after = clusters.get(name).await?.status.unwrap_or_default();
    let proof = proof_of(&outcome, &before.version, &after.version, Timestamp::now());
    println!("{}", view::proof(&proof));
    outcome.first.iter().for_each(|anomaly| println!("  {anomaly}"));
    ensure!(proof.acknowledged > 0, "nothing was acknowledged, so nothing is proved");
    write(&clusters, name, &proof).await?;
    ensure!(proof.holds(), "a guarantee was violated");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use crds::{Change, Endpoints as Seen};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    use super::*;
    use crate::tests::object;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Options {
        Line::parse_from([&["prove"], words].concat()).options
    }

    fn cluster(observed: i64, plan: &[&str], on: &[&str]) -> OpenIMCluster {
        let mut cluster = object("{}");
        cluster.metadata.generation = Some(2);
        let condition = |kind: &&str| Condition {
            type_: (*kind).into(),
            status: "True".into(),
            reason: "Running".into(),
            message: String::new(),
            observed_generation: Some(observed),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let change = |name: &&str| Change { component: (*name).into(), ..Default::default() };
        cluster.status = Some(OpenIMClusterStatus {
            observed_generation: observed,
            plan: plan.iter().map(change).collect(),
            conditions: on.iter().map(condition).collect(),
            ..Default::default()
        });
        cluster
    }

    #[test]
    fn a_change_is_under_way_from_the_edit_until_all_of_it_runs() {
        for (seen, expected) in [
            (cluster(2, &[], &[condition::READY]), Phase::Quiet),
            (cluster(1, &[], &[condition::READY]), Phase::UnderWay),
            (cluster(2, &["msg"], &[condition::AVAILABLE]), Phase::UnderWay),
            (cluster(2, &[], &[condition::PROGRESSING]), Phase::UnderWay),
            (cluster(2, &["msg"], &[condition::STALLED]), Phase::Stuck),
            (object("{}"), Phase::UnderWay),
        ] {
            assert_eq!(phase(&seen), expected, "{:?}", seen.status);
        }
    }

    #[test]
    fn it_comes_in_where_clients_do() {
        let at = |api: &str, ws: &str| OpenIMClusterStatus {
            endpoints: Seen { api: api.into(), ws: ws.into() },
            ..Default::default()
        };
        let inside = at("http://chat-api-http.team.svc:10002", "ws://chat-gateway-ws.team.svc:10001");
        let outside = at("https://chat.example.org", "wss://chat.example.org/msg_gateway");
        let none = options(&[]);
        assert_eq!(addresses(&outside, &none, false).unwrap().1, "wss://chat.example.org/msg_gateway");
        assert!(addresses(&inside, &none, true).is_ok());
        assert!(addresses(&inside, &none, false).unwrap_err().to_string().contains("--api and --ws"));
        assert!(addresses(&OpenIMClusterStatus::default(), &none, true).is_err());
        let said = options(&["--api", "http://127.0.0.1:8080/", "--ws", "ws://127.0.0.1:8080/msg_gateway"]);
        assert_eq!(addresses(&inside, &said, false).unwrap().0, "http://127.0.0.1:8080");
    }

    #[test]
    fn it_logs_in_with_the_secret_of_back_ends_or_the_only_one() {
        let data = |words: &[(&str, &str)]| {
            words.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        assert_eq!(api_secret(&data(&[("secret", "a"), ("api-secret", "b")])).as_deref(), Some("b"));
        assert_eq!(api_secret(&data(&[("secret", "a"), ("api-secret", "")])).as_deref(), Some("a"));
        assert_eq!(api_secret(&data(&[])), None);
    }

    #[test]
    fn times_and_rates_are_read_and_bounded() {
        assert_eq!(options(&["--for", "5m"]).time, Some(SignedDuration::from_mins(5)));
        assert!(Line::try_parse_from(["prove", "--rate", "0"]).is_err());
        assert!(Line::try_parse_from(["prove", "--for", "soon"]).is_err());
        assert_eq!(load(&options(&["--rate", "7"])).pause_ms, 1000);
    }

    #[test]
    fn what_was_found_is_counted_by_what_users_ask() {
        let outcome = Outcome {
            seed: 1,
            conversations: 2,
            groups: 1,
            seconds: 70.0,
            sending_seconds: 61.5,
            acknowledged: 1200,
            retried: 3,
            hung_up: 0,
            refused: 0,
            pushed: 2000,
            read: 1200,
            streams: 0,
            packets: 0,
            open_at_the_end: 7,
            gap_ms: serde_json::json!({ "max": 1234.5 }),
            anomalies: 4,
            by_kind: BTreeMap::from([("lost", 1), ("doubled", 1), ("unheard", 2)]),
            first: vec![],
        };
        let proof = proof_of(&outcome, "1.0.0", "1.1.0", Timestamp::UNIX_EPOCH);
        assert_eq!((proof.lost, proof.doubled, proof.reordered, proof.other), (1, 1, 0, 2));
        assert_eq!((proof.seconds, proof.acknowledged, proof.longest_gap_millis), (61, 1200, 1234));
        assert!(!proof.holds());
        assert_eq!(
            view::proof(&proof),
            "✖ version 1.0.0 to 1.1.0, 61 s, 1200 messages acknowledged: 1 lost, 1 duplicated, 0 reordered, 2 other anomalies; longest gap 1.2 s"
        );
    }
}
