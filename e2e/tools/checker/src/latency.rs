//! Times, and their percentiles as JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Times from a microsecond to two minutes; what takes longer counts as two minutes.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

const MOST: u64 = 120_000_000;

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MOST, 3).expect("good bounds"))
    }
}

impl Latency {
    /// One more.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(MOST).max(1));
    }

    /// In milliseconds.
    pub fn percentiles(&self) -> Value {
        let ms = |value: u64| value as f64 / 1000.0;
        let at = |quantile: f64| ms(self.0.value_at_quantile(quantile));
        json!({ "p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": ms(self.0.max()), "count": self.0.len() })
    }
}
