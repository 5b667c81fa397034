//! Disk space of brokers. Kafka's own retention ignores consumers: a limit in bytes deletes accepted messages that were not stored yet while
//! transfer is down. So topics that must be read have no such limit; records that every group has committed are deleted here as soon as a
//! partition is larger than its share of the volume (docs/adr/0029-disk-of-kafka.md).

use std::collections::{BTreeMap, BTreeSet};

use config::Kafka;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    consumer::{BaseConsumer, Consumer as _},
};

use super::{
    Connection,
    connection::Request,
    rights::groups,
    wire::{Malformed, Reader, Writer},
};
use crate::{BusError, PATIENCE, client, topics};

const DESCRIBE_CONFIGS: Request = Request { key: 32, version: 1, name: "DescribeConfigs" };
const DESCRIBE_LOG_DIRS: Request = Request { key: 35, version: 1, name: "DescribeLogDirs" };
const ALTER_CONFIGS: Request = Request { key: 44, version: 0, name: "IncrementalAlterConfigs" };
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const TOPIC: i8 = 2;
const SET: i8 = 0;

/// Kafka's topic of committed offsets; its newest segments are not compacted.
const OFFSETS: &str = "__consumer_offsets";
/// Percentage of the volume that consumed records can take. The rest is for unread records and for those that arrive between two calls.
const SHARE: u64 = 30;
/// A batch of the largest records must fit.
const SMALLEST_SEGMENT: u64 = 16 << 20;
/// Kafka's own defaults.
const LARGEST_SEGMENT: u64 = 1 << 30;
const OFFSETS_SEGMENT: u64 = 100 << 20;
/// Consumers drop older records: webhooks are retried for a day, notifications to push vendors for ten minutes.
const TWO_DAYS_MS: &str = "172800000";
/// After which a segment is closed at the next record.
const TEN_MINUTES_MS: &str = "600000";

const NO_ADMINISTRATOR: &str = "kafka.username is not an administrator";

/// Topic and partition.
type Partition = (String, i32);

/// The broker with the most on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    /// `host:port`.
    pub broker: String,
    /// Size of all its records.
    pub bytes: u64,
    /// Consumer groups of partitions that are larger than their share.
    pub awaited: Vec<&'static str>,
}

impl Room {
    /// Usage of a volume in percent.
    pub fn percent(&self, volume: u64) -> u64 {
        self.bytes.saturating_mul(100).checked_div(volume).unwrap_or(0)
    }
}

/// Partition sizes on one broker.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    sizes: BTreeMap<Partition, u64>,
}

impl Held {
    fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// The partitions of the services' topics and their sizes.
    fn of<'a>(&'a self, topics: &'a [&str]) -> impl Iterator<Item = (&'a Partition, u64)> {
        let ours = move |partition: &Partition| topics.contains(&partition.0.as_str());
        self.sizes.iter().filter(move |(partition, _)| ours(partition)).map(|(key, size)| (key, *size))
    }
}

/// Size up to which consumed records of a partition are kept.
fn share(volume: u64, partitions: usize) -> u64 {
    volume / 100 * SHARE / (partitions as u64).max(1)
}

/// Kafka only deletes whole segments, never the active one.
fn segment(share: u64) -> u64 {
    (share / 4).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT)
}

/// The consumer groups of a topic.
fn readers(config: &Kafka, topic: &str) -> &'static [&'static str] {
    if topic == config.message_topic {
        &[groups::TRANSFER]
    } else if topic == config.push_topic {
        &[groups::PUSH]
    } else if topic == config.webhook_topic {
        &[groups::WEBHOOKS]
    } else {
        &[groups::OFFLINE_PUSH, groups::OFFLINE_GROUPS]
    }
}

type Settings = BTreeMap<String, String>;

/// The wanted topic settings.
fn wanted(config: &Kafka, volume: u64, partitions: usize) -> BTreeMap<String, Settings> {
    let segment = segment(share(volume, partitions));
    let size = |bytes: u64| ("segment.bytes".to_owned(), bytes.to_string());
    let must_be_read = [&config.message_topic, &config.push_topic];
    let of_topic = |topic: &str| {
        let age = if must_be_read.iter().any(|name| *name == topic) { "-1" } else { TWO_DAYS_MS };
        Settings::from([
            size(segment),
            // Of many partitions each keeps an active segment, which cannot be deleted: it is closed in time.
            ("segment.ms".to_owned(), TEN_MINUTES_MS.to_owned()),
            ("retention.ms".to_owned(), age.to_owned()),
        ])
    };
    let ours = topics(config).into_iter().map(|topic| (topic.to_owned(), of_topic(topic)));
    let offsets = (OFFSETS.to_owned(), Settings::from([size(segment.min(OFFSETS_SEGMENT))]));
    ours.chain([offsets]).collect()
}

