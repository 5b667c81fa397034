//! What a run found.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::history::Anomaly;

/// Anomalies that are reported in full.
const TOLD: usize = 10;

/// The anomalies, counted by kind.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Kind to how many.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// The first ones.
    pub first: Vec<String>,
}

impl Found {
    pub(crate) fn note(&mut self, conversation: &str, anomaly: &Anomaly) {
        *self.by_kind.entry(anomaly.kind()).or_default() += 1;
        if self.first.len() < TOLD {
            self.first.push(format!("{conversation}: {anomaly:?}"));
        }
    }

    /// How many there are of these kinds.
    pub fn of(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|kind| self.by_kind.get(kind)).sum()
    }

    /// How many there are.
    pub fn all(&self) -> u64 {
        self.by_kind.values().sum()
    }
}

/// A run in figures.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What decided all choices.
    pub seed: u64,
    /// Conversations of two.
    pub conversations: usize,
    /// Groups.
    pub groups: usize,
    /// From the first message on until the last one was acknowledged and everything was read.
    pub seconds: f64,
    /// Seconds of sending.
    pub sending_seconds: f64,
    /// Messages that the server took.
    pub acknowledged: u64,
    /// Attempts that had to be repeated.
    pub retried: u64,
    /// Connections that were ended right after a message.
    pub hung_up: u64,
    /// Messages that were refused with an error that says why.
    pub refused: u64,
    /// Messages that were pushed to open connections.
    pub pushed: u64,
    /// Messages that were pulled and compared.
    pub read: u64,
    /// Streams that ended and were compared.
    pub streams: u64,
    /// Packets that were appended to streams.
    pub packets: u64,
    /// Connections that were open at the end.
    pub open_at_the_end: usize,
    /// Between two acknowledgements of a sender, in ms.
    pub gap_ms: Value,
    /// How many anomalies of the kinds that count.
    pub anomalies: u64,
    /// All of them, by kind.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// The first ones.
    pub first: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_anomalies_are_counted_and_few_are_told() {
        let mut found = Found::default();
        (0..50).for_each(|seq| found.note("c", &Anomaly::Gap(seq)));
        found.note("c", &Anomaly::Lost("m".into()));
        assert_eq!((found.all(), found.of(&["lost"]), found.of(&["doubled"])), (51, 1, 0));
        assert_eq!(found.first.len(), TOLD);
    }
}
