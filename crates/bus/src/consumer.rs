//! A consumer group member. Each assigned partition gets a task of its own that handles batches in order; offsets are committed
//! after their batches are finished, never before. A partition that is lost finishes the batch in hand, or is cut off and its batch is
//! redone elsewhere.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use budget::Budget;
use futures::FutureExt;
use parking_lot::Mutex;
use prometheus_client::metrics::{gauge::Gauge, histogram::Histogram};
use rdkafka::{
    ClientContext, Message, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, StreamConsumer},
    error::KafkaResult,
    types::RDKafkaRespErr,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    Batch, BusError, ConsumerMetrics,
    batch::{Gathering, cost, size_of},
    client,
    member::{Member, Queue},
    metrics::OfConsumer,
    progress::{Offsets, Progress},
    recreated,
};

/// When offsets are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// After their records are handled: a process that dies handles some of them again.
    HandleFirst,
    /// Before: a process that dies loses records. Only the planted bug of `e2e/tests/planted-bug.sh` does so.
    CommitFirst,
}

/// Handles the batches of one partition while it is assigned here; dropped with the assignment.
pub trait PartitionHandler: Send + 'static {
    /// Finishes a batch. Returning means that everything in it is safe; the offset is committed soon. Must not return
    /// before that: failures are retried inside. The future is dropped when the partition is lost and it takes long.
    fn handle(&mut self, batch: Batch) -> impl Future<Output = ()> + Send;
}

/// What librdkafka tells, in order.
pub(crate) enum Event {
    Gained(Vec<i32>),
    Lost(Vec<i32>),
    /// A commit failed, as during a rebalance: partitions and the offsets to continue from.
    NotCommitted(Vec<(i32, i64)>),
    /// The topic was deleted and recreated.
    Recreated,
    /// The handler of a partition panicked: nobody reads the partition any more.
    Broken(i32),
}

pub(crate) struct Context {
    topic: String,
    events: mpsc::Sender<Event>,
    /// Nothing runs any more: partitions are given back at once.
    closing: AtomicBool,
    /// Records that wait in the partitions of this member.
    lag: Gauge,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Debug if recreated::says(line, &self.topic) => _ = self.tell(Event::Recreated),
            RDKafkaLogLevel::Debug => {}
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::info!(facility, line, "consumer.client")
            }
            _ => tracing::warn!(facility, line, "consumer.client"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        // -1: not a partition of this member, or not known yet.
        self.lag.set(partitions.map(|partition| partition.consumer_lag.max(0)).sum());
    }
}

impl ConsumerContext for Context {
    /// The consumer's own loop carries assignments out: it takes the queue of a partition before its first record is fetched, so
    /// that none goes another way and is overtaken, and it lets the batch in hand finish before it gives a partition back.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let told = match kind {
            _ if self.closing.load(Ordering::Acquire) => false,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.tell(Event::Gained(numbers(list))),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.tell(Event::Lost(numbers(list))),
            _ => false,
        };
        if told {
            return;
        }
        let done = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => consumer.incremental_assign(list),
            _ => consumer.incremental_unassign(list),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "consumer.rebalance_failed");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            let offsets = offsets.elements();
            let next = |offset: Offset| offset.to_raw().filter(|raw| *raw >= 0);
            let offsets: Vec<(i32, i64)> = offsets
                .iter()
                .filter_map(|element| Some((element.partition(), next(element.offset())?)))
                .collect();
            tracing::info!(?offsets, %error, "consumer.not_committed");
            self.tell(Event::NotCommitted(offsets));
        }
    }
}

impl Context {
    /// Partitions are given back at once from now on.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn tell(&self, event: Event) -> bool {
        let told = self.events.try_send(event).is_ok();
        if !told {
            tracing::error!("consumer.event_lost: more rebalances than the consumer could follow");
        }
        told
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

/// A partition that is given back may finish the batch in hand for this long; what is cut off is handled again by the next owner.
const HANDOVER: Duration = Duration::from_secs(2);

/// Finished batches are committed together, this often: a commit for each would keep the group coordinator so busy that heartbeats wait
/// behind them. After a crash that much is handled again, without effect.
const COMMIT_EVERY: Duration = Duration::from_millis(200);

/// A partition whose handler panicked is read again after this, and after twice as long each time it panics again: a new handler does not
/// know what the one before it did, and does that again.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_AFTER_PANIC: Duration = Duration::from_secs(300);

/// What the tasks of all partitions share.
struct Source {
    member: Member,
    events: mpsc::Sender<Event>,
    /// How often handlers of a partition have panicked since one finished a batch.
    panics: Mutex<HashMap<i32, u32>>,
    topic: String,
    batch_size: usize,
    order: Order,
    /// The time (ms) before which records are too old to be handled.
    oldest: Option<Box<dyn Fn() -> Option<i64> + Send + Sync>>,
    progress: Mutex<Progress>,
    /// For the batches of all partitions.
    budget: Budget,
    /// How many records they have.
    batches: Option<Histogram>,
}

impl Source {
    fn of(
        (member, events): (Member, mpsc::Sender<Event>),
        topic: &str,
        batch_size: usize,
        order: Order,
        budget: Budget,
    ) -> Self {
        let (topic, progress) = (topic.to_owned(), Mutex::default());
        let panics = Mutex::default();
        Self {
            member,
            events,
            panics,
            topic,
            batch_size,
            order,
            oldest: None,
            progress,
            budget,
            batches: None,
        }
    }

