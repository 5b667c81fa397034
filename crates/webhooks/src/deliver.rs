//! Delivery of after hooks: for each hook one record after the other, each until it is answered or a day old. A record that the
//! receiver rejects while it accepts others is set aside and retried separately (`set_aside.rs`); if the receiver accepts none, all
//! wait in order. A record that can never be delivered is given up: at once if no request can be made of it, and soon if it is
//! rejected individually. The offset is committed afterwards: a crash on any line delivers again, never less.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bus::{Batch, Handled, PartitionHandler};
use config::Hook;
use model::Clock;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use store::jobs::Jobs;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{CallError, Record, Webhooks, set_aside};

/// After this time a record is given up, so that a receiver that is gone for good does not fill the queue.
pub(crate) const MAX_AGE_MS: i64 = 86_400_000;
/// So often a record is tried in its place, half a minute with the pauses: then it is given up if the receiver refuses it for itself, and
/// otherwise others are tried.
const MOST_TRIES: u32 = 8;
/// After so many records at fault within [`FAULTS_COUNT_FOR`], the next that fails is set aside at the first try: whoever can make the
/// receiver reject one record can make it reject any number, and each would hold up the others for half a minute.
const MANY_FAULTS: usize = 3;
const FAULTS_COUNT_FOR: Duration = Duration::from_secs(600);
/// Maximum records of a hook set aside before a later one is accepted: beyond that the receiver is at fault, and the order is kept.
const MOST_SUSPECTS: usize = 100;
/// Bytes of those of all hooks of a partition.
const SUSPECTS_BYTES: usize = 8 << 20;
/// How often they are held for this owner of the partition.
const HOLD_EVERY: Duration = Duration::from_secs(5);
/// Records that a partition recognises, 16 bytes each.
const HANDLED_RECORDS: usize = 20_000;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counters of deliveries.
#[derive(Clone, Default)]
pub struct DeliveryMetrics {
    pub(crate) delivered: Counter,
    pub(crate) retried: Counter,
    pub(crate) given_up: Counter,
    pub(crate) set_aside: Counter,
    repeats: Counter,
}

impl DeliveryMetrics {
    /// Registers the counters.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("webhook_delivered", "Delivered after hooks", metrics.delivered.clone());
        registry.register("webhook_retried", "Failed deliveries that were retried", metrics.retried.clone());
        registry.register(
            "webhook_given_up",
            "After hooks that were given up: not sendable, rejected, or failed for a day",
            metrics.given_up.clone(),
        );
        registry.register(
            "webhook_set_aside",
            "After hooks set aside because the receiver rejected them while it accepted others",
            metrics.set_aside.clone(),
        );
        registry.register(
            "webhook_repeats",
            "After hooks that were queued twice but delivered once",
            metrics.repeats.clone(),
        );
        metrics
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    Taken,
    /// It can never be sent, or its hook is disabled.
    Never(Option<String>),
    /// The receiver refuses just this one.
    Refused(String),
    /// The receiver did not take it.
    NotTaken(String),
}

/// Makes calls.
pub(crate) trait Sends: Send + Sync + 'static {
    fn send(&self, record: &Record) -> impl Future<Output = Sent> + Send;
}

impl Sends for Webhooks {
    async fn send(&self, record: &Record) -> Sent {
        // A hook that was switched off, or that this version does not know, is not delivered any more.
        let Some(hook) = Hook::from_key(&record.hook) else { return Sent::Never(None) };
        let Some(config) = self.settings(hook) else { return Sent::Never(None) };
        let Record { query, operation_id, body, key, .. } = record;
        let call = self.call(hook, query, operation_id, body.clone(), key, config.timeout_duration());
        match call.tell(self.http()).await {
            Ok(()) => Sent::Taken,
            Err(error @ CallError::Unsendable(_)) => Sent::Never(Some(error.to_string())),
            Err(error @ CallError::Refused(_)) => Sent::Refused(error.to_string()),
            Err(error) => Sent::NotTaken(error.to_string()),
        }
    }
}

/// What all partitions of the webhook topic share.
#[derive(Clone)]
pub struct Deliveries(Deliverer<Webhooks>);

impl Deliveries {
    /// Delivers hooks; `jobs` keeps those that are set aside.
    pub fn new(
        webhooks: Webhooks,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
        metrics: DeliveryMetrics,
    ) -> Self {
        Self(Deliverer { webhooks, jobs, clock, metrics })
    }

