//! What the processes of the cluster count: their metrics, read from their admin ports every few seconds. Counters start at 0 with
//! each process, so rates are the difference of two samples and never negative.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use bytes::BytesMut;
use config::Config;
use futures::stream::{self, StreamExt};
use model::Clock;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::delays::Delays;

/// How often samples are taken.
const EVERY: Duration = Duration::from_secs(15);
/// Longest page of metrics that is read, in bytes.
const LONGEST: usize = 4 << 20;
/// Processes that are asked at once.
const AT_ONCE: usize = 16;
/// Services whose metrics the overview has.
const SERVICES: [&str; 5] = ["api", "gateway", "msg", "transfer", "push"];

/// Sums over all processes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Numbers {
    /// Users with a connection; one with connections to two gateways counts twice.
    pub(crate) online: u64,
    pub(crate) connections: u64,
    /// Messages taken from clients.
    pub(crate) accepted: u64,
    /// Messages written to MongoDB.
    pub(crate) stored: u64,
    /// Messages that could not be taken or written, and calls of the REST API answered with 500.
    pub(crate) failed: u64,
    /// Records of Kafka that wait.
    pub(crate) lag: u64,
    pub(crate) hooks: Hooks,
    /// From acceptance until gateways have a message.
    pub(crate) delays: Delays,
}

/// After hooks, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Hooks {
    pub(crate) delivered: u64,
    pub(crate) retried: u64,
    pub(crate) set_aside: u64,
    pub(crate) given_up: u64,
}

/// A sample, and the rates since the previous one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at_ms: i64,
    pub(crate) numbers: Numbers,
    pub(crate) rates: Option<Rates>,
    /// Processes that have answered, and that have not.
    pub(crate) answered: usize,
    pub(crate) silent: usize,
}

/// Per second, and how long deliveries took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) accepted: f64,
    pub(crate) stored: f64,
    pub(crate) failed: f64,
    /// Seconds within which 99 of 100 messages were delivered; `None` where none was.
    pub(crate) delay: Option<f64>,
}

/// The last sample.
pub(crate) struct Samples {
    client: reqwest::Client,
    last: Mutex<Option<Sample>>,
    /// What each process counted then.
    each: Mutex<BTreeMap<String, Numbers>>,
}

impl Numbers {
    /// Of one process, from its metrics as text.
    fn read(text: &str) -> Self {
        let mut numbers = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let Ok(value) = value.parse::<f64>() else { continue };
            // Whole and never negative, whatever a process says.
            let value = value.max(0.0) as u64;
            let sum = match name {
                "online_user_num" => &mut numbers.online,
                "gateway_connections" => &mut numbers.connections,
                "single_chat_msg_process_success_total" | "group_chat_msg_process_success_total" => {
                    &mut numbers.accepted
                }
                "msg_insert_mongo_success_total" => &mut numbers.stored,
                "single_chat_msg_process_failed_total"
                | "group_chat_msg_process_failed_total"
                | "msg_insert_mongo_failed_total" => &mut numbers.failed,
                "api_count_total" if labels.contains("code=\"500\"") => &mut numbers.failed,
                "consumer_lag_records" => &mut numbers.lag,
                "webhook_delivered_total" => &mut numbers.hooks.delivered,
                "webhook_retried_total" => &mut numbers.hooks.retried,
                "webhook_set_aside_total" => &mut numbers.hooks.set_aside,
                "webhook_given_up_total" => &mut numbers.hooks.given_up,
                "msg_pushed_seconds_bucket" => match numbers.delays.bucket(labels) {
                    Some(bucket) => bucket,
                    None => continue,
                },
                _ => continue,
            };
            *sum = sum.saturating_add(value);
        }
        numbers
    }

    fn plus(self, other: Self) -> Self {
        Self {
            online: self.online.saturating_add(other.online),
            connections: self.connections.saturating_add(other.connections),
            accepted: self.accepted.saturating_add(other.accepted),
            stored: self.stored.saturating_add(other.stored),
            failed: self.failed.saturating_add(other.failed),
            lag: self.lag.saturating_add(other.lag),
            hooks: self.hooks.plus(other.hooks),
            delays: self.delays.plus(other.delays),
        }
    }

    fn since(self, before: Self, ms: i64) -> Option<Rates> {
        let seconds = ms as f64 / 1000.0;
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        (ms > 0).then(|| Rates {
            accepted: rate(self.accepted, before.accepted),
            stored: rate(self.stored, before.stored),
            failed: rate(self.failed, before.failed),
            delay: self.delays.since(before.delays).within_99_of_100(),
        })
    }
}

impl Hooks {
    fn plus(self, other: Self) -> Self {
        Self {
            delivered: self.delivered.saturating_add(other.delivered),
            retried: self.retried.saturating_add(other.retried),
            set_aside: self.set_aside.saturating_add(other.set_aside),
            given_up: self.given_up.saturating_add(other.given_up),
        }
    }
}

impl Samples {
    pub(crate) fn new(client: reqwest::Client) -> Self {
        Self { client, last: Mutex::new(None), each: Mutex::default() }
    }

    pub(crate) fn last(&self) -> Option<Sample> {
        *self.last.lock()
    }

    #[cfg(test)]
    pub(crate) fn put(&self, sample: Sample) {
        *self.last.lock() = Some(sample);
    }

