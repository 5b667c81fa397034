//! The user service, and what is removed by age.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use config::{Config, Live};
use cron::Cron;
use model::{Clock, conversation_id, sequencer::DedupKey};
use protocol::{
    ErrorCode, Result,
    internal::caller::Kind,
    sdkws::{MsgData, UserInfo},
    user::{SetGlobalRecvMessageOptReq, UserRegisterReq},
};
use rpc::Context;
use store::{DAY_MS, DateTime, conversations::Conversation, messages::StoredMessage};
use tokio_util::sync::CancellationToken;

use crate::{handlers::world, mutants::in_jumping_time};
use testkit::{Handler, Plan, Process, World, user_context};

async fn register(world: &World, by: &Context, user: &str) -> Result<()> {
    let info = UserInfo { user_id: user.into(), nickname: user.into(), ..Default::default() };
    let request = UserRegisterReq { users: vec![info] };
    world.call(by, &request).await?;
    Ok(())
}

#[test]
fn administrators_register_each_user_once_and_nobody_else_does() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::User]).await;
        let admin = Context::new(Kind::Admin, "imAdmin", 10, "test");
        register(&world, &admin, "dan").await.unwrap();
        assert_eq!(register(&world, &admin, "dan").await.unwrap_err().code, ErrorCode::Registered);
        let refused = register(&world, &user_context("ann"), "eve").await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NoPermission);
        assert!(world.calm_store().user("dan").await.unwrap().is_some());
        assert!(world.calm_store().user("eve").await.unwrap().is_none());
    });
}

#[test]
fn who_receives_nothing_is_decided_by_nobody_else() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::User]).await;
        let request = SetGlobalRecvMessageOptReq { user_id: "ann".into(), global_recv_msg_opt: 2 };
        for (by, expected) in [("ben", Some(ErrorCode::NoPermission)), ("ann", None)] {
            let answer = world.call(&user_context(by), &request).await;
            assert_eq!(answer.err().map(|error| error.code), expected, "{by}");
            let stored = world.calm_store().user("ann").await.unwrap().unwrap();
            assert_eq!(stored.global_recv_msg_opt, if expected.is_none() { 2 } else { 0 }, "{by}");
        }
    });
}

/// Messages of two days, ten a day in each of two conversations.
async fn old_and_young(world: &World) {
    let store = world.calm_store();
    for conversation in ["si_ann_ben", "sg_team"] {
        let mut rows = Vec::new();
        for seq in 1..=20 {
            let age = if seq <= 10 { 2 * DAY_MS } else { 0 };
            let id = format!("{conversation}-{seq}");
            let key = DedupKey {
                conversation: conversation.into(),
                send_id: "ann".into(),
                client_msg_id: id.clone(),
            };
            let send_time = world.clock.now_ms() - age;
            let message =
                MsgData { seq, send_time, client_msg_id: id, content_type: 101, ..Default::default() };
            rows.push(StoredMessage::new(&key, seq, &message, prost::Message::encode_to_vec(&message)));
        }
        store.insert_messages(&rows).await.unwrap();
        store.raise_max_seqs(&[(conversation.to_owned(), 20, world.clock.now_ms())]).await.unwrap();
    }
}

/// Runs the jobs once, or until their process dies.
async fn clean(world: &World, process: &Arc<Process>) {
    let config = Config { retain_days: 1, ..(*world.config).clone() };
    let cron = Cron {
        store: world.store(process),
        objects: None,
        config: Live::fixed(config),
        peers: world.peers(process),
        clock: Arc::new(world.clock),
    };
    let stop = CancellationToken::new();
    tokio::select! {
        () = cron.run(stop.clone()) => {}
        () = process.died() => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => {}
    }
}

/// Every seq that may still be read has its message.
async fn has_no_hole(world: &World) -> usize {
    let mut there: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in world.memory.documents("messages") {
        let (conversation, seq) = row.get_str("_id").unwrap().rsplit_once(':').unwrap();
        there.entry(conversation.to_owned()).or_default().push(i64::from_str_radix(seq, 16).unwrap());
    }
    let ids: Vec<String> = there.keys().cloned().collect();
    let seqs = world.calm_store().conversation_seqs(&ids).await.unwrap();
    for (id, seqs) in seqs {
        for seq in seqs.min.max(1)..=seqs.max {
            assert!(there[&id].contains(&seq), "{id}: {seq} can be read and is gone");
        }
    }
    there.values().map(Vec::len).sum()
}

#[test]
fn old_messages_go_without_a_hole_wherever_the_process_dies() {
    for step in 1.. {
        let survived = in_jumping_time(async {
            let (world, _process) = world(&[]).await;
            old_and_young(&world).await;
            let dies = world.process("dies", Plan { dies_at: Some(step), ..Plan::default() }, step);
            clean(&world, &dies).await;
            has_no_hole(&world).await;
            clean(&world, &world.process("again", Plan::default(), 2)).await;
            assert_eq!(has_no_hole(&world).await, 20, "step {step}");
            dies.steps() < step
        });
        if survived {
            assert!(step > 5, "it died at {step} steps");
            return;
        }
    }
}

/// Rows with a timer of a second are due again before the run that serves them has ended.
#[test]
fn a_run_serves_each_timer_once_and_old_messages_go_meanwhile() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Msg]).await;
        old_and_young(&world).await;
        let store = world.calm_store();
        let mut ids = Vec::new();
        for number in 1..=20 {
            let peer = format!("peer{number}");
            let id = conversation_id::single("ann", &peer);
            let mut row = Conversation::new("ann", &id, 1, &peer, "", DateTime::from_millis(1));
            (row.is_msg_destruct, row.msg_destruct_time) = (true, 1);
            store.ensure_conversations(&[row]).await.unwrap();
            ids.push(id);
        }
        let begun = world.clock.now_ms();
        let slow = Plan { slow_ms: 200, ..Plan::default() };
        clean(&world, &world.process("slow", slow, 1)).await;
        let served = store.conversations("ann", &ids).await.unwrap();
        let times = served.iter().map(|row| row.latest_msg_destruct_time.map(DateTime::timestamp_millis));
        let times: BTreeSet<Option<i64>> = times.collect();
        assert_eq!((served.len(), times.len()), (20, 1), "{times:?}");
        assert!(times.first().is_some_and(|time| time.is_some_and(|time| time >= begun)), "{times:?}");
        assert_eq!(has_no_hole(&world).await, 20);
    });
}
