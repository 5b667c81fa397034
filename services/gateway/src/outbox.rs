//! The send queue of one connection: limited in bytes, so that a client that does not read costs little, while a healthy one can
//! lag behind by more than a few messages. All queues together stay within a budget: the fuller it is, the lower each limit, so
//! that clients that do not read are closed first. A client that reads has an empty queue, and one frame always fits into that.

use std::{collections::VecDeque, time::Duration};

use budget::{Budget, Pressure};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// What a frame costs beside its own bytes.
const FRAME_COST: usize = 64;
/// What always fits into a queue that is empty.
const SMALL: usize = 4 << 10;
/// A client that has taken nothing for this long is not waited for.
const TAKES: Duration = Duration::from_millis(500);

/// Why a connection is closed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The gateway stops.
    Restart,
    /// Something may not have been pushed to it: it connects again and pulls.
    Missed,
}

/// Commands for a connection's task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// A binary frame, encoded for this connection.
    Frame(Bytes),
    /// Replaced by a later login: send this frame, then close.
    Kick(Bytes),
    /// Close; what was queued before is sent.
    Close(Why),
}

/// Why something was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The client does not read.
    Full,
    /// It is being closed, or gone.
    Closed,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Outbound>,
    bytes: usize,
    /// Nothing more comes after what waits.
    ends: bool,
    /// When the client last took something, or had nothing to take.
    taken: Option<Instant>,
    /// It was waited for in vain.
    slow: bool,
}

/// See the module.
pub(crate) struct Outbox {
    /// Maximum queued bytes. A single frame can be larger.
    most: usize,
    /// Of all connections.
    all: Budget,
    queue: Mutex<Queue>,
    filled: Notify,
    drained: Notify,
}

fn cost(outbound: &Outbound) -> usize {
    match outbound {
        Outbound::Frame(frame) | Outbound::Kick(frame) => frame.len() + FRAME_COST,
        Outbound::Close(_) => FRAME_COST,
    }
}

impl Outbox {
    pub(crate) fn new(most: usize, all: Budget) -> Self {
        Self { most, all, queue: Mutex::default(), filled: Notify::new(), drained: Notify::new() }
    }

    /// Most that may wait now.
    fn allowed_bytes(&self) -> usize {
        match self.all.pressure() {
            Pressure::Low => self.most,
            Pressure::Some => self.most / 4,
            Pressure::High => self.most / 16,
            Pressure::Full | Pressure::Over => 0,
        }
    }

    /// Whether something more may wait. Whoever reads has an empty queue, where a frame always fits unless there is no memory at all.
    fn has_room(&self, queued: usize, cost: usize) -> bool {
        if queued == 0 {
            return cost <= SMALL || self.all.pressure() < Pressure::Over;
        }
        queued + cost <= self.allowed_bytes()
    }

    /// Above this level, senders wait a little if they can.
    fn crowded_bytes(&self) -> usize {
        self.most / 2
    }

    /// Whether nothing more can be queued.
    pub(crate) fn is_ending(&self) -> bool {
        self.queue.lock().ends
    }

