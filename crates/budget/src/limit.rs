//! The memory limit of the process, and the share of it that a budget gets.

use std::fs;

/// Where the limit of a container stands: cgroup v2, and v1. Inside a container its own group is the root.
const FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Assumed memory of a process without a limit; the operator's default limit.
const USUAL: usize = 1 << 30;
/// A budget is this fraction of the memory: counted data is copied a few times while it is handled.
const PART: usize = 8;
/// Below this a budget would refuse ordinary calls.
const LEAST: usize = 8 << 20;

/// Bytes of a budget of this process, from the limit of its container.
pub fn share_of_process() -> usize {
    share(FILES.iter().find_map(|file| fs::read_to_string(file).ok()).as_deref())
}

fn share(limit: Option<&str>) -> usize {
    // "max", or a number that no machine has, means that there is none.
    let limit = limit.and_then(|text| text.trim().parse::<usize>().ok());
    let memory = limit.filter(|bytes| *bytes < 1 << 50).unwrap_or(USUAL);
    (memory / PART).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_part_of_what_the_container_may_use() {
        for (file, bytes) in [
            (Some("4294967296\n"), 512 << 20),
            (Some("max\n"), 128 << 20),
            (Some("9223372036854771712"), 128 << 20),
            (Some("1048576"), LEAST),
            (None, 128 << 20),
        ] {
            assert_eq!(share(file), bytes, "{file:?}");
        }
    }
}
