//! Notifies readers who are online of what is appended, a few times a second for each stream: what came in between goes together. Nobody
//! waits for it and nothing is lost with it, because each notification says where its packets begin, and whoever lacks some asks for them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::StreamExt;
use notification::To;
use parking_lot::Mutex;
use protocol::{bounds::STREAM_PACKET_BYTES, content_type::session, extension::StreamTips, sdkws::MsgData};
use rpc::{Context, Peers};
use store::streams::Stream;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Content, finish::tips_of, known::Known};

/// Key of the business notification.
pub(super) const STREAM: &str = "openim.stream";
/// The shortest time between two notifications of a stream.
const PAUSE: Duration = Duration::from_millis(300);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What each user who reads along adds to the pause.
const PER_READER: Duration = Duration::from_millis(1);
/// What each stream adds of which something waits: a process sends a thousand notifications a second at most.
const PER_STREAM: Duration = Duration::from_millis(1);
/// How often the streams are looked through for those whose pause is over.
const TICK: Duration = Duration::from_millis(50);
/// Notifications that are sent at a time.
const AT_ONCE: usize = 64;
/// The others wait for one that is sent.
const LONGEST_SEND: Duration = Duration::from_secs(1);
/// Packets that wait, of all streams, in bytes. What has no room is skipped: readers ask for it.
const MOST_WAITING: usize = 16 << 20;
/// Packets that wait, of one stream, in bytes: a notification is a message and has its bounds.
const MOST_OF_ONE: usize = 64 << 10;
/// Streams that are known at a time; readers of others get the message at the end.
const MOST_STREAMS: usize = 20_000;

/// What a process knows of streams: what their readers are to be notified of, and where they ended; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
    pub(super) known: Known,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    streams: HashMap<String, Pending>,
    /// Of all packets that wait.
    bytes: usize,
}

/// What waits of one stream.
struct Pending {
    tips: StreamTips,
    /// A group, or the other user of a chat.
    is_group: bool,
    to: String,
    /// Something waits, if only the news that the stream has begun.
    is_new: bool,
    /// Not before then.
    next: Instant,
    pause: Duration,
}

impl Pending {
    fn bytes(&self) -> usize {
        self.tips.content.len() + self.tips.packets.iter().map(String::len).sum::<usize>()
    }

    /// Adds packets. If others are missing in between, only these remain.
    fn add(&mut self, start: i64, packets: Vec<String>) {
        let known = self.tips.start_index + self.tips.packets.len() as i64;
        if known != start {
            self.tips.start_index = start;
            self.tips.packets.clear();
        }
        self.tips.packets.extend(packets);
        self.is_new = true;
    }

    /// Skips what waits: readers see by the position that they lack something. What the text begins with is in the first notification.
    fn skip(&mut self) {
        self.tips.start_index += self.tips.packets.len() as i64;
        self.tips.packets = vec![];
        self.tips.content = String::new();
    }
}

impl Waiting {
    fn add(&mut self, stream: &Stream, pending: impl FnOnce() -> Pending, start: i64, packets: Vec<String>) {
        if !self.streams.contains_key(stream.id()) && self.streams.len() >= MOST_STREAMS {
            return;
        }
        let is_first = !self.streams.contains_key(stream.id());
        // What it begins with has no room: it is known from its first packets on, and readers ask for what is before.
        if is_first && packets.is_empty() && self.bytes + STREAM_PACKET_BYTES > MOST_WAITING {
            return;
        }
        let entry = self.streams.entry(stream.id().to_owned()).or_insert_with(pending);
        let before = if is_first { 0 } else { entry.bytes() };
        entry.add(start, packets);
        if entry.bytes() > MOST_OF_ONE || self.bytes - before + entry.bytes() > MOST_WAITING {
            entry.skip();
        }
        self.bytes = self.bytes - before + entry.bytes();
    }

    /// The notifications that may be sent now.
    fn take(&mut self, now: Instant) -> Vec<(StreamTips, bool, String)> {
        let all = self.streams.values().filter(|pending| pending.is_new).count();
        let load = PER_STREAM * u32::try_from(all).unwrap_or(u32::MAX);
        let mut due = vec![];
        // One of which nothing waits after its pause is forgotten.
        self.streams.retain(|_, pending| pending.is_new || now < pending.next);
        for pending in self.streams.values_mut().filter(|pending| pending.is_new && pending.next <= now) {
            self.bytes -= pending.bytes();
            due.push((pending.tips.clone(), pending.is_group, pending.to.clone()));
            pending.skip();
            pending.is_new = false;
            pending.next = now + pending.pause.max(load).min(LONGEST_PAUSE);
        }
        due
    }
}

impl Streams {
    /// Starts the task that notifies, until `stop`.
    pub fn start(peers: Peers, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let shared = Arc::new(Shared { waiting: Mutex::default(), wake: Notify::new() });
        tasks.spawn(run(peers, shared.clone(), stop));
        Self { shared, known: Known::new() }
    }

    /// Notifies readers of packets; without any, that the stream has begun.
    pub(super) fn notify(
        &self,
        stream: &Stream,
        message: &MsgData,
        content: &Content,
        start: i64,
        packets: Vec<String>,
    ) {
        let pending = || {
            let is_group = message.session_type == session::GROUP;
            let to = if is_group { &message.group_id } else { &message.recv_id };
            let beginning = if start == 0 { content.content.clone() } else { String::new() };
            Pending {
                tips: StreamTips { start_index: start, content: beginning, ..tips_of(stream, content) },
                is_group,
                to: to.clone(),
                is_new: false,
                next: Instant::now(),
                pause: PAUSE + PER_READER * stream.audience,
            }
        };
        self.shared.waiting.lock().add(stream, pending, start, packets);
        self.shared.wake.notify_one();
    }