    /// Queues; a kick or a close always fits, and is the last.
    pub(crate) fn put(&self, outbound: Outbound) -> Result<(), Refused> {
        let mut queue = self.queue.lock();
        let cost = cost(&outbound);
        if queue.ends {
            return Err(Refused::Closed);
        }
        let last = !matches!(outbound, Outbound::Frame(_));
        if !last && !self.has_room(queue.bytes, cost) {
            return Err(Refused::Full);
        }
        if matches!(outbound, Outbound::Kick(_)) {
            // It is cut soon: a slow client would still be taking what waits, which it pulls when it comes again.
            queue.waiting.clear();
            queue.bytes = 0;
        }
        if queue.waiting.is_empty() {
            queue.taken = Some(Instant::now());
        }
        queue.bytes += cost;
        queue.ends = last;
        queue.waiting.push_back(outbound);
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// The next one. Only the connection's own task asks; nothing is lost when it stops waiting.
    pub(crate) async fn take(&self) -> Outbound {
        loop {
            if let Some(next) = self.pop() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    fn pop(&self) -> Option<Outbound> {
        let mut queue = self.queue.lock();
        let next = queue.waiting.pop_front()?;
        queue.bytes -= cost(&next);
        queue.taken = Some(Instant::now());
        if queue.bytes < self.crowded_bytes() {
            queue.slow = false;
            self.drained.notify_waiters();
        }
        Some(next)
    }

    /// Takes nothing more.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        *queue = Queue { ends: true, ..Default::default() };
        drop(queue);
        self.drained.notify_waiters();
    }

    /// Whether much waits and the client reads, so that it may soon be less.
    pub(crate) fn is_crowded(&self) -> bool {
        let queue = self.queue.lock();
        let takes = queue.taken.is_some_and(|at| at.elapsed() < TAKES);
        queue.bytes >= self.crowded_bytes() && takes && !queue.slow
    }

    /// Waits until little waits here, at most until `deadline`; once that was in vain it is not waited for again before it has caught up.
    pub(crate) async fn room(&self, deadline: Instant) {
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if !self.is_crowded() {
                return;
            }
            // One that takes nothing meanwhile is not crowded any more, but silent.
            let look_again = deadline.min(Instant::now() + TAKES);
            let waited = tokio::time::timeout_at(look_again, drained).await;
            if waited.is_err() && Instant::now() >= deadline {
                self.queue.lock().slow = true;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_BYTES: usize = 2 << 20;

    fn outbox() -> Outbox {
        Outbox::new(MOST_BYTES, Budget::new(1 << 30))
    }
    const CROWDED_BYTES: usize = MOST_BYTES / 2;

    fn frame(bytes: usize) -> Outbound {
        Outbound::Frame(Bytes::from(vec![0; bytes]))
    }

    #[tokio::test]
    async fn whoever_is_kicked_hears_it_before_anything_else() {
        let outbox = outbox();
        outbox.put(frame(1 << 20)).unwrap();
        outbox.put(Outbound::Kick(Bytes::from_static(b"kick"))).unwrap();
        assert!(matches!(outbox.take().await, Outbound::Kick(_)));
        assert_eq!(outbox.put(frame(1)), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn it_is_bounded_in_bytes_and_not_in_frames() {
        let outbox = outbox();
        for _ in 0..10_000 {
            outbox.put(frame(100)).unwrap();
        }
        assert_eq!(outbox.put(frame(512 << 10)), Err(Refused::Full));
        for _ in 0..10_000 {
            outbox.take().await;
        }
        // One alone always fits.
        outbox.put(frame(MOST_BYTES * 2)).unwrap();
        assert_eq!(outbox.put(frame(1)), Err(Refused::Full));
        outbox.put(Outbound::Close(Why::Missed)).unwrap();
        assert_eq!(outbox.put(frame(1)), Err(Refused::Closed), "a close is the last");
        outbox.take().await;
        assert_eq!(outbox.take().await, Outbound::Close(Why::Missed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_is_waited_for_and_a_silent_one_is_not() {
        let outbox = outbox();
        assert!(!outbox.is_crowded());
        outbox.put(frame(CROWDED_BYTES / 2)).unwrap();
        outbox.put(frame(CROWDED_BYTES)).unwrap();
        assert!(outbox.is_crowded());
        let start = Instant::now();
        let reads = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            outbox.take().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            outbox.take().await;
        };
        tokio::join!(outbox.room(start + Duration::from_secs(2)), reads);
        assert_eq!(start.elapsed(), Duration::from_millis(200));

        outbox.put(frame(CROWDED_BYTES)).unwrap();
        outbox.room(Instant::now() + Duration::from_millis(300)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(500));
        assert!(!outbox.is_crowded(), "it was waited for in vain");
        outbox.take().await;
        outbox.put(frame(CROWDED_BYTES)).unwrap();
        assert!(outbox.is_crowded(), "it has caught up");
        tokio::time::sleep(TAKES).await;
        assert!(!outbox.is_crowded(), "it does not read");
    }

    #[tokio::test]
    async fn who_waits_for_a_connection_that_ends_goes_on() {
        let outbox = outbox();
        outbox.put(frame(MOST_BYTES)).unwrap();
        let ends = async { outbox.close() };
        tokio::join!(outbox.room(Instant::now() + Duration::from_secs(60)), ends);
        assert_eq!(outbox.put(frame(1)), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn those_who_do_not_read_go_when_all_queues_together_are_long() {
        let budget = Budget::new(20 << 20);
        let queued = |bytes: usize| Outbound::Frame(budget.hold_bytes(Bytes::from(vec![0; bytes])));
        let silent: Vec<Outbox> = (0..20).map(|_| Outbox::new(MOST_BYTES, budget.clone())).collect();
        let reader = Outbox::new(MOST_BYTES, budget.clone());
        let mut cut = 0;
        for _ in 0..100 {
            for outbox in &silent {
                if outbox.put(queued(600 << 10)) == Err(Refused::Full) {
                    outbox.close();
                    cut += 1;
                }
            }
            assert_eq!(reader.put(queued(600 << 10)), Ok(()));
            reader.take().await;
            assert!(budget.used() < 22 << 20, "{}", budget.used());
        }
        assert_eq!(cut, silent.len());
        // What is for many is held once.
        let message = budget.hold_bytes(Bytes::from(vec![0; 600 << 10]));
        let open: Vec<Outbox> = (0..1000).map(|_| Outbox::new(MOST_BYTES, budget.clone())).collect();
        for outbox in &open {
            assert_eq!(outbox.put(Outbound::Frame(message.clone())), Ok(()));
        }
    }
}