    /// How long a partition rests whose handler has panicked.
    fn after_panic(&self, partition: i32) -> Duration {
        let mut panics = self.panics.lock();
        let times = panics.entry(partition).or_default();
        let pause = AFTER_PANIC * 2_u32.saturating_pow(*times);
        *times = times.saturating_add(1);
        pause.min(LONGEST_AFTER_PANIC)
    }

    fn commit_finished(&self, mode: CommitMode) {
        let offsets = self.progress.lock().take();
        if !offsets.is_empty() && !self.commit(&offsets, mode) {
            self.progress.lock().not_committed(offsets);
        }
    }

    fn list(&self, partitions: impl IntoIterator<Item = i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        list
    }

    fn commit(&self, offsets: &Offsets, mode: CommitMode) -> bool {
        let mut list = TopicPartitionList::new();
        let added = offsets.iter().try_for_each(|(partition, next)| {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))
        });
        let committed = added.and_then(|()| self.member.commit(&list, mode));
        if let Err(error) = &committed {
            // The batches will be seen again, without effect.
            tracing::warn!(topic = self.topic, ?offsets, %error, "consumer.commit_failed");
        }
        committed.is_ok()
    }
}

/// A member of a consumer group for one topic.
pub struct Consumer {
    source: Source,
    events: mpsc::Receiver<Event>,
}

