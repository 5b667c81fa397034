//! The partition of a key. Kafka's own clients use the topic's number of partitions, so a topic that grows moves keys at once,
//! and later records can be read first. Here the number in use is a setting; docs/adr/0012-partitions.md describes how it
//! changes.

use std::time::Duration;

use config::Kafka;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use crate::{BusError, client};

/// That of Kafka's clients.
const SEED: u32 = 0x9747_b28c;
const PATIENCE: Duration = Duration::from_secs(5);

/// The partition of a key among so many, as Kafka's own clients compute it.
pub(crate) fn partition_of(key: &str, partitions: i32) -> i32 {
    (murmur2::murmur2(key.as_bytes(), SEED) & 0x7fff_ffff).cast_signed() % partitions.max(1)
}

/// A partition, and where what a group has to read of it begins and ends.
struct Stretch {
    partition: i32,
    first: i64,
    end: i64,
}

/// What a topic held at a moment, and how much of it a consumer group has not finished. Calls block.
pub struct Backlog {
    consumer: BaseConsumer,
    topic: String,
    stretches: Vec<Stretch>,
}

impl Backlog {
    /// What the topic holds now.
    ///
    /// # Errors
    /// When Kafka does not answer, or the topic has fewer partitions than are to be used.
    pub fn of(config: &Kafka, topic: &str, group: &str) -> Result<Self, BusError> {
        let consumer: BaseConsumer = client(config)
            .set("group.id", config.group(group))
            .set("enable.auto.commit", "false")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        let there = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if there < usize::try_from(config.partitions).unwrap_or(0) {
            return Err(BusError::TooFewPartitions { topic: topic.into(), there, wanted: config.partitions });
        }
        let mut stretches = Vec::with_capacity(there);
        for partition in 0..i32::try_from(there).unwrap_or(i32::MAX) {
            let (first, end) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            stretches.push(Stretch { partition, first, end });
        }
        Ok(Self { consumer, topic: topic.into(), stretches })
    }

    /// How many records of it the group has not finished.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn left(&self) -> Result<i64, BusError> {
        let mut list = TopicPartitionList::new();
        for stretch in &self.stretches {
            list.add_partition(&self.topic, stretch.partition);
        }
        let committed = self.consumer.committed_offsets(list, PATIENCE)?;
        let left = self.stretches.iter().map(|stretch| {
            let offset = committed.find_partition(&self.topic, stretch.partition).map(|found| found.offset());
            stretch.left(match offset {
                Some(Offset::Offset(next)) => Some(next),
                _ => None,
            })
        });
        Ok(left.sum())
    }
}

impl Stretch {
    /// A group that finished nothing begins at the first record.
    fn left(&self, next: Option<i64>) -> i64 {
        (self.end - next.unwrap_or(self.first).max(self.first)).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_partitions_that_kafkas_clients_give_them() {
        // From the tests of Kafka's own Java client (UtilsTest.testMurmur2).
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(partition_of(key, 64), (hash & 0x7fff_ffff) % 64, "{key}");
        }
    }

    #[test]
    fn what_is_left_is_what_came_before_the_moment_and_is_not_finished() {
        let stretch = Stretch { partition: 0, first: 10, end: 30 };
        let left = [None, Some(0), Some(10), Some(25), Some(30), Some(40)].map(|next| stretch.left(next));
        assert_eq!(left, [20, 20, 20, 5, 0, 0]);
    }
}