    /// The stream ends: its message has what waits.
    pub(super) fn forget(&self, stream: &Stream) {
        let mut waiting = self.shared.waiting.lock();
        if let Some(pending) = waiting.streams.remove(stream.id()) {
            waiting.bytes -= pending.bytes();
        }
    }
}

async fn run(peers: Peers, shared: Arc<Shared>, stop: CancellationToken) {
    let context = Context::system(format!("streams-{}", model::random_id()));
    loop {
        let is_idle = shared.waiting.lock().streams.is_empty();
        if is_idle {
            tokio::select! {
                () = stop.cancelled() => return,
                () = shared.wake.notified() => {}
            }
        }
        let due = shared.waiting.lock().take(Instant::now());
        let send = async |(tips, is_group, to): (StreamTips, bool, String)| {
            let to = if is_group { To::Group(&to) } else { To::User(&to) };
            let sender = tips.user_id.clone();
            let sent = notification::business(&peers, &context, &sender, to, (STREAM, &tips), false);
            match timeout(LONGEST_SEND, sent).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "stream.not_notified: readers request what they miss");
                }
                Err(_late) => tracing::debug!("stream.not_notified: it took too long"),
            }
        };
        futures::stream::iter(due).for_each_concurrent(AT_ONCE, send).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: &str) -> Stream {
        let message = MsgData { send_id: "bot".into(), client_msg_id: id.into(), ..Default::default() };
        Stream::new("si_ann_bot", &message, ("bot", 12), 2, (0, 0))
    }

    fn pending(stream: &Stream) -> Pending {
        Pending {
            tips: StreamTips { client_msg_id: stream.client_msg_id().to_owned(), ..Default::default() },
            is_group: false,
            to: "ann".into(),
            is_new: false,
            next: Instant::now(),
            pause: PAUSE,
        }
    }

    fn add(waiting: &mut Waiting, stream: &Stream, start: i64, packets: &[&str]) {
        let packets = packets.iter().map(|packet| (*packet).to_owned()).collect();
        waiting.add(stream, || pending(stream), start, packets);
    }

    fn taken(waiting: &mut Waiting) -> Vec<(i64, String)> {
        let due = waiting.take(Instant::now());
        due.into_iter().map(|(tips, ..)| (tips.start_index, tips.packets.concat())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn thirty_packets_a_second_are_a_few_notifications() {
        let (mut waiting, stream) = (Waiting::default(), stream("1"));
        let mut all = vec![];
        for number in 0..30 {
            add(&mut waiting, &stream, number, &["x"]);
            all.extend(taken(&mut waiting));
            tokio::time::advance(Duration::from_millis(33)).await;
        }
        tokio::time::advance(PAUSE).await;
        all.extend(taken(&mut waiting));
        assert!((3..=5).contains(&all.len()), "{all:?}");
        let mut next = 0;
        for (start, text) in all {
            assert_eq!(start, next);
            next += text.len() as i64;
        }
        assert_eq!(next, 30, "the last ones are sent too");
        assert_eq!(waiting.bytes, 0);
        tokio::time::advance(PAUSE).await;
        assert!(taken(&mut waiting).is_empty() && waiting.streams.is_empty(), "it is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn where_others_appended_in_between_the_position_says_so() {
        let (mut waiting, stream) = (Waiting::default(), stream("1"));
        add(&mut waiting, &stream, 0, &["a"]);
        add(&mut waiting, &stream, 4, &["e"]);
        assert_eq!(taken(&mut waiting), [(4, "e".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_and_a_gap_remains() {
        let (mut waiting, first) = (Waiting::default(), stream("1"));
        let most = "x".repeat(MOST_OF_ONE);
        add(&mut waiting, &first, 0, &[&most]);
        let second = stream("2");
        add(&mut waiting, &second, 0, &[&most, "y"]);
        assert_eq!(waiting.bytes, MOST_OF_ONE);
        let mut due = taken(&mut waiting);
        due.sort();
        assert_eq!(
            due,
            [(0, most), (2, String::new())],
            "the second one's reader sees that packets are missing"
        );
        assert_eq!(waiting.bytes, 0);
        let all: Vec<Stream> = (3..300).map(|number| stream(&number.to_string())).collect();
        for stream in &all {
            add(&mut waiting, stream, 0, &["x".repeat(MOST_OF_ONE).as_str()]);
        }
        assert_eq!(waiting.bytes, MOST_WAITING, "of all streams, too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_streams_notify_once_a_second_each() {
        let mut waiting = Waiting::default();
        let streams: Vec<Stream> = (0..1000).map(|number| stream(&number.to_string())).collect();
        let mut sent = 0;
        for step in 0..100 {
            for stream in &streams {
                add(&mut waiting, stream, step, &["x"]);
            }
            sent += taken(&mut waiting).len();
            tokio::time::advance(Duration::from_millis(33)).await;
        }
        assert!((3000..=5000).contains(&sent), "{sent} notifications in 3.3 s");
    }
}