/// The settings that differ from the current ones.
fn differing(
    wanted: BTreeMap<String, Settings>,
    there: &BTreeMap<String, Settings>,
) -> BTreeMap<String, Settings> {
    let left = wanted.into_iter().filter_map(|(topic, mut settings)| {
        let has = there.get(&topic)?;
        settings.retain(|name, value| has.get(name) != Some(value));
        (!settings.is_empty()).then_some((topic, settings))
    });
    left.collect()
}

/// The offset before which all groups have consumed everything. A group without a committed offset has consumed nothing.
fn finished(committed: &[Option<i64>]) -> Option<i64> {
    let all: Option<Vec<i64>> = committed.iter().copied().collect();
    all?.into_iter().min().filter(|offset| *offset > 0)
}

/// Sets the topics according to the size of the volumes, deletes consumed records of partitions that are larger than their share, and returns the
/// broker with the highest usage. For an administrator; can be repeated.
///
/// # Errors
/// When no broker responds, or one refuses.
pub async fn keep_room(config: &Kafka, volume: u64) -> Result<Room, BusError> {
    let mut room = Room::default();
    let mut over = BTreeSet::new();
    let mut outcome = Ok(());
    let mut set = false;
    let names = topics(config);
    for address in &config.address {
        let (mut connection, held) = match held_at(config, address).await {
            Ok(found) => found,
            // Others have its replicas; `ping` reports the missing ones.
            Err(error) => {
                outcome = Err(error);
                continue;
            }
        };
        let ours: Vec<(&Partition, u64)> = held.of(&names).collect();
        let share = share(volume, ours.len());
        over.extend(ours.iter().filter(|(_, size)| *size > share).map(|(partition, _)| (*partition).clone()));
        if !set && !ours.is_empty() {
            set_topics(&mut connection, wanted(config, volume, ours.len())).await?;
            set = true;
        }
        if room.broker.is_empty() || held.bytes() > room.bytes {
            room = Room { broker: address.clone(), bytes: held.bytes(), awaited: Vec::new() };
        }
    }
    if room.broker.is_empty() {
        outcome?;
    }
    let awaited: BTreeSet<&'static str> =
        over.iter().flat_map(|(topic, _)| readers(config, topic)).copied().collect();
    room.awaited = awaited.into_iter().collect();
    remove_finished(config, over).await?;
    Ok(room)
}

/// A connection to a broker, and what the broker holds.
async fn held_at(config: &Kafka, address: &str) -> Result<(Connection, Held), BusError> {
    let mut connection = Connection::to(config, address).await?;
    let held = held(&mut connection).await?;
    Ok((connection, held))
}

async fn held(connection: &mut Connection) -> Result<Held, BusError> {
    let mut body = Writer::default();
    // All topics.
    body.int32(-1);
    let answer = connection.ask(&DESCRIBE_LOG_DIRS, body).await?;
    let (code, held) = DESCRIBE_LOG_DIRS.read(answer, read_held)?;
    match code {
        0 => Ok(held),
        CLUSTER_AUTHORIZATION_FAILED => Err(DESCRIBE_LOG_DIRS.refused(code, Some(NO_ADMINISTRATOR.into()))),
        _ => Err(DESCRIBE_LOG_DIRS.refused(code, None)),
    }
}

fn read_held(reader: &mut Reader) -> Result<(i16, Held), Malformed> {
    let _throttled = reader.int32()?;
    let directories = reader.all(|reader| {
        let code = reader.int16()?;
        let _path = reader.text()?;
        let topics = reader.all(|reader| {
            let topic = reader.text()?;
            let partitions = reader.all(|reader| {
                let (number, size, _lag, _future) =
                    (reader.int32()?, reader.int64()?, reader.int64()?, reader.flag()?);
                Ok((number, u64::try_from(size).unwrap_or(0)))
            })?;
            Ok((topic, partitions))
        })?;
        Ok((code, topics))
    })?;
    // Without the right to ask, Kafka returns none.
    let refused = if directories.is_empty() { CLUSTER_AUTHORIZATION_FAILED } else { 0 };
    let failed = directories.iter().map(|(code, _)| *code).find(|code| *code != 0).unwrap_or(refused);
    let mut held = Held::default();
    for (topic, partitions) in directories.into_iter().flat_map(|(_, topics)| topics) {
        for (number, size) in partitions {
            *held.sizes.entry((topic.clone(), number)).or_default() += size;
        }
    }
    Ok((failed, held))
}

