//! Resource usage of the process, under the standard Prometheus names.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

const PAGE_BYTES: u64 = 4096;
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(crate) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut put = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let stat = stat();
        if let Some((_, threads)) = stat {
            put("process_threads", "Threads", threads)?;
        }
        if let Some(bytes) = resident_bytes() {
            put("process_resident_memory_bytes", "Resident memory", bytes as f64)?;
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            put("process_open_fds", "Open file descriptors", entries.count() as f64)?;
        }
        if let Some((cpu_seconds, _)) = stat {
            let spent = ConstCounter::new(cpu_seconds);
            let help = "User and system CPU time";
            spent.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                spent.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

fn stat() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command name may hold spaces; fields count from after its closing bracket (proc(5)).
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(((number(11)? + number(12)?) / TICKS_PER_SECOND, number(17)?))
}

fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}
