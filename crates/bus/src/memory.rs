//! A log in memory, for tests: topics with partitions, offsets, and groups whose last member to join has all partitions. What is not
//! committed is read again by the next member; a member that another one replaced cannot commit. Never part of a release.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use faults::fate::{Fate, Fates, Kind, dies};
use rdkafka::{
    Offset, TopicPartitionList,
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use tokio::sync::{Notify, mpsc};

use crate::{BusError, consumer::Event, partitions::partition_of};

/// A record.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its content.
    pub payload: Bytes,
    /// Where it is in its partition.
    pub offset: i64,
}

/// What a group commits, as a test looks at it.
#[derive(Debug)]
pub struct Committed<'a> {
    /// Of which topic.
    pub topic: &'a str,
    /// By which group.
    pub group: &'a str,
    /// The records that it takes for finished with this.
    pub records: &'a [Entry],
}

type Watcher = Arc<dyn Fn(&Committed<'_>) + Send + Sync>;

/// What all processes share.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    partitions: i32,
    state: Mutex<State>,
    grown: Notify,
    watcher: Option<Watcher>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Vec<Vec<Entry>>>,
    groups: BTreeMap<(String, String), Group>,
}

#[derive(Default)]
struct Group {
    /// Counts the members that ever joined; the last of them has the partitions.
    generation: u64,
    member: Option<mpsc::Sender<Event>>,
    /// Where to go on from, by partition.
    committed: BTreeMap<i32, i64>,
}

impl Log {
    /// A log whose topics have so many partitions. `watcher` sees each commit before it is made.
    pub fn new(partitions: i32, watcher: Option<Watcher>) -> Self {
        Self(Arc::new(Shared { partitions, state: Mutex::default(), grown: Notify::new(), watcher }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, topic: &str, partition: i32, key: &str, payload: &[u8]) {
        let mut state = self.state();
        let partitions = state.topics.entry(topic.to_owned()).or_default();
        partitions.resize_with(self.0.partitions as usize, Vec::new);
        let entries = &mut partitions[partition as usize];
        let offset = entries.len() as i64;
        entries.push(Entry { key: key.to_owned(), payload: Bytes::copy_from_slice(payload), offset });
        drop(state);
        self.0.grown.notify_waiters();
    }

    /// Everything that was ever produced to a topic, partition by partition.
    pub fn entries(&self, topic: &str) -> Vec<Entry> {
        self.state().topics.get(topic).into_iter().flatten().flatten().cloned().collect()
    }

    /// How many records a group has not finished.
    pub fn lag(&self, topic: &str, group: &str) -> usize {
        let state = self.state();
        let committed = state.groups.get(&(topic.to_owned(), group.to_owned()));
        let partitions = state.topics.get(topic).into_iter().flatten().enumerate();
        let left = partitions.map(|(partition, entries)| {
            let next =
                committed.and_then(|group| group.committed.get(&(partition as i32)).copied()).unwrap_or(0);
            entries.len() - next as usize
        });
        left.sum()
    }
}

/// A producer of one process.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) log: Log,
    pub(crate) fates: Arc<dyn Fates>,
}

impl Line {
    pub(crate) async fn send(
        &self,
        topic: &str,
        key: &str,
        payload: &[u8],
        within: Option<i32>,
    ) -> Result<(), BusError> {
        let partition = partition_of(key, within.unwrap_or(self.log.0.partitions));
        let push = || self.log.push(topic, partition, key, payload);
        let late = || Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut).into());
        match self.fates.step(Kind::Produce, topic).await {
            Fate::Done | Fate::Conflict => push(),
            Fate::Twice => {
                push();
                push();
            }
            Fate::Refused | Fate::Half => return late(),
            Fate::Lost => {
                push();
                return late();
            }
            Fate::DiesBefore => dies(self.fates.as_ref()).await,
            Fate::DiesAfter => {
                push();
                dies(self.fates.as_ref()).await
            }
        }
        Ok(())
    }
}

/// A member of a group, in one process.
pub(crate) struct Member {
    log: Log,
    fates: Arc<dyn Fates>,
    topic: String,
    group: String,
    events: mpsc::Sender<Event>,
    /// Of its membership; 0: none.
    generation: Mutex<u64>,
    /// Where it continues in the partitions that it reads.
    positions: Mutex<HashMap<i32, i64>>,
}

impl Member {
    pub(crate) fn new(line: Line, topic: &str, group: &str, events: mpsc::Sender<Event>) -> Self {
        let (topic, group) = (topic.to_owned(), group.to_owned());
        let Line { log, fates } = line;
        Self { log, fates, topic, group, events, generation: Mutex::default(), positions: Mutex::default() }
    }

