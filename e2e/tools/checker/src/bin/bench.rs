//! The bench: open-loop load by raw clients, on any OpenIM server by URL. Latencies are measured from the time a message was due, so a
//! server that stalls cannot hide it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use checker::{
    client::Client,
    latency::Latency,
    message::Target,
    rest::{Admin, Endpoints},
    usage::{Group, Snapshot},
};
use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

const PLATFORM: i32 = 2;

/// Generates load and prints latencies as JSON.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// The JSON printed by `make endpoints`, or the same for another server.
    #[arg(long, env = "OPENIM_ENDPOINTS")]
    endpoints: String,
    /// Connected users; half of them send to the other half, or all to the group.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Messages per second, all senders together.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Seconds of measured load, after two seconds of warm-up.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Bytes of text per message.
    #[arg(long, default_value_t = 100)]
    payload: usize,
    /// Send into one group of all connected users instead of single chats.
    #[arg(long)]
    group: bool,
    /// With --group: members of the group, connected or not; at least the connected ones.
    #[arg(long, default_value_t = 0)]
    members: usize,
    /// Compress frames, as the SDKs do.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    gzip: bool,
    /// Processes to measure, as name=id or name=part of their command line.
    #[arg(long, value_delimiter = ',', default_values = [
        "gateway=openim-server\0gateway", "msg=openim-server\0msg", "transfer=openim-server\0transfer", "push=openim-server\0push",
        "auth=openim-server\0auth", "conversation=openim-server\0conversation", "api=openim-server\0api", "all=openim-server\0all",
        "mongodb=secantusd-rs", "redis=redis-server", "kafka=kafka.Kafka",
    ])]
    processes: Vec<Group>,
}

/// What became of the messages. Each counts by the time it was due, so that one of the warm-up that is answered late stays there.
struct Seen {
    /// When the first measured message is due, in µs; known once the load begins.
    measured_from: u64,
    warm_up_ack: Latency,
    ack: Latency,
    end_to_end: Latency,
    sent: u64,
    failed: u64,
    delivered: u64,
    /// When messages were due that were acknowledged, in µs, and how often each was delivered.
    deliveries: BTreeMap<u64, u64>,
}

impl Seen {
    fn new() -> Self {
        Self {
            measured_from: u64::MAX,
            warm_up_ack: Latency::default(),
            ack: Latency::default(),
            end_to_end: Latency::default(),
            sent: 0,
            failed: 0,
            delivered: 0,
            deliveries: BTreeMap::new(),
        }
    }

    fn answered(&mut self, due: u64, took: u64, accepted: bool) {
        let measured = due >= self.measured_from;
        if !accepted {
            self.failed += u64::from(measured);
            return;
        }
        self.deliveries.entry(due).or_default();
        if measured {
            self.sent += 1;
            self.ack.record(Duration::from_micros(took));
        } else {
            self.warm_up_ack.record(Duration::from_micros(took));
        }
    }