    /// Tries, until `stop`, what was set aside.
    pub async fn try_those_aside(self, stop: CancellationToken) {
        self.0.try_those_aside(stop).await;
    }
}

#[derive(Clone)]
pub(crate) struct Deliverer<S> {
    pub(crate) webhooks: S,
    pub(crate) jobs: Arc<dyn Jobs>,
    /// How old records are.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: DeliveryMetrics,
}

impl<S> Deliverer<S> {
    /// Also in the audit log: the integrator will never get it. Within the record's span.
    pub(crate) fn give_up(&self, record: &Record, error: &str) {
        tracing::error!(target: "audit", key = record.key, error, "webhook.given_up");
        self.metrics.given_up.inc();
    }

    pub(crate) fn is_past(&self, record: &Record) -> bool {
        self.clock.now_ms() - record.since > MAX_AGE_MS
    }
}

/// The handler of a partition of the webhook topic.
pub struct DeliveryPartition(Lines<Webhooks>);

impl DeliveryPartition {
    /// Of a partition that was just assigned.
    pub fn new(deliveries: Deliveries) -> Self {
        Self(Lines::new(deliveries.0))
    }
}

impl PartitionHandler for DeliveryPartition {
    async fn handle(&mut self, batch: Batch) {
        for (_, payload) in &batch.records {
            match Record::read(payload) {
                Ok(record) => self.0.deliver(record).await,
                Err(error) => tracing::error!(%error, bytes = payload.len(), "webhook.undecodable_record"),
            }
        }
    }
}

/// The hooks of a partition, each in its order.
struct Lines<S> {
    deliveries: Deliverer<S>,
    handled: Handled,
    /// By hook: those that are kept aside and were not overtaken yet.
    suspects: HashMap<String, VecDeque<Record>>,
    /// By hook: when the last few records turned out to be at fault.
    faults: HashMap<String, VecDeque<Instant>>,
    held: Instant,
}

impl<S: Sends> Lines<S> {
    fn new(deliveries: Deliverer<S>) -> Self {
        let (handled, suspects) = (Handled::new(HANDLED_RECORDS), HashMap::new());
        Self { deliveries, handled, suspects, faults: HashMap::new(), held: Instant::now() }
    }

    /// How often a record is tried in its place before others are.
    fn patience(&self, hook: &str) -> u32 {
        let recent = |faults: &VecDeque<Instant>| {
            faults.iter().filter(|found| found.elapsed() < FAULTS_COUNT_FOR).count()
        };
        if self.faults.get(hook).map_or(0, recent) < MANY_FAULTS { MOST_TRIES } else { 1 }
    }

    /// So many records of a hook were rejected while the receiver accepted others, or individually.
    fn at_fault(&mut self, hook: &str, records: usize) {
        let faults = self.faults.entry(hook.to_owned()).or_default();
        faults.extend(std::iter::repeat_n(Instant::now(), records.min(MANY_FAULTS)));
        faults.drain(..faults.len().saturating_sub(MANY_FAULTS));
    }

    /// Returns when it was accepted, given up or set aside.
    async fn deliver(&mut self, record: Record) {
        let span = record.span();
        self.settle(record).instrument(span).await;
    }

