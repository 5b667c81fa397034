//! CPU time and memory of processes on this machine, from `/proc`.

use std::{collections::BTreeMap, path::Path, str::FromStr};

use serde_json::{Value, json};

const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: u64 = 4096;
/// Names of processes that are not services.
const SERVERS: [&str; 3] = ["mongodb", "redis", "kafka"];

/// Processes that are measured together.
#[derive(Debug, Clone)]
pub struct Group {
    name: String,
    known_by: KnownBy,
}

#[derive(Debug, Clone)]
enum KnownBy {
    /// A process id.
    Id(String),
    /// A part of the command line, whose words end with NUL.
    Command(String),
}

impl FromStr for Group {
    type Err = String;

    /// `name=1234` is one process, `name=text` are all whose command line has the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, part) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is neither name=id nor name=part"))?;
        let is_id = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let known_by = if is_id { KnownBy::Id(part.into()) } else { KnownBy::Command(part.into()) };
        Ok(Self { name: name.into(), known_by })
    }
}

/// What processes have used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Seconds, of all cores.
    pub cpu: f64,
    /// Bytes in memory now.
    pub resident: u64,
}

impl Group {
    /// What its processes have used so far; nothing where there are none.
    pub fn usage(&self) -> Usage {
        match &self.known_by {
            KnownBy::Id(id) => of_process(&Path::new("/proc").join(id)),
            KnownBy::Command(part) => of_command(part),
        }
    }
}

fn of_command(part: &str) -> Usage {
    let mut total = Usage::default();
    let Ok(entries) = std::fs::read_dir("/proc") else { return total };
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    for entry in entries.flatten().filter(|entry| is_process(&entry.file_name().to_string_lossy())) {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        // The bench names them all.
        if command.contains(part) && !command.contains("--processes") {
            let one = of_process(&entry.path());
            total = Usage { cpu: total.cpu + one.cpu, resident: total.resident + one.resident };
        }
    }
    total
}

fn of_process(folder: &Path) -> Usage {
    parse(&std::fs::read_to_string(folder.join("stat")).unwrap_or_default()).unwrap_or_default()
}

/// proc_pid_stat(5): utime, stime and rss are fields 14, 15 and 24; the second one, the name, may hold blanks.
fn parse(stat: &str) -> Option<Usage> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some(Usage { cpu: ticks as f64 / TICKS_PER_SECOND, resident: number(24)? * PAGE_BYTES })
}

/// All groups at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(BTreeMap<String, Usage>);

impl Snapshot {
    /// Now.
    pub fn take(groups: &[Group]) -> Self {
        Self(groups.iter().map(|group| (group.name.clone(), group.usage())).collect())
    }

    /// Bytes in memory of a group.
    pub fn resident(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |usage| usage.resident)
    }

    /// What was used since `before`, by group and by kind, for so many messages.
    pub fn cost_since(&self, before: &Self, messages: u64) -> Value {
        let per_message = |cpu: f64| (cpu * 1e6 / messages.max(1) as f64).round();
        let per_second = |cpu: f64| if cpu > 0.0 { (messages as f64 / cpu).round() } else { 0.0 };
        let (mut groups, mut services, mut servers) = (BTreeMap::new(), 0.0, 0.0);
        for (name, now) in self.0.iter().filter(|(_, now)| now.resident > 0) {
            let cpu = now.cpu - before.0.get(name).map_or(0.0, |usage| usage.cpu);
            *(if SERVERS.contains(&name.as_str()) { &mut servers } else { &mut services }) += cpu;
            groups.insert(
                name,
                json!({
                    "cpuSeconds": cpu, "cpuMicrosPerMessage": per_message(cpu),
                    "messagesPerCpuSecond": per_second(cpu), "residentBytes": now.resident,
                }),
            );
        }
        let sum = |cpu: f64| json!({ "cpuMicrosPerMessage": per_message(cpu), "messagesPerCpuSecond": per_second(cpu) });
        json!({
            "processes": groups, "services": sum(services), "servers": sum(servers), "all": sum(services + servers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_one_process_or_those_with_a_text() {
        let own: Group = format!("own={}", std::process::id()).parse().unwrap();
        assert!(own.usage().resident > 0);
        assert!("own".parse::<Group>().is_err());
        let nobody: Group = "nobody=no-program-has-such-a-name".parse().unwrap();
        assert_eq!(nobody.usage(), Usage::default());
    }

    #[test]
    fn a_name_with_blanks_and_brackets_moves_no_field() {
        let before_rss = "S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 100 1000";
        let stat = format!("7 (a) b) {before_rss} 3 99");
        assert_eq!(parse(&stat), Some(Usage { cpu: 3.0, resident: 3 * PAGE_BYTES }));
        assert_eq!(parse("7 (short) S 1"), None);
    }

    #[test]
    fn the_cost_is_told_by_group_and_by_kind() {
        let at = |cpu: f64| Usage { cpu, resident: 1 };
        let of = |msg, kafka| Snapshot([("msg".to_owned(), at(msg)), ("kafka".to_owned(), at(kafka))].into());
        let cost = of(3.0, 5.0).cost_since(&of(2.0, 1.0), 1000);
        assert_eq!(cost["processes"]["msg"]["cpuMicrosPerMessage"], 1000.0);
        assert_eq!(cost["services"]["messagesPerCpuSecond"], 1000.0);
        assert_eq!(cost["servers"]["cpuMicrosPerMessage"], 4000.0);
        assert_eq!(cost["all"]["cpuMicrosPerMessage"], 5000.0);
    }
}