impl Consumer {
    /// Prepares a member of `group`; it joins when [`Consumer::run`] starts. A new group starts at the oldest record. The batches of all
    /// partitions together stay within `budget`: what there is no room for is left in Kafka.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn new(
        config: &config::Kafka,
        topic: &str,
        group: &str,
        batch_size: usize,
        metrics: &ConsumerMetrics,
        order: Order,
        budget: Budget,
    ) -> Result<Self, BusError> {
        let (sender, events) = mpsc::channel(1024);
        let OfConsumer { lag, batches } = metrics.of(topic, group);
        let consumer: StreamConsumer<Context> = client(config)
            // See `recreated`.
            .set("debug", "metadata")
            .set_log_level(RDKafkaLogLevel::Debug)
            .set("group.id", config.group(group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            // Members keep consuming what they keep: only moved partitions pause during a rebalance.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            // Members hear of a rebalance in the answer to a heartbeat.
            .set("heartbeat.interval.ms", "1000")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "100")
            .set("queued.max.messages.kbytes", "16384")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "5000")
            .create_with_context(Context {
                topic: topic.to_owned(),
                events: sender.clone(),
                closing: AtomicBool::new(false),
                lag,
            })?;
        let member = (Member::Kafka(Arc::new(consumer)), sender);
        let source =
            Source { batches: Some(batches), ..Source::of(member, topic, batch_size, order, budget) };
        Ok(Self { source, events })
    }

    /// A member that reads a log in memory, as one process sees it.
    #[cfg(debug_assertions)]
    pub fn in_memory(
        log: &crate::memory::Log,
        fates: Arc<dyn faults::fate::Fates>,
        topic: &str,
        group: &str,
        batch_size: usize,
        budget: Budget,
    ) -> Self {
        let (sender, events) = mpsc::channel(1024);
        let line = crate::memory::Line { log: log.clone(), fates };
        let member = crate::memory::Member::new(line, topic, group, sender.clone());
        let member = (Member::Memory(Arc::new(member)), sender);
        let order = if faults::mutants::is_on(faults::mutants::Mutant::CommitBeforeWrite) {
            Order::CommitFirst
        } else {
            Order::HandleFirst
        };
        Self { source: Source::of(member, topic, batch_size, order, budget), events }
    }

    /// Passes over records that were produced before a time (ms): a group whose offsets were lost begins at the oldest record, and what is
    /// long past must not be done again. `None`: all are handled.
    pub fn not_before(mut self, oldest: impl Fn() -> Option<i64> + Send + Sync + 'static) -> Self {
        self.source.oldest = Some(Box::new(oldest));
        self
    }

    /// Consumes until `stop`; `handler` makes the state of a newly assigned partition.
    ///
    /// # Errors
    /// When the subscription is refused.
    pub async fn run<H: PartitionHandler>(
        self,
        handler: impl Fn(i32) -> H + Send,
        stop: CancellationToken,
    ) -> Result<(), BusError> {
        let (source, mut events) = (Arc::new(self.source), self.events);
        let tasks = TaskTracker::new();
        let mut running = HashMap::new();
        let mut commits = tokio::time::interval(COMMIT_EVERY);
        commits.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        source.member.subscribe(&source.topic)?;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = commits.tick() => source.commit_finished(CommitMode::Async),
                Some(event) = events.recv() => match event {
                    Event::Gained(partitions) => {
                        for partition in &partitions {
                            source.start(*partition, &handler, &tasks, &mut running);
                        }
                        if let Err(error) = source.member.assign(&source.list(partitions)) {
                            tracing::warn!(topic = source.topic, %error, "consumer.assign_failed");
                        }
                    }
                    Event::Lost(partitions) => {
                        let leaving = partitions.iter().filter_map(|partition| running.remove(partition)).collect();
                        source.hand_over(leaving).await;
                        // The new owner may be further: committing later would send it back.
                        source.progress.lock().forget(&partitions);
                        if let Err(error) = source.member.unassign(&source.list(partitions)) {
                            tracing::warn!(topic = source.topic, %error, "consumer.unassign_failed");
                        }
                    }
                    Event::NotCommitted(offsets) => source.progress.lock().not_committed(offsets),
                    Event::Recreated => source.begin_again(&handler, &tasks, &mut running).await,
                    Event::Broken(partition) => source.replace_handler(partition, &handler, &tasks, &mut running).await,
                },
                // The queues of the partitions take all records; this poll serves rebalances and errors.
                event = source.member.recv() => match event {
                    Err(error) => {
                        tracing::warn!(topic = source.topic, %error, "consumer.failed");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    Ok(record) => {
                        tracing::error!(topic = source.topic, partition = record.partition(), "consumer.record_outside_its_queue");
                        let (partition, offset) = (record.partition(), record.offset());
                        drop(record);
                        if let Err(error) = source.member.seek(&source.topic, partition, offset) {
                            tracing::warn!(topic = source.topic, partition, %error, "consumer.seek_failed");
                        }
                    }
                },
            }
        }
        source.hand_over(running.into_values().collect()).await;
        source.member.close();
        while let Ok(event) = events.try_recv() {
            if let Event::Lost(partitions) = event {
                let given_back = source.member.unassign(&source.list(partitions));
                tracing::debug!(?given_back, "consumer.given_back");
            }
        }
        source.member.unsubscribe();
        Ok(())
    }
}