    fn key(&self) -> (String, String) {
        (self.topic.clone(), self.group.clone())
    }

    fn positions(&self) -> MutexGuard<'_, HashMap<i32, i64>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(&self) -> MutexGuard<'_, u64> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All partitions are its own from now on; the previous owner is notified.
    pub(crate) fn join(&self) {
        let all: Vec<i32> = (0..self.log.0.partitions).collect();
        let mut state = self.log.state();
        let group = state.groups.entry(self.key()).or_default();
        group.generation += 1;
        *self.generation() = group.generation;
        let before = group.member.replace(self.events.clone());
        drop(state);
        if let Some(before) = before {
            let _gone = before.try_send(Event::Lost(all.clone()));
        }
        let _told = self.events.try_send(Event::Gained(all));
    }

    pub(crate) fn leave(&self) {
        self.positions().clear();
    }

    pub(crate) fn assign(&self, list: &TopicPartitionList) {
        let state = self.log.state();
        let group = state.groups.get(&self.key());
        let mut positions = self.positions();
        for element in list.elements() {
            let partition = element.partition();
            let committed = group.and_then(|group| group.committed.get(&partition).copied()).unwrap_or(0);
            let from = if element.offset() == Offset::Beginning { 0 } else { committed };
            positions.insert(partition, from);
        }
        drop((positions, state));
        self.log.0.grown.notify_waiters();
    }

    pub(crate) fn unassign(&self, list: &TopicPartitionList) {
        let mut positions = self.positions();
        list.elements().iter().for_each(|element| _ = positions.remove(&element.partition()));
    }

    /// The next record, which stays the next one.
    fn peek(&self, partition: i32) -> Option<Entry> {
        let position = *self.positions().get(&partition)?;
        let state = self.log.state();
        let entries = state.topics.get(&self.topic)?.get(partition as usize)?;
        entries.get(usize::try_from(position).ok()?).cloned()
    }

    pub(crate) async fn recv(&self, partition: i32) -> Entry {
        let mut waited = false;
        loop {
            let mut grown = std::pin::pin!(self.log.0.grown.notified());
            grown.as_mut().enable();
            if self.fates.is_dead() {
                std::future::pending::<()>().await;
            }
            // What waits already is taken at once, so that batches have several records.
            if waited && self.peek(partition).is_some() {
                match self.fates.step(Kind::Consume, &self.topic).await {
                    Fate::DiesBefore | Fate::DiesAfter => dies(self.fates.as_ref()).await,
                    _ => {}
                }
            }
            if let Some(entry) = self.peek(partition) {
                self.positions().insert(partition, entry.offset + 1);
                return entry;
            }
            grown.await;
            waited = true;
        }
    }

    pub(crate) fn commit(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        let refused = |code| Err(KafkaError::ConsumerCommit(code));
        if self.fates.is_dead() {
            return Ok(());
        }
        let fate = self.fates.at_once(Kind::Commit, &self.topic);
        match fate {
            Fate::Refused | Fate::Half => return refused(RDKafkaErrorCode::CoordinatorNotAvailable),
            Fate::DiesBefore => {
                self.fates.die();
                return Ok(());
            }
            _ => {}
        }
        let elements = offsets.elements();
        let next =
            elements.iter().filter_map(|element| Some((element.partition(), element.offset().to_raw()?)));
        let next: Vec<(i32, i64)> = next.collect();
        let generation = *self.generation();
        let current = self.log.state().groups.get(&self.key()).map_or(0, |group| group.generation);
        if generation != current {
            return refused(RDKafkaErrorCode::IllegalGeneration);
        }
        for (partition, next) in &next {
            self.watch(*partition, *next);
        }
        let mut state = self.log.state();
        state.groups.entry(self.key()).or_default().committed.extend(next);
        drop(state);
        match fate {
            Fate::Lost => refused(RDKafkaErrorCode::RequestTimedOut),
            Fate::DiesAfter => {
                self.fates.die();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn watch(&self, partition: i32, next: i64) {
        let Some(watcher) = &self.log.0.watcher else { return };
        let state = self.log.state();
        let group = state.groups.get(&self.key());
        let from = group.and_then(|group| group.committed.get(&partition).copied()).unwrap_or(0).min(next);
        let entries = state.topics.get(&self.topic).and_then(|topic| topic.get(partition as usize));
        let records = entries.map(|all| all[from as usize..next as usize].to_vec()).unwrap_or_default();
        drop(state);
        watcher(&Committed { topic: &self.topic, group: &self.group, records: &records });
    }
}
