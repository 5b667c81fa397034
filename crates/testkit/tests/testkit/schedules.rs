//! Many schedules by seed, a crash at every step, and one schedule that is written down.

use faults::fate::Fates;
use std::{sync::Arc, time::Duration};

use gateway::GatewayService;
use parking_lot::Mutex;
use protocol::{msg::SendMsgReq, sdkws::MsgData};
use testkit::{Doors, Outcome, Plan, Role, Settings, World, add_users, explore, run, runs, user_context};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::mutants::in_jumping_time;

/// What a failure says: how to run it again, what is wrong, and what happened on the way.
pub(crate) fn report(found: Option<(Settings, Outcome)>) -> Result<(), String> {
    let Some((settings, outcome)) = found else { return Ok(()) };
    let Settings { seed, only } = settings;
    let again = match only {
        None => format!("TESTKIT_SEED={seed} runs it again"),
        Some((role, step)) => format!("seed {seed}, {role:?} dies at its step {step}"),
    };
    let (wrong, journal) = (outcome.wrong.join("\n  "), outcome.journal.join("\n  "));
    Err(format!("{again}\nwrong:\n  {wrong}\nwhat happened:\n  {journal}"))
}

#[test]
fn no_message_is_lost_doubled_or_untold_whatever_fails() {
    let all: Vec<Settings> = (1..=runs(2000)).map(|seed| Settings { seed, only: None }).collect();
    report(explore(None, &all)).unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn every_process_may_die_at_each_of_its_steps() {
    let calm = run(Settings { seed: 1, only: Some((Role::Msg, u64::MAX)) });
    assert_eq!(calm.wrong, Vec::<String>::new(), "nothing failed");
    assert!(calm.steps.len() == 5 && calm.journal.is_empty(), "{calm:?}");
    let each = calm.steps.iter().flat_map(|(role, steps)| (1..=*steps).map(|step| (*role, step)));
    // Two seeds: one of them dies before, the other after the step, more often than not.
    let all = each.flat_map(|only| [1, 2].map(|seed| Settings { seed, only: Some(only) }));
    let all: Vec<Settings> = all.collect();
    assert!(all.len() > 200, "{:?}", calm.steps);
    report(explore(None, &all)).unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn a_seed_is_one_schedule() {
    for seed in [3, 7] {
        let [one, other] = [(); 2].map(|()| run(Settings { seed, only: None }).journal);
        assert!(!one.is_empty());
        assert_eq!(one, other, "seed {seed}");
    }
}

/// A gateway lives, and nobody reaches it while a message is for one of its connections.
pub(crate) async fn who_missed_something_is_closed() {
    let world = World::new(1).await;
    add_users(&world, &["ann", "ben"]).await;
    let [lives, gone] = ["lives", "gone"].map(|name| world.process(name, Plan::default(), 1));
    let doors: Doors = Arc::new(Mutex::new(vec![None]));
    let stop = CancellationToken::new();
    for role in [Role::Msg, Role::Transfer, Role::Push, Role::Gateway(0)] {
        world.start(role, &lives, &doors, stop.clone());
    }
    let (_, gateway) = doors.lock()[0].clone().unwrap();
    let socket = gateway.open("ben");
    sleep(Duration::from_secs(10)).await;
    gone.die();
    let (service, address) = (Arc::new(GatewayService(gateway)), world.gateways[0].to_string());
    world.serve(&address, &gone, service.clone());
    let message = MsgData {
        send_id: "ann".into(),
        recv_id: "ben".into(),
        session_type: 1,
        content_type: 101,
        client_msg_id: "1".into(),
        content: "{}".into(),
        ..Default::default()
    };
    let request = SendMsgReq { msg_data: Some(message) };
    world.call(&user_context("ann"), &request).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert!(world.has_caught_up(), "push gave up, and goes on with what is next");
    world.serve(&address, &lives, service);
    let closed = timeout(Duration::from_secs(60), socket.next()).await;
    assert!(matches!(closed, Ok(None)), "the connection stays open: {closed:?}");
}

#[test]
fn a_connection_that_missed_a_message_is_closed() {
    in_jumping_time(who_missed_something_is_closed());
}