    fn delivered(&mut self, due: u64, took: u64) {
        *self.deliveries.entry(due).or_default() += 1;
        if due >= self.measured_from {
            self.delivered += 1;
            self.end_to_end.record(Duration::from_micros(took));
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let endpoints: Endpoints = serde_json::from_str(&arguments.endpoints).context("--endpoints")?;
    let processes = &arguments.processes;
    let admin = Admin::login(endpoints, None).await?;
    let tag = &model::random_id()[..8];
    let users: Vec<String> = (0..arguments.connections.max(2)).map(|i| format!("bench{tag}n{i}")).collect();
    admin.register(&users).await?;
    let away = if arguments.group { arguments.members.saturating_sub(users.len()) } else { 0 };
    let away: Vec<String> = (0..away).map(|i| format!("bench{tag}a{i}")).collect();
    let register_started = Instant::now();
    admin.register(&away).await?;
    let register_seconds = register_started.elapsed().as_secs_f64();
    let group_started = Instant::now();
    let members: Vec<String> = users[1..].iter().chain(&away).cloned().collect();
    let group = if arguments.group { Some(admin.create_group(&users[0], &members).await?) } else { None };
    let group_seconds = group_started.elapsed().as_secs_f64();

    let epoch = Instant::now();
    let seen = Arc::new(Mutex::new(Seen::new()));
    let tasks = TaskTracker::new();
    let before_connections = Snapshot::take(processes);
    let connect_started = Instant::now();
    let clients: Vec<Arc<Client>> = futures::stream::iter(users.iter().cloned())
        .map(|user| {
            let (admin, seen, tasks, gzip) = (admin.clone(), seen.clone(), tasks.clone(), arguments.gzip);
            async move {
                let token = admin.token(&user, PLATFORM).await?;
                let own = user.clone();
                let client =
                    Client::connect(&admin.door, &user, &token, PLATFORM, gzip, &tasks, move |_, message| {
                        // The sender's own copy says nothing about delivery.
                        if message.send_id == own || message.ex.is_empty() && message.content.is_empty() {
                            return;
                        }
                        let text: Value = serde_json::from_slice(&message.content).unwrap_or_default();
                        let Some(due) = text["due"].as_u64() else { return };
                        let now = epoch.elapsed().as_micros() as u64;
                        seen.lock().delivered(due, now.saturating_sub(due).max(1));
                    })
                    .await?;
                anyhow::Ok(Arc::new(client))
            }
        })
        .buffer_unordered(64)
        .try_collect()
        .await?;
    let connect_seconds = connect_started.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = Snapshot::take(processes);

    let by_user: BTreeMap<&str, &Arc<Client>> =
        clients.iter().map(|client| (client.user.as_str(), client)).collect();
    let half = users.len() / 2;
    let filler = "x".repeat(arguments.payload);
    let period = Duration::from_secs_f64(1.0 / arguments.rate.max(1) as f64);
    let (warm_up, load) = (2 * arguments.rate, arguments.seconds * arguments.rate);
    let mut before = Snapshot::default();
    let start = Instant::now();
    let due_us = |number: u64| (start + period * number as u32).duration_since(epoch).as_micros() as u64;
    seen.lock().measured_from = due_us(warm_up);
    for number in 0..warm_up + load {
        if number == warm_up {
            before = Snapshot::take(processes);
        }
        let due = start + period * number as u32;
        tokio::time::sleep_until(due.into()).await;
        let sender = if group.is_some() { number as usize % users.len() } else { number as usize % half };
        let client = (*by_user.get(users[sender].as_str()).context("a client is missing")?).clone();
        let receiver = users[half + sender % (users.len() - half)].clone();
        let (group, seen, filler) = (group.clone(), seen.clone(), filler.clone());
        let due_us = due_us(number);
        tasks.spawn(async move {
            let content = json!({ "content": filler, "due": due_us }).to_string();
            let target = group.as_deref().map_or(Target::User(&receiver), Target::Group);
            let outcome = client.send_text(target, &model::random_id(), content.into()).await;
            let took = (epoch.elapsed().as_micros() as u64).saturating_sub(due_us).max(1);
            seen.lock().answered(due_us, took, outcome.is_ok());
        });
    }
    let measured = start.elapsed().as_secs_f64() - 2.0;
    // What is under way may arrive.
    let receivers = if group.is_some() { users.len() as u64 - 1 } else { 1 };
    let settle = Instant::now();
    loop {
        let done = {
            let seen = seen.lock();
            seen.sent + seen.failed >= load && seen.delivered >= seen.sent * receivers
        };
        if done || settle.elapsed() > Duration::from_secs(15) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Second of the run, to messages of it that did not reach everybody.
    let mut missing: BTreeMap<u64, u64> = BTreeMap::new();
    for (due, times) in &seen.lock().deliveries {
        if *times < receivers {
            let second = due.saturating_sub(start.duration_since(epoch).as_micros() as u64) / 1_000_000;
            *missing.entry(second).or_default() += 1;
        }
    }
    let seen = seen.lock();
    let cost = Snapshot::take(processes).cost_since(&before, seen.sent);
    let gateways = |at: &Snapshot| at.resident("gateway") + at.resident("all");
    let grown = gateways(&idle).saturating_sub(gateways(&before_connections));
    let report = json!({
        "options": { "connections": users.len(), "rate": arguments.rate, "seconds": arguments.seconds, "payload": arguments.payload,
                     "group": arguments.group, "members": members.len() + 1, "gzip": arguments.gzip },
        "registerSeconds": register_seconds, "groupSeconds": group_seconds,
        "connectsPerSecond": users.len() as f64 / connect_seconds,
        "bytesPerIdleConnection": grown / users.len() as u64,
        "sent": seen.sent, "failed": seen.failed, "delivered": seen.delivered, "undelivered": (seen.sent * receivers).saturating_sub(seen.delivered),
        "undeliveredBySecond": missing,
        "sentPerSecond": seen.sent as f64 / measured,
        "deliveredPerSecond": seen.delivered as f64 / measured,
        "warmUpAckMs": seen.warm_up_ack.percentiles(),
        "ackMs": seen.ack.percentiles(),
        "endToEndMs": seen.end_to_end.percentiles(),
        "cost": cost,
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    for client in clients {
        client.close();
    }
    Ok(())
}