/// The task of an assigned partition.
struct Running {
    /// Stop taking batches.
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Source {
    fn start<H: PartitionHandler>(
        self: &Arc<Self>,
        partition: i32,
        handler: &(impl Fn(i32) -> H + Send),
        tasks: &TaskTracker,
        running: &mut HashMap<i32, Running>,
    ) {
        let Some(queue) = self.member.queue(&self.topic, partition) else {
            tracing::error!(topic = self.topic, partition, "consumer.no_queue");
            return;
        };
        let stop = CancellationToken::new();
        tracing::info!(topic = self.topic, partition, "consumer.partition_gained");
        let work = consume(self.clone(), queue, partition, handler(partition), stop.clone());
        running.insert(partition, Running { stop, task: tasks.spawn(work) });
    }

    /// Reads the partitions from their beginnings, and says so to whoever reads them next: what was finished was in another topic.
    async fn begin_again<H: PartitionHandler>(
        self: &Arc<Self>,
        handler: &(impl Fn(i32) -> H + Send),
        tasks: &TaskTracker,
        running: &mut HashMap<i32, Running>,
    ) {
        let partitions: Vec<i32> = running.keys().copied().collect();
        tracing::warn!(
            topic = self.topic,
            ?partitions,
            "consumer.topic_recreated: reading it from its beginning"
        );
        end(running.drain().map(|(_, running)| running).collect()).await;
        self.progress.lock().forget(&partitions);
        let begun = self.member.unassign(&self.list(partitions.iter().copied())).and_then(|()| {
            let mut beginnings = TopicPartitionList::new();
            for partition in &partitions {
                self.start(*partition, handler, tasks, running);
                beginnings.add_partition_offset(&self.topic, *partition, Offset::Beginning)?;
            }
            self.member.assign(&beginnings)
        });
        if let Err(error) = begun {
            tracing::warn!(topic = self.topic, %error, "consumer.assign_failed");
        }
        let (source, first) = (self.clone(), partitions.iter().map(|partition| (*partition, 0)).collect());
        self.member.wait_for(move || _ = source.commit(&first, CommitMode::Sync)).await;
    }

    /// Reads a partition on from what is finished, with a new handler: the state of the one that panicked is not to be relied on.
    async fn replace_handler<H: PartitionHandler>(
        self: &Arc<Self>,
        partition: i32,
        handler: &(impl Fn(i32) -> H + Send),
        tasks: &TaskTracker,
        running: &mut HashMap<i32, Running>,
    ) {
        // Somebody else may have it by now.
        let Some(broken) = running.remove(&partition) else { return };
        self.hand_over(vec![broken]).await;
        self.progress.lock().forget(&[partition]);
        let list = self.list([partition]);
        let begun = self.member.unassign(&list).and_then(|()| {
            self.start(partition, handler, tasks, running);
            self.member.assign(&list)
        });
        if let Err(error) = begun {
            tracing::warn!(topic = self.topic, partition, %error, "consumer.assign_failed");
        }
    }

    /// Ends tasks, if possible after their current batch, and commits what is finished.
    async fn hand_over(self: &Arc<Self>, leaving: Vec<Running>) {
        end(leaving).await;
        // It waits for the broker, up to a time-out of the socket.
        let source = self.clone();
        self.member.wait_for(move || source.commit_finished(CommitMode::Sync)).await;
    }
}

/// Ends tasks, if possible after their current batch.
async fn end(leaving: Vec<Running>) {
    for running in &leaving {
        running.stop.cancel();
    }
    let end = tokio::time::Instant::now() + HANDOVER;
    for mut running in leaving {
        if tokio::time::timeout_at(end, &mut running.task).await.is_err() {
            running.task.abort();
            // It ends at its next await; until then it may still touch what is shared.
            let _aborted = running.task.await;
        }
    }
}

async fn consume<H: PartitionHandler>(
    source: Arc<Source>,
    queue: Queue,
    partition: i32,
    mut handler: H,
    token: CancellationToken,
) {
    let topic = &source.topic;
    loop {
        let first = tokio::select! {
            () = token.cancelled() => break,
            record = queue.recv() => record,
        };
        let waits_for_room = source.budget.wait(cost(first.as_ref().map_or(0, size_of)));
        let Some(mut held) = token.run_until_cancelled(waits_for_room).await else { break };
        let oldest = source.oldest.as_ref().and_then(|oldest| oldest());
        let mut gathering = Gathering::default();
        let mut next_record = Some(first);
        while let Some(record) = next_record {
            match record {
                Ok(record) => gathering.take(&record, oldest),
                Err(error) => {
                    tracing::warn!(topic, partition, %error, "consumer.failed");
                    gathering.failed();
                }
            }
            // Whatever is in the queue already and has room; never wait for more.
            let more = cost(gathering.bytes()).saturating_sub(held.bytes());
            let full = gathering.is_full(source.batch_size) || held.grow(more).is_err();
            next_record = if full { None } else { queue.recv().now_or_never() };
        }
        if gathering.skipped > 0 {
            tracing::warn!(topic, partition, records = gathering.skipped, "consumer.too_old: skipped");
        }
        let Some(offset) = gathering.last_offset else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let next = offset + 1;
        if source.order == Order::CommitFirst {
            source.commit(&Offsets::from([(partition, next)]), CommitMode::Sync);
        }
        let records = gathering.batch.records.len();
        if let Some(batches) = &source.batches {
            batches.observe(records as f64);
        }
        let span =
            tracing::error_span!("batch", batch = format_args!("{topic}/{partition}@{offset}"), records);
        let handled = AssertUnwindSafe(handler.handle(gathering.batch)).catch_unwind().instrument(span).await;
        if handled.is_err() {
            tracing::error!(
                topic,
                partition,
                offset,
                "consumer.handler_panicked: its batch is handled again"
            );
            let pause = source.after_panic(partition);
            let told = async {
                tokio::time::sleep(pause).await;
                source.events.send(Event::Broken(partition)).await
            };
            let _told = token.run_until_cancelled(told).await;
            break;
        }
        source.panics.lock().remove(&partition);
        // A task that has already committed must not commit again later: that would move the offset back.
        if source.order == Order::HandleFirst {
            source.progress.lock().finish(partition, next);
        }
    }
    tracing::info!(topic, partition, "consumer.partition_left");
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};