    async fn settle(&mut self, record: Record) {
        let mark = self.handled.mark((&record.hook, &record.key));
        if self.handled.knows(mark) {
            self.deliveries.metrics.repeats.inc();
            return;
        }
        let (mut pause, mut tries) = (FIRST_PAUSE, 0);
        loop {
            self.try_suspects(&record.hook).await;
            let (error, refused) = match self.deliveries.webhooks.send(&record).await {
                Sent::Taken => {
                    self.deliveries.metrics.delivered.inc();
                    self.overtake(&record.hook).await;
                    break;
                }
                Sent::Never(None) => break,
                Sent::Never(Some(error)) => {
                    self.deliveries.give_up(&record, &error);
                    break;
                }
                Sent::Refused(error) => (error, true),
                Sent::NotTaken(error) => (error, false),
            };
            tries += 1;
            if (tries >= MOST_TRIES && refused) || self.deliveries.is_past(&record) {
                self.deliveries.give_up(&record, &error);
                self.at_fault(&record.hook, 1);
                break;
            }
            if tries >= self.patience(&record.hook) && self.set_aside(&record).await {
                break;
            }
            tracing::warn!(error, retry_in = ?pause, "webhook.retried");
            self.deliveries.metrics.retried.inc();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.handled.remember(mark);
    }

    /// Records that were set aside go first, in their order: a receiver that was unavailable gets all of them before later ones.
    async fn try_suspects(&mut self, hook: &str) {
        if self.held.elapsed() >= HOLD_EVERY {
            // Nobody else tries them meanwhile.
            self.deliveries.hold(self.suspects.values().flatten(), set_aside::HELD_MS).await;
            self.held = Instant::now();
        }
        let Some(suspects) = self.suspects.get_mut(hook) else { return };
        while let Some(first) = suspects.front() {
            let taken = match self.deliveries.webhooks.send(first).await {
                Sent::Taken => true,
                Sent::Never(_) => false,
                Sent::Refused(_) | Sent::NotTaken(_) => return,
            };
            self.deliveries.metrics.delivered.inc_by(u64::from(taken));
            self.deliveries.done(first).instrument(first.span()).await;
            suspects.pop_front();
        }
        self.suspects.remove(hook);
    }

    /// A later one was accepted: these records are at fault, not the receiver.
    async fn overtake(&mut self, hook: &str) {
        let Some(suspects) = self.suspects.remove(hook) else { return };
        for suspect in &suspects {
            suspect.span().in_scope(|| tracing::warn!("webhook.set_aside"));
        }
        self.at_fault(hook, suspects.len());
        self.deliveries.hold(suspects.iter(), set_aside::SHORTEST_PAUSE_MS).await;
    }

    /// Whether it is kept elsewhere, so that others can be tried.
    async fn set_aside(&mut self, record: &Record) -> bool {
        let bytes: usize = self.suspects.values().flatten().map(|suspect| suspect.body.len()).sum();
        let many = self.suspects.get(&record.hook).is_some_and(|suspects| suspects.len() >= MOST_SUSPECTS);
        if many || bytes + record.body.len() > SUSPECTS_BYTES || !self.deliveries.keep(record).await {
            return false;
        }
        self.deliveries.metrics.set_aside.inc();
        self.suspects.entry(record.hook.clone()).or_default().push_back(record.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use parking_lot::Mutex;

    use super::*;
    use crate::fake_jobs::Kept;

    /// Goes as the time of the test.
    #[derive(Clone)]
    pub(crate) struct Time(Instant);

    impl Clock for Time {
        fn now_ms(&self) -> i64 {
            self.0.elapsed().as_millis() as i64
        }
    }

    /// A receiver: what it took, in order, what it never takes and what it refuses.
    #[derive(Clone, Default)]
    struct Receiver(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        taken: Vec<String>,
        bad: HashSet<String>,
        refused: HashSet<String>,
        is_down: bool,
        calls: usize,
    }

    impl Sends for Receiver {
        async fn send(&self, record: &Record) -> Sent {
            let state = &mut *self.0.lock();
            state.calls += 1;
            if state.is_down || state.bad.contains(&record.key) {
                return Sent::NotTaken("500".into());
            }
            if state.refused.contains(&record.key) {
                return Sent::Refused("413".into());
            }
            state.taken.push(record.key.clone());
            Sent::Taken
        }
    }

    struct World {
        receiver: Receiver,
        kept: Kept,
        deliveries: Deliverer<Receiver>,
    }

    fn world() -> World {
        let (receiver, kept) = (Receiver::default(), Kept::default());
        let deliveries = Deliverer {
            webhooks: receiver.clone(),
            jobs: Arc::new(kept.clone()),
            clock: Arc::new(Time(Instant::now())),
            metrics: DeliveryMetrics::default(),
        };
        World { receiver, kept, deliveries }
    }

    impl World {
        fn record(&self, key: &str) -> Record {
            Record {
                hook: "afterSendSingleMsg".into(),
                operation_id: "o".into(),
                query: String::new(),
                body: "{}".into(),
                since: self.deliveries.clock.now_ms(),
                key: key.into(),
            }
        }

        fn records(&self, count: usize) -> Vec<Record> {
            (0..count).map(|number| self.record(&format!("{number:03}"))).collect()
        }

        async fn deliver(&self, records: Vec<Record>) {
            let mut lines = Lines::new(self.deliveries.clone());
            for record in records {
                lines.deliver(record).await;
            }
        }

        /// Tries what is aside until nothing is.
        async fn until_nothing_is_aside(&self) {
            let stop = CancellationToken::new();
            let empty = async {
                while !self.kept.ids().is_empty() {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                stop.cancel();
            };
            tokio::join!(self.deliveries.clone().try_those_aside(stop.clone()), empty);
        }

        fn taken(&self) -> Vec<String> {
            self.receiver.0.lock().taken.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_never_taken_holds_up_the_others_for_half_a_minute() {
        let world = world();
        world.receiver.0.lock().bad.insert("001".into());
        let began = Instant::now();
        world.deliver(world.records(4)).await;
        assert!(began.elapsed() < Duration::from_secs(31), "{:?}", began.elapsed());
        assert_eq!(world.taken(), ["000", "002", "003"]);
        assert_eq!(world.kept.ids(), ["hook/afterSendSingleMsg/001"]);
        // It is tried on its own for a day, and then given up; nothing remains.
        world.until_nothing_is_aside().await;
        assert!((86_400..100_000).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert_eq!((world.deliveries.metrics.given_up.get(), world.taken().len()), (1, 3));
        assert!(world.receiver.0.lock().calls < 100);
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_are_never_taken_hold_up_the_others_no_longer_than_a_few() {
        for by_itself in [false, true] {
            let world = world();
            let (bad, good): (Vec<Record>, Vec<Record>) =
                world.records(200).into_iter().partition(|record| record.key.ends_with('7'));
            let keys = |records: Vec<Record>| records.into_iter().map(|record| record.key);
            {
                let state = &mut *world.receiver.0.lock();
                let target = if by_itself { &mut state.refused } else { &mut state.bad };
                target.extend(keys(bad));
            }
            let began = Instant::now();
            world.deliver(world.records(200)).await;
            assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
            assert_eq!(world.taken(), keys(good).collect::<Vec<_>>());
            // Each is tried again on its own before it is given up.
            world.until_nothing_is_aside().await;
            assert_eq!(world.deliveries.metrics.given_up.get(), 20);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_was_away_gets_everything_in_order_also_after_many_faults() {
        let world = world();
        let bad = ["001", "003", "005"].map(str::to_owned);
        world.receiver.0.lock().bad.extend(bad.clone());
        let mut records = world.records(200);
        let rest = records.split_off(7);
        let mut lines = Lines::new(world.deliveries.clone());
        for record in records {
            lines.deliver(record).await;
        }
        assert_eq!(lines.patience("afterSendSingleMsg"), 1);
        world.receiver.0.lock().is_down = true;
        let back = async {
            tokio::time::sleep(Duration::from_secs(300)).await;
            assert!(world.kept.ids().len() <= MOST_SUSPECTS + bad.len());
            world.receiver.0.lock().is_down = false;
        };
        let delivery = async {
            for record in rest {
                lines.deliver(record).await;
            }
        };
        tokio::join!(delivery, back);
        let expected: Vec<String> = (0..200).map(|number| format!("{number:03}")).collect();
        assert_eq!(world.taken(), expected.into_iter().filter(|key| !bad.contains(key)).collect::<Vec<_>>());
        tokio::time::advance(FAULTS_COUNT_FOR).await;
        assert_eq!(lines.patience("afterSendSingleMsg"), MOST_TRIES);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_taken_later_was_only_late() {
        let world = world();
        world.receiver.0.lock().bad.insert("000".into());
        world.deliver(world.records(2)).await;
        world.receiver.0.lock().bad.clear();
        world.until_nothing_is_aside().await;
        assert_eq!(world.taken(), ["001", "000"]);
        assert_eq!(
            (world.deliveries.metrics.given_up.get(), world.deliveries.metrics.delivered.get()),
            (0, 2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_was_away_gets_everything_in_order() {
        for (count, away) in [(3, 10), (3, 600), (200, 20_000)] {
            let world = world();
            world.receiver.0.lock().is_down = true;
            let back = async {
                tokio::time::sleep(Duration::from_secs(away)).await;
                assert!(world.kept.ids().len() <= MOST_SUSPECTS);
                world.receiver.0.lock().is_down = false;
            };
            tokio::join!(world.deliver(world.records(count)), back);
            world.until_nothing_is_aside().await;
            let expected: Vec<String> = (0..count).map(|number| format!("{number:03}")).collect();
            assert_eq!(world.taken(), expected);
            assert!(world.kept.ids().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_aside_outlives_the_process() {
        let world = world();
        world.receiver.0.lock().is_down = true;
        let ends = tokio::time::timeout(Duration::from_secs(70), world.deliver(world.records(3)));
        assert!(ends.await.is_err());
        assert_eq!(world.kept.ids(), ["hook/afterSendSingleMsg/000", "hook/afterSendSingleMsg/001"]);
        world.receiver.0.lock().is_down = false;
        // The next owner of the partition begins behind what was finished.
        world.deliver(world.records(3).split_off(2)).await;
        world.until_nothing_is_aside().await;
        let mut taken = world.taken();
        taken.sort();
        assert_eq!(taken, ["000", "001", "002"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_kept_is_not_set_aside() {
        let world = world();
        world.receiver.0.lock().is_down = true;
        world.kept.failing.store(u32::MAX, std::sync::atomic::Ordering::Relaxed);
        let back = async {
            tokio::time::sleep(Duration::from_secs(600)).await;
            world.receiver.0.lock().is_down = false;
        };
        tokio::join!(world.deliver(world.records(3)), back);
        assert_eq!(world.taken(), ["000", "001", "002"]);
        assert_eq!(world.deliveries.metrics.set_aside.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_itself_is_given_up_and_never_aside() {
        let world = world();
        world.receiver.0.lock().refused.insert("000".into());
        world.deliver(world.records(2)).await;
        assert_eq!((world.taken(), world.deliveries.metrics.given_up.get()), (vec!["001".to_owned()], 1));
        assert!(world.kept.ids().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_of_a_hook_that_is_given_up_names_it_and_its_operation() {
        let (written, _until) = telemetry::Written::start();
        let world = world();
        world.receiver.0.lock().refused.insert("000".into());
        world.deliver(world.records(1)).await;
        let line = written.only("webhook.given_up");
        for (field, value) in [("operation_id", "o"), ("hook", "afterSendSingleMsg"), ("key", "000")] {
            assert_eq!(line[field], value, "{field}: {line}");
        }
    }

    fn webhooks(url: String) -> Deliveries {
        let hook = Hook::AfterSendSingleMsg;
        let settings = config::HookConfig { enable: true, ..Default::default() };
        let hooks = [(hook.key().to_owned(), settings)].into();
        let webhooks = config::Webhooks { url, hooks, ..Default::default() };
        let config = config::Config { webhooks, ..Default::default() };
        let (webhooks, clock) = (Webhooks::new(&config, None).unwrap(), Arc::new(model::SystemClock));
        Deliveries::new(webhooks, Arc::new(Kept::default()), clock, DeliveryMetrics::default())
    }

    fn operation(id: &str) -> Record {
        let (operation_id, key) = (id.to_owned(), crate::key_of(&[id.as_bytes()]));
        let since = model::SystemClock.now_ms();
        let (hook, query, body) = ("afterSendSingleMsg".into(), String::new(), "{}".into());
        Record { hook, operation_id, query, body, since, key }
    }

    #[tokio::test]
    async fn what_a_proxy_answers_is_tried_again_and_one_bad_record_lets_the_next_pass() {
        let answers = &[("502 Bad Gateway", "{}"), ("503 Service Unavailable", "<html>"), ("200 OK", "{}")];
        let Deliveries(deliveries) = webhooks(crate::call::tests::receiver(answers).await);
        let mut lines = Lines::new(deliveries.clone());
        lines.deliver(operation("\n\u{7f}")).await;
        lines.deliver(operation("next")).await;
        let DeliveryMetrics { delivered, retried, given_up, .. } = deliveries.metrics;
        assert_eq!((delivered.get(), retried.get(), given_up.get()), (2, 2, 0));
    }

    #[tokio::test]
    async fn what_is_no_request_is_given_up_at_once() {
        let Deliveries(deliveries) = webhooks("http://hook:port".into());
        Lines::new(deliveries.clone()).deliver(operation("o")).await;
        assert_eq!((deliveries.metrics.given_up.get(), deliveries.metrics.retried.get()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_there_twice_is_told_once() {
        let world = world();
        let mut records = world.records(2);
        records.extend(world.records(2));
        world.deliver(records).await;
        assert_eq!(world.taken(), ["000", "001"]);
    }
}
