//! A bot's answer grows as a stream while processes die at every step and steps fail: whoever reads it ends with the same text, once.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use prost::Message;
use protocol::{
    Error, ErrorCode, Result,
    extension::{AppendStreamMsgReq, GetStreamMsgReq, GetStreamMsgResp, GetStreamMsgsReq, StreamTips},
    internal::{EndStreamsReq, EndStreamsResp},
    msg::{SendMsgReq, SendMsgResp},
    sdkws::{MsgData, PullMessageBySeqsReq, PullMessageBySeqsResp, PushMessages, SeqRange},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rpc::Context;
use testkit::{Doors, Plan, Role, World, add_group, add_users, runs, user_context};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::mutants::in_jumping_time;

const GROUP: &str = "g";
const CONVERSATION: &str = "sg_g";
const READERS: [&str; 2] = ["ann", "ben"];
const ROLES: [Role; 4] = [Role::Msg, Role::Transfer, Role::Push, Role::Gateway(0)];
const PACKETS: [&str; 9] = ["To ", "be", ", or", " ", "", "not", " to", " be", "?"];
/// All has happened long before.
const PATIENCE: Duration = Duration::from_secs(1500);

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Nothing,
    /// The first process of a role dies at a step.
    Dies(Role, u64),
    /// Drawn from the seed, in the first lives of each.
    Drawn,
}