    use super::*;
    use crate::Producer;

    /// Panics at first, so many times.
    #[cfg(debug_assertions)]
    struct Panics(Arc<std::sync::atomic::AtomicU32>, Collect);

    #[cfg(debug_assertions)]
    impl PartitionHandler for Panics {
        async fn handle(&mut self, batch: Batch) {
            let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            assert!(left.is_err(), "as asked");
            self.1.handle(batch).await;
        }
    }

    #[cfg(debug_assertions)]
    #[tokio::test(start_paused = true)]
    async fn a_partition_whose_handler_panics_is_read_again_and_nothing_is_passed_over() {
        let (log, fates) = (crate::memory::Log::new(2, None), Arc::new(faults::fate::Calm));
        let producer = Producer::in_memory(&log, fates.clone());
        let (sender, mut seen) = mpsc::channel(100);
        let consumer = Consumer::in_memory(&log, fates, "t", "g", 1, Budget::new(1 << 20));
        let panics = Arc::new(std::sync::atomic::AtomicU32::new(3));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let handler = move |_| Panics(panics.clone(), Collect(sender.clone()));
        tasks.spawn(consumer.run(handler, stop.clone()));
        for number in 0..5 {
            producer.send("t", "k", number.to_string().as_bytes()).await.unwrap();
        }
        for number in 0..5 {
            assert_eq!(seen.recv().await, Some(number.to_string()));
        }
        while log.lag("t", "g") > 0 {
            tokio::time::sleep(COMMIT_EVERY).await;
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        assert_eq!(seen.recv().await, None, "each was handled once");
    }

    struct Collect(mpsc::Sender<String>);

    impl PartitionHandler for Collect {
        async fn handle(&mut self, batch: Batch) {
            for (_, payload) in batch.records {
                self.0.send(String::from_utf8_lossy(&payload).into_owned()).await.unwrap();
            }
        }
    }

    /// A commit may wait for as long as a socket's timeout; the runtime of this test has one thread.
    #[tokio::test]
    async fn what_waits_for_a_broker_holds_nobody_up() {
        let config = config::Kafka { address: vec!["127.0.0.1:1".into()], ..Default::default() };
        let (metrics, budget) = (ConsumerMetrics::default(), Budget::new(1 << 20));
        let consumer = Consumer::new(&config, "t", "g", 10, &metrics, Order::HandleFirst, budget).unwrap();
        let (broker, answer) = std::sync::mpsc::channel();
        let (told, heard) = std::sync::mpsc::channel();
        let wait = move || told.send(answer.recv_timeout(Duration::from_secs(10)).is_ok()).unwrap();
        tokio::join!(consumer.source.member.wait_for(wait), async { broker.send(()).unwrap() });
        assert!(heard.recv().unwrap(), "the broker's answer came when nobody waited any more");
    }

    /// `e2e/tests/from-source.sh` runs it.
    #[tokio::test]
    #[ignore = "OPENIM_TEST_KAFKA names no broker"]
    async fn a_recreated_topic_is_read_from_its_beginning() {
        let config = config::Kafka {
            address: vec![std::env::var("OPENIM_TEST_KAFKA").unwrap()],
            ..Default::default()
        };
        let (topic, options) = ("recreated", AdminOptions::new());
        let admin: AdminClient<_> = client(&config).create().unwrap();
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        admin.create_topics([&new], &options).await.unwrap();
        let (sender, mut seen) = mpsc::channel(100);
        let (metrics, budget) = (ConsumerMetrics::default(), Budget::new(1 << 20));
        let consumer =
            Consumer::new(&config, topic, topic, 10, &metrics, Order::HandleFirst, budget).unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(consumer.run(move |_| Collect(sender.clone()), stop.clone()));
        let first = Producer::new(&config).unwrap();
        for number in 0..3 {
            first.send(topic, "k", format!("old {number}").as_bytes()).await.unwrap();
            seen.recv().await.unwrap();
        }
        admin.delete_topics(&[topic], &options).await.unwrap();
        while admin.create_topics([&new], &options).await.unwrap()[0].is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let second = Producer::new(&config).unwrap();
        for number in 0..10 {
            second.send(topic, "k", format!("new {number}").as_bytes()).await.unwrap();
        }
        let mut found = std::collections::BTreeSet::new();
        let all = async {
            while found.len() < 10 {
                found.insert(seen.recv().await.unwrap());
            }
        };
        let _in_time = tokio::time::timeout(Duration::from_secs(60), all).await;
        let expected = (0..10).map(|number| format!("new {number}")).collect();
        assert_eq!(found, expected);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