async fn set_topics(connection: &mut Connection, wanted: BTreeMap<String, Settings>) -> Result<(), BusError> {
    let mut body = Writer::default();
    body.all(wanted.iter(), |body, (topic, settings)| {
        body.int8(TOPIC).text(topic).all(settings.keys(), |body, name| _ = body.text(name));
    });
    // No synonyms.
    body.int8(0);
    let answer = connection.ask(&DESCRIBE_CONFIGS, body).await?;
    // Topics that do not exist yet are skipped.
    let there = DESCRIBE_CONFIGS.read(answer, read_settings)?;
    let changes = differing(wanted, &there);
    if changes.is_empty() {
        return Ok(());
    }
    tracing::info!(?changes, "topics.set");
    let mut body = Writer::default();
    body.all(changes.iter(), |body, (topic, settings)| {
        body.int8(TOPIC).text(topic).all(settings.iter(), |body, (name, value)| {
            body.text(name).int8(SET).text(value);
        });
    });
    // Not a dry run.
    body.int8(0);
    let answer = connection.ask(&ALTER_CONFIGS, body).await?;
    let outcomes = ALTER_CONFIGS.read(answer, |reader| {
        let _throttled = reader.int32()?;
        reader.all(|reader| {
            let (code, said) = (reader.int16()?, reader.maybe_text()?);
            let (_kind, _topic) = (reader.int8()?, reader.text()?);
            Ok((code, said))
        })
    })?;
    ALTER_CONFIGS.first_refusal(outcomes)
}

fn read_settings(reader: &mut Reader) -> Result<BTreeMap<String, Settings>, Malformed> {
    let _throttled = reader.int32()?;
    let all = reader.all(|reader| {
        let (code, _said, _kind) = (reader.int16()?, reader.maybe_text()?, reader.int8()?);
        let topic = reader.text()?;
        let settings = reader.all(|reader| {
            let (name, value) = (reader.text()?, reader.maybe_text()?);
            let (_read_only, _source, _secret) = (reader.flag()?, reader.int8()?, reader.flag()?);
            reader.all(|reader| {
                let (_name, _value) = (reader.text()?, reader.maybe_text()?);
                reader.int8()
            })?;
            Ok((name, value.unwrap_or_default()))
        })?;
        Ok((code == 0).then(|| (topic, settings.into_iter().collect())))
    })?;
    Ok(all.into_iter().flatten().collect())
}

/// Deletes the records of these partitions that every consumer group has committed. If the process crashes in between, fewer are deleted; the
/// next record of a group is never among them, because commits only move forward.
async fn remove_finished(config: &Kafka, partitions: BTreeSet<Partition>) -> Result<(), BusError> {
    if partitions.is_empty() {
        return Ok(());
    }
    let settings = config.clone();
    let asked = tokio::task::spawn_blocking(move || finished_of(&settings, &partitions)).await;
    let offsets = asked.map_err(|_stopped| rdkafka::error::KafkaError::Canceled)??;
    if offsets.count() == 0 {
        return Ok(());
    }
    let admin: AdminClient<_> = client(config).create()?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let done = admin.delete_records(&offsets, &options).await?;
    for element in done.elements() {
        // The topic was recreated in between; the next call sees it.
        if let Err(error) = element.error() {
            tracing::info!(topic = element.topic(), partition = element.partition(), %error, "records.kept");
        }
    }
    Ok(())
}