#[derive(Clone)]
struct Run {
    world: World,
    doors: Doors,
    tasks: TaskTracker,
    steps: Arc<Mutex<Vec<(Role, u64)>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Run {
    async fn begin(seed: u64, wrong: Wrong) -> Self {
        let world = World::new(1).await;
        add_users(&world, &["bot", "ann", "ben", "eve"]).await;
        add_group(&world, GROUP, &["bot", "ann", "ben"]).await;
        let doors: Doors = Arc::new(Mutex::new(vec![None]));
        let run =
            Self { world, doors, tasks: TaskTracker::new(), steps: Arc::default(), wrong: Arc::default() };
        let mut chance = StdRng::seed_from_u64(seed);
        for role in ROLES {
            run.tasks.spawn(run.clone().keep(role, wrong, chance.random()));
        }
        run.tasks.spawn(run.clone().look_after());
        for reader in READERS {
            run.tasks.spawn(run.clone().follow(reader));
        }
        run
    }

    /// Keeps a role running.
    async fn keep(self, role: Role, wrong: Wrong, seed: u64) {
        let mut chance = StdRng::seed_from_u64(seed);
        for life in 0.. {
            let plan = match wrong {
                Wrong::Dies(dies, step) if dies == role && life == 0 => {
                    Plan { dies_at: Some(step), ..Plan::default() }
                }
                Wrong::Drawn if life < 3 => Plan {
                    dies_at: Some(chance.random_range(1..60)),
                    trouble: [0, 60, 150][chance.random_range(0..3)],
                    slow_ms: [1, 20, 200][chance.random_range(0..3)],
                },
                _ => Plan { slow_ms: 2, ..Plan::default() },
            };
            let process = self.world.process(format!("{role:?}/{life}"), plan, chance.random());
            let stop = CancellationToken::new();
            self.world.start(role, &process, &self.doors, stop.clone());
            let count = async {
                loop {
                    sleep(Duration::from_millis(200)).await;
                    if life == 0 {
                        let mut steps = self.steps.lock();
                        steps.retain(|(known, _)| *known != role);
                        steps.push((role, process.steps()));
                    }
                }
            };
            tokio::select! {
                biased;
                () = process.died() => {}
                () = count => {}
            }
            stop.cancel();
            if let Role::Gateway(number) = role {
                self.doors.lock()[number] = None;
            }
            sleep(Duration::from_millis(chance.random_range(0..3000))).await;
        }
    }

    /// What cron does.
    async fn look_after(self) {
        loop {
            sleep(Duration::from_secs(5)).await;
            let _again: Result<EndStreamsResp> =
                self.world.call(&Context::system("cron"), &EndStreamsReq {}).await;
        }
    }

    /// A reader who is online: what is pushed is always a beginning of the text.
    async fn follow(self, user: &'static str) {
        let text = PACKETS.concat();
        let mut packets: Vec<String> = vec![];
        loop {
            sleep(Duration::from_millis(100)).await;
            let door = self.doors.lock()[0].clone();
            let Some((process, gateway)) = door else { continue };
            let socket = gateway.open(user);
            loop {
                let data = tokio::select! {
                    biased;
                    () = process.died() => break,
                    data = socket.next() => data,
                };
                let Some(data) = data else { break };
                let Ok(pushed) = PushMessages::decode(data) else { continue };
                for tips in streams_in(&pushed) {
                    self.take(user, &mut packets, tips).await;
                    if !text.starts_with(&packets.concat()) {
                        self.wrong.lock().push(format!("{user} reads {packets:?}"));
                    }
                }
            }
        }
    }

    async fn take(&self, user: &str, packets: &mut Vec<String>, tips: StreamTips) {
        if tips.start_index > packets.len() as i64 {
            let missed = self.get(user, packets.len() as i64).await;
            packets.extend(missed.map(|missed| missed.packets).unwrap_or_default());
        }
        let Some(known) = (packets.len() as i64).checked_sub(tips.start_index) else { return };
        if known >= 0 {
            packets.extend(tips.packets.into_iter().skip(known as usize));
        }
    }

    async fn get(&self, user: &str, start_index: i64) -> Result<GetStreamMsgResp> {
        let request = GetStreamMsgReq {
            conversation_id: CONVERSATION.into(),
            client_msg_id: "answer".into(),
            start_index,
        };
        self.world.call(&user_context(user), &request).await
    }

    async fn begin_stream(&self, id: &str) -> Result<SendMsgResp> {
        let message = MsgData {
            send_id: "bot".into(),
            group_id: GROUP.into(),
            session_type: 3,
            content_type: 143,
            client_msg_id: id.into(),
            content: r#"{"type":"markdown","content":""}"#.into(),
            sender_platform_id: 12,
            ..Default::default()
        };
        let request = SendMsgReq { msg_data: Some(message) };
        self.world.call(&user_context("bot"), &request).await
    }

    async fn append(&self, user: &str, start: usize, packets: &[&str], end: bool) -> Result<()> {
        let request = AppendStreamMsgReq {
            conversation_id: CONVERSATION.into(),
            client_msg_id: "answer".into(),
            start_index: start as i64,
            packets: packets.iter().map(|packet| (*packet).to_owned()).collect(),
            end,
        };
        self.world.call(&user_context(user), &request).await.map(drop)
    }

    /// Begins the stream and writes the whole of it; what is not answered is sent again.
    async fn write(self, seed: u64) {
        let mut chance = StdRng::seed_from_u64(seed);
        while let Err(error) = self.begin_stream("answer").await {
            self.may_pass(&error);
            sleep(Duration::from_millis(chance.random_range(50..500))).await;
        }
        let mut next = 0;
        loop {
            let until = (next + chance.random_range(1..4)).min(PACKETS.len());
            let end = until == PACKETS.len();
            match self.append("bot", next, &PACKETS[next..until], end).await {
                Ok(()) if end => return,
                Ok(()) => next = until,
                // One that starts again asks where to go on.
                Err(error) if chance.random_bool(0.3) => {
                    self.may_pass(&error);
                    if let Ok(known) = self.get("bot", 0).await {
                        if known.end {
                            return;
                        }
                        next = known.next_index as usize;
                    }
                }
                Err(error) => self.may_pass(&error),
            }
            sleep(Duration::from_millis(chance.random_range(0..400))).await;
        }
    }

    fn may_pass(&self, error: &Error) {
        if !error.unreachable && error.code != ErrorCode::Internal {
            self.wrong.lock().push(format!("the writer is refused: {error}"));
        }
    }

    /// The streams that ended in the conversation, as a user reads them: seq, contentType and content.
    async fn read(&self, user: &str) -> Vec<(i64, i32, String)> {
        let range = SeqRange { conversation_id: CONVERSATION.into(), begin: 1, end: 99, num: 99 };
        let request =
            PullMessageBySeqsReq { user_id: user.into(), seq_ranges: vec![range], ..Default::default() };
        loop {
            let pulled: Result<PullMessageBySeqsResp> = self.world.call(&user_context(user), &request).await;
            let Ok(mut pulled) = pulled else {
                sleep(Duration::from_secs(1)).await;
                continue;
            };
            let messages = pulled.msgs.remove(CONVERSATION).map(|pulled| pulled.msgs).unwrap_or_default();
            let text = |message: MsgData| {
                let content = String::from_utf8_lossy(&message.content).into_owned();
                (message.seq, message.content_type, content)
            };
            return messages.into_iter().filter(|one| one.client_msg_id == "answer").map(text).collect();
        }
    }

    /// Waits until the message is there, or for very long.
    async fn settle(&self) {
        let enough = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < enough {
            sleep(Duration::from_secs(5)).await;
            if self.read("ann").await.len() == 1 && self.world.has_caught_up() {
                return;
            }
        }
    }

    fn assert_nothing_wrong(&self) {
        assert!(self.wrong.lock().is_empty(), "{:?}", self.wrong.lock());
    }
}

/// What a push tells of streams.
fn streams_in(pushed: &PushMessages) -> Vec<StreamTips> {
    let all = pushed.msgs.values().chain(pushed.notification_msgs.values()).flat_map(|list| &list.msgs);
    let tips = all.filter(|message| message.content_type == 2001).filter_map(|message| {
        let element: serde_json::Value = serde_json::from_slice(&message.content).ok()?;
        let detail: serde_json::Value = serde_json::from_str(element["detail"].as_str()?).ok()?;
        (detail["key"] == "openim.stream").then(|| serde_json::from_str(detail["data"].as_str()?).ok())?
    });
    tips.collect()
}

/// One run; how many steps the first process of each role took.
fn run(seed: u64, wrong: Wrong) -> Vec<(Role, u64)> {
    in_jumping_time(async {
        let run = Run::begin(seed, wrong).await;
        let writers = TaskTracker::new();
        writers.spawn(run.clone().write(seed));
        if seed.is_multiple_of(3) {
            // One that was believed dead.
            writers.spawn(run.clone().write(seed + 1));
        }
        writers.close();
        writers.wait().await;
        run.settle().await;
        let whole = format!(r#"{{"content":"{0}","detail":"{0}"}}"#, PACKETS.concat());
        let read = run.read("ann").await;
        let what = format!("seed {seed}, {wrong:?}");
        assert_eq!(read.len(), 1, "{what}: {read:?}");
        assert_eq!((read[0].1, &read[0].2), (118, &whole), "{what}");
        assert_eq!(run.read("ben").await, read, "{what}");
        let wrong = run.wrong.lock().clone();
        assert!(wrong.is_empty(), "{what}: {wrong:?}");
        run.steps.lock().clone()
    })
}

#[test]
fn all_readers_end_with_the_same_text_whichever_process_dies_at_whichever_step() {
    let calm = run(1, Wrong::Nothing);
    assert!(calm.iter().any(|(role, steps)| *role == Role::Msg && *steps > 30), "{calm:?}");
    for (role, steps) in calm {
        for step in 1..=steps.min(120) {
            // It dies before or after the step, and now and then there is a second writer.
            run(step, Wrong::Dies(role, step));
        }
    }
}

#[test]
fn all_readers_end_with_the_same_text_whatever_fails() {
    for seed in 1..=runs(150) {
        run(seed, Wrong::Drawn);
    }
}

#[test]
fn a_stream_whose_writer_is_gone_ends_with_what_it_has() {
    in_jumping_time(async {
        let run = Run::begin(5, Wrong::Nothing).await;
        sleep(Duration::from_secs(5)).await;
        run.begin_stream("answer").await.unwrap();
        run.append("bot", 0, &["To ", "be"], false).await.unwrap();
        sleep(Duration::from_secs(590)).await;
        run.append("bot", 2, &[", or"], false).await.unwrap();
        sleep(Duration::from_secs(590)).await;
        assert!(run.read("ann").await.is_empty(), "it was not silent for ten minutes");
        let open = run.get("ann", 1).await.unwrap();
        assert_eq!((open.end, open.next_index, open.packets.concat().as_str()), (false, 3, "be, or"));
        sleep(Duration::from_secs(30)).await;
        let read = run.read("ann").await;
        assert_eq!(
            read.iter().map(|read| read.2.as_str()).collect::<Vec<_>>(),
            [r#"{"content":"To be, or","detail":"To be, or"}"#]
        );
        let late = run.append("bot", 3, &["not"], false).await.unwrap_err();
        assert!(late.code == ErrorCode::NoPermission && late.detail.contains("3 packets"), "{late}");
        run.append("bot", 2, &[", or"], true).await.unwrap();
        let closed = run.get("ann", 0).await.unwrap();
        assert_eq!((closed.end, closed.ended.as_str(), closed.packets.len()), (true, "sent", 0));
        run.assert_nothing_wrong();
    });
}

#[test]
fn positions_decide_what_is_appended() {
    in_jumping_time(async {
        let run = Run::begin(5, Wrong::Nothing).await;
        sleep(Duration::from_secs(5)).await;
        let missing = run.append("bot", 0, &["x"], false).await.unwrap_err();
        assert!(missing.code == ErrorCode::RecordNotFound && missing.detail.contains("143"), "{missing}");
        let [first, again] =
            [run.begin_stream("answer").await.unwrap(), run.begin_stream("answer").await.unwrap()];
        assert_eq!(first, again);
        run.append("bot", 0, &["a", "b"], false).await.unwrap();
        run.append("bot", 0, &["a", "b"], false).await.unwrap();
        run.append("bot", 1, &["b", "c"], false).await.unwrap();
        let gap = run.append("bot", 4, &["e"], false).await.unwrap_err();
        assert!(
            gap.code == ErrorCode::NoPermission && gap.detail.contains("next packet of this stream is 3"),
            "{gap}"
        );
        let other = run.append("bot", 1, &["B"], false).await.unwrap_err();
        assert!(
            other.code == ErrorCode::NoPermission && other.detail.contains("packet 1 differs"),
            "{other}"
        );
        run.append("bot", 3, &["d"], true).await.unwrap();
        run.append("bot", 3, &["d"], true).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(run.read("ben").await.len(), 1);
        assert_eq!(run.read("ben").await[0].2, r#"{"content":"abcd","detail":"abcd"}"#);
    });
}

#[test]
fn only_the_sender_appends_and_only_participants_read() {
    in_jumping_time(async {
        let run = Run::begin(5, Wrong::Nothing).await;
        sleep(Duration::from_secs(5)).await;
        run.begin_stream("answer").await.unwrap();
        run.append("bot", 0, &["a"], false).await.unwrap();
        for (user, code) in [("ann", ErrorCode::NoPermission), ("eve", ErrorCode::RecordNotFound)] {
            assert_eq!(run.append(user, 1, &["b"], false).await.unwrap_err().code, code, "{user}");
        }
        assert_eq!(run.get("eve", 0).await.unwrap_err().code, ErrorCode::RecordNotFound);
        assert_eq!(run.get("ann", 0).await.unwrap().packets, ["a"]);
        let request = GetStreamMsgsReq { conversation_id: CONVERSATION.into() };
        for (user, streams) in [("ann", 1), ("eve", 0)] {
            let open = run.world.call(&user_context(user), &request).await.unwrap();
            assert_eq!(open.streams.len(), streams, "{user}");
        }
    });
}

#[test]
fn who_may_not_write_any_more_ends_without_a_message() {
    in_jumping_time(async {
        let run = Run::begin(5, Wrong::Nothing).await;
        sleep(Duration::from_secs(5)).await;
        let (_, gateway) = run.doors.lock()[0].clone().unwrap();
        let socket = gateway.open("ann");
        run.begin_stream("answer").await.unwrap();
        run.append("bot", 0, &["a"], false).await.unwrap();
        run.world.calm_store().remove_members(GROUP, &["bot".to_owned()]).await.unwrap();
        let refused = run.append("bot", 1, &["b"], true).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotInGroup);
        sleep(Duration::from_secs(700)).await;
        assert!(run.read("ann").await.is_empty());
        let ended = run.get("ann", 0).await.unwrap();
        assert!(ended.end && ended.ended.contains("not a member"), "{}", ended.ended);
        let mut last = None;
        while let Ok(Some(data)) = tokio::time::timeout(Duration::from_secs(1), socket.next()).await {
            let Ok(pushed) = PushMessages::decode(data) else { continue };
            last = streams_in(&pushed).pop().or(last);
        }
        let last = last.unwrap();
        assert!(last.end && last.ended.contains("not a member"), "{last:?}");
    });
}