    /// Takes samples until `stop`.
    pub(crate) async fn take_until(&self, config: &Config, clock: &dyn Clock, stop: CancellationToken) {
        let mut pause = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = pause.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.take(config, clock) => {}
            }
        }
    }

    async fn take(&self, config: &Config, clock: &dyn Clock) {
        let mut ports = BTreeSet::new();
        for service in SERVICES {
            match rpc::admin_ports(config, service).await {
                Ok(found) => ports.extend(found),
                Err(error) => tracing::debug!(%error, service, "console.not_found"),
            }
        }
        let asked: BTreeMap<String, Option<Numbers>> = stream::iter(ports)
            .map(|port| async move {
                let read = self.read(&port).await;
                (port, read)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let read: BTreeMap<String, Numbers> =
            asked.iter().filter_map(|(port, numbers)| Some((port.clone(), (*numbers)?))).collect();
        let numbers = read.values().fold(Numbers::default(), |sum, one| sum.plus(*one));
        let (answered, at_ms) = (read.len(), clock.now_ms());
        let (now, before) = in_both(&read, &self.each.lock());
        let rates = self.last().and_then(|last| now.since(before, at_ms - last.at_ms));
        *self.each.lock() = read;
        let silent = asked.len() - answered;
        *self.last.lock() = Some(Sample { at_ms, numbers, rates, answered, silent });
    }

    async fn read(&self, port: &str) -> Option<Numbers> {
        let mut answer =
            self.client.get(format!("http://{port}/metrics")).send().await.ok()?.error_for_status().ok()?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            if bytes.len() + chunk.len() > LONGEST {
                return None;
            }
            bytes.extend_from_slice(&chunk);
        }
        Some(Numbers::read(&String::from_utf8_lossy(&bytes)))
    }
}

/// Sums of the processes in both: of one that was silent in between, all that it ever counted would look new.
fn in_both(now: &BTreeMap<String, Numbers>, before: &BTreeMap<String, Numbers>) -> (Numbers, Numbers) {
    let both = now.iter().filter_map(|(port, now)| before.get(port).map(|before| (*now, *before)));
    both.fold(Default::default(), |(a, b): (Numbers, Numbers), (now, before)| (a.plus(now), b.plus(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_silent_brings_no_rush() {
        let of = |list: &[(&str, u64)]| -> BTreeMap<String, Numbers> {
            let numbers = |accepted: u64| Numbers { accepted, ..Default::default() };
            list.iter().map(|(port, accepted)| ((*port).to_owned(), numbers(*accepted))).collect()
        };
        let (now, before) = in_both(&of(&[("a", 40), ("b", 1_000_000)]), &of(&[("a", 10)]));
        assert_eq!((now.accepted, before.accepted), (40, 10));
    }

    #[test]
    fn metrics_are_summed_by_what_they_mean() {
        let text = "# HELP online_user_num x.\nonline_user_num 3\ngateway_connections 4\n\
            single_chat_msg_process_success_total 10\ngroup_chat_msg_process_success_total 5\n\
            msg_insert_mongo_success_total 15\nmsg_insert_mongo_failed_total 1\n\
            api_count_total{path=\"/msg/send_msg\",method=\"POST\",code=\"500\"} 2\n\
            api_count_total{path=\"/msg/send_msg\",method=\"POST\",code=\"0\"} 900\nrubbish\nx y\n\
            consumer_lag_records{topic=\"a\",group=\"g\"} 6\nconsumer_lag_records{topic=\"b\",group=\"g\"} 1\n\
            webhook_delivered_total 20\nwebhook_retried_total 4\nwebhook_set_aside_total 2\nwebhook_given_up_total 1\n";
        let numbers = Numbers::read(text);
        let hooks = Hooks { delivered: 20, retried: 4, set_aside: 2, given_up: 1 };
        let expected = Numbers {
            online: 3,
            connections: 4,
            accepted: 15,
            stored: 15,
            failed: 3,
            lag: 7,
            hooks,
            ..Default::default()
        };
        assert_eq!(numbers, expected);
        let twice = numbers.plus(numbers);
        assert_eq!((twice.accepted, twice.lag, twice.hooks.given_up), (30, 14, 2));
    }

    #[test]
    fn the_delay_is_that_of_messages_delivered_since() {
        let text = |fast: u64, all: u64| {
            format!(
                "msg_pushed_seconds_sum 1.5\nmsg_pushed_seconds_count {all}\n\
                msg_pushed_seconds_bucket{{le=\"0.002\"}} 0\nmsg_pushed_seconds_bucket{{le=\"0.016\"}} {fast}\n\
                msg_pushed_seconds_bucket{{le=\"1.024\"}} {all}\nmsg_pushed_seconds_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        let at = |fast: u64, all: u64| Numbers::read(&text(fast, all));
        let delay = |now: Numbers, before: Numbers| now.since(before, 1000).unwrap().delay;
        assert_eq!(delay(at(199, 200), at(100, 100)), Some(0.016), "99 of 100 were fast");
        assert_eq!(delay(at(198, 200), at(100, 100)), Some(1.024), "only 98 were");
        assert_eq!(delay(at(100, 100), at(100, 100)), None, "none was delivered");
        assert_eq!(delay(at(5, 5), at(100, 100)), None, "a process that has restarted");
    }

    #[test]
    fn a_rate_never_falls_below_nothing() {
        let (before, now) = (
            Numbers { accepted: 10, stored: 50, ..Default::default() },
            Numbers { accepted: 40, stored: 5, ..Default::default() },
        );
        // A process that has restarted counts from 0.
        let rates = Rates { accepted: 2.0, stored: 0.0, failed: 0.0, delay: None };
        assert_eq!(now.since(before, 15_000), Some(rates));
        assert_eq!(now.since(before, 0), None);
    }
}