/// By partition, the offset before which everything is consumed; blocks.
fn finished_of(config: &Kafka, partitions: &BTreeSet<Partition>) -> Result<TopicPartitionList, BusError> {
    let mut committed: BTreeMap<&Partition, Vec<Option<i64>>> = BTreeMap::new();
    for name in groups::ALL {
        let mut list = TopicPartitionList::new();
        let read = partitions.iter().filter(|(topic, _)| readers(config, topic).contains(&name));
        for (topic, partition) in read.clone() {
            list.add_partition(topic, *partition);
        }
        if list.count() == 0 {
            continue;
        }
        let consumer: BaseConsumer =
            client(config).set("group.id", config.group(name)).set("enable.auto.commit", "false").create()?;
        let offsets = consumer.committed_offsets(list, PATIENCE)?;
        for partition in read {
            let found = offsets.find_partition(&partition.0, partition.1).map(|found| found.offset());
            let next = if let Some(Offset::Offset(next)) = found { Some(next) } else { None };
            committed.entry(partition).or_default().push(next);
        }
    }
    let mut list = TopicPartitionList::new();
    for ((topic, partition), groups) in committed {
        if let Some(offset) = finished(&groups) {
            list.add_partition_offset(topic, *partition, Offset::Offset(offset))?;
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn consumed_records_get_a_share_of_the_volume_whatever_its_size() {
        for (volume, partitions) in [(GIB, 32), (10 * GIB, 32), (10 * GIB, 4), (500 * GIB, 256)] {
            let share = share(volume, partitions);
            assert!(share * partitions as u64 <= volume * SHARE / 100);
            assert!((SMALLEST_SEGMENT..=LARGEST_SEGMENT).contains(&segment(share)));
        }
        let of = |volume| wanted(&Kafka::default(), volume, 32);
        assert!(segment(share(10 * GIB, 32)) < segment(share(100 * GIB, 32)), "grows with the volume");
        assert_eq!(
            differing(of(10 * GIB), &of(10 * GIB)),
            BTreeMap::new(),
            "unchanged settings are not sent"
        );
        let grown = differing(of(100 * GIB), &of(10 * GIB));
        assert!(grown.values().all(|settings| settings.keys().eq(["segment.bytes"])), "{grown:?}");
        assert_eq!(grown.len(), 5);
        assert_eq!(differing(of(GIB), &BTreeMap::new()), BTreeMap::new(), "topics that do not exist");
    }

    #[test]
    fn kafka_deletes_no_record_that_must_be_read() {
        let config = Kafka::default();
        let wanted = wanted(&config, 10 * GIB, 32);
        for topic in [&config.message_topic, &config.push_topic] {
            assert_eq!(wanted[topic]["retention.ms"], "-1");
        }
        for topic in [&config.webhook_topic, &config.offline_topic] {
            assert_eq!(wanted[topic]["retention.ms"], TWO_DAYS_MS);
        }
        assert!(wanted.values().all(|settings| !settings.contains_key("retention.bytes")));
    }

    #[test]
    fn only_records_that_all_groups_have_consumed_are_deleted() {
        assert_eq!(finished(&[Some(7)]), Some(7));
        assert_eq!(finished(&[Some(7), Some(3)]), Some(3));
        assert_eq!(finished(&[Some(7), None]), None, "a group without a commit");
        assert_eq!((finished(&[Some(0)]), finished(&[None])), (None, None));
        let config = Kafka::default();
        let read: BTreeSet<&str> =
            topics(&config).into_iter().flat_map(|topic| readers(&config, topic)).copied().collect();
        assert_eq!(read, BTreeSet::from(groups::ALL), "every group is asked");
    }

    #[test]
    fn the_usage_of_a_broker_is_the_sum_of_its_directories() {
        let mut answer = Writer::default();
        let directory = |answer: &mut Writer, size: i32| {
            answer.int16(0).text("/data").all(["t"].into_iter(), |answer, topic| {
                answer.text(topic).all([5].into_iter(), |answer, number| {
                    answer.int32(number).int32(0).int32(size).int32(0).int32(0).int8(0);
                });
            });
        };
        answer.int32(0).all([40, 2].into_iter(), directory);
        let (code, held) = read_held(&mut Reader::new(answer.finish())).unwrap();
        assert_eq!((code, held.bytes()), (0, 42));
        let none = Bytes::from_static(&[0; 8]);
        assert_eq!(read_held(&mut Reader::new(none)).unwrap().0, CLUSTER_AUTHORIZATION_FAILED);
        assert_eq!(held.sizes.keys().next(), Some(&("t".to_owned(), 5)));
        let room = Room { bytes: 42, ..Default::default() };
        assert_eq!((room.percent(50), room.percent(0)), (84, 0));
    }
}
