//! Handlers of the services whose crates have no tests of them, called as other services call them.

use std::sync::Arc;

use model::conversation_id;
use prost::Message;
use protocol::{
    ErrorCode, Result,
    extension::{ModifyMessageReq, ModifyMessageResp},
    msg::SendMsgReq,
    relation::{
        ApplyToAddFriendReq, DeleteFriendReq, GetIncrementalFriendsReq, GetIncrementalFriendsResp,
        IsFriendReq, RespondFriendApplyReq,
    },
    sdkws::{MsgData, PullMessageBySeqsReq, SeqRange},
};
use store::{DateTime, conversations::Conversation};

use crate::mutants::in_jumping_time;
use testkit::{Handler, Plan, Process, World, add_group, add_users, user_context};

/// A world where these services answer and nothing goes wrong.
pub(crate) async fn world(handlers: &[Handler]) -> (World, Arc<Process>) {
    let world = World::new(1).await;
    add_users(&world, &["ann", "ben", "cat"]).await;
    let process = world.process("services", Plan::default(), 1);
    for handler in handlers {
        world.handle(*handler, &process);
    }
    (world, process)
}

async fn ask(world: &World, from: &str, to: &str) -> Result<()> {
    let request =
        ApplyToAddFriendReq { from_user_id: from.into(), to_user_id: to.into(), ..Default::default() };
    world.call(&user_context(from), &request).await?;
    Ok(())
}

async fn answer(world: &World, from: &str, to: &str, result: i32) -> Result<()> {
    let request = RespondFriendApplyReq {
        from_user_id: from.into(),
        to_user_id: to.into(),
        handle_result: result,
        ..Default::default()
    };
    world.call(&user_context(to), &request).await?;
    Ok(())
}

async fn are_friends(world: &World, one: &str, other: &str) -> (bool, bool) {
    let request = IsFriendReq { user_id1: one.into(), user_id2: other.into() };
    let answer = world.call(&user_context(one), &request).await.unwrap();
    (answer.in_user1_friends, answer.in_user2_friends)
}

async fn sync(world: &World, user: &str, since: &GetIncrementalFriendsResp) -> GetIncrementalFriendsResp {
    let request = GetIncrementalFriendsReq {
        user_id: user.into(),
        version: since.version,
        version_id: since.version_id.clone(),
    };
    world.call(&user_context(user), &request).await.unwrap()
}

#[test]
fn who_agrees_has_a_friend_and_is_one() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Relation]).await;
        ask(&world, "ann", "ben").await.unwrap();
        assert_eq!(are_friends(&world, "ann", "ben").await, (false, false));
        let not_asked = answer(&world, "cat", "ben", 1).await.unwrap_err();
        assert_eq!(not_asked.code, ErrorCode::RecordNotFound);
        answer(&world, "ann", "ben", 1).await.unwrap();
        assert_eq!(are_friends(&world, "ann", "ben").await, (true, true));
        let again = ask(&world, "ann", "ben").await.unwrap_err();
        assert_eq!(again.code, ErrorCode::RelationshipExists);
    });
}

#[test]
fn who_agrees_again_after_a_crash_has_a_friend() {
    for step in 1.. {
        let survived = in_jumping_time(async {
            let (world, _process) = world(&[Handler::Relation]).await;
            ask(&world, "ann", "ben").await.unwrap();
            let dies = world.process("dies", Plan { dies_at: Some(step), ..Plan::default() }, step);
            world.handle(Handler::Relation, &dies);
            let first = answer(&world, "ann", "ben", 1).await;
            let again = world.process("again", Plan::default(), 2);
            world.handle(Handler::Relation, &again);
            let second = answer(&world, "ann", "ben", 1).await;
            assert!(second.is_ok() || first.is_ok() || handled(second), "step {step}");
            assert_eq!(are_friends(&world, "ann", "ben").await, (true, true), "step {step}");
            dies.steps() < step
        });
        if survived {
            assert!(step > 10, "it died at {step} steps");
            return;
        }
    }
}

fn handled(answer: Result<()>) -> bool {
    answer.is_err_and(|error| error.detail.contains("already been handled"))
}

#[test]
fn nobody_answers_for_another() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Relation]).await;
        ask(&world, "ann", "ben").await.unwrap();
        let request = RespondFriendApplyReq {
            from_user_id: "ann".into(),
            to_user_id: "ben".into(),
            handle_result: 1,
            ..Default::default()
        };
        let refused = world.call(&user_context("ann"), &request).await;
        assert_eq!(refused.unwrap_err().code, ErrorCode::NoPermission);
        assert_eq!(are_friends(&world, "ann", "ben").await, (false, false));
    });
}

#[test]
fn a_friend_who_is_deleted_still_has_the_other() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Relation]).await;
        ask(&world, "ann", "ben").await.unwrap();
        answer(&world, "ann", "ben", 1).await.unwrap();
        let request = DeleteFriendReq { owner_user_id: "ann".into(), friend_user_id: "ben".into() };
        for (attempt, expected) in [(1, None), (2, Some(ErrorCode::RecordNotFound))] {
            let deleted = world.call(&user_context("ann"), &request).await;
            assert_eq!(deleted.err().map(|error| error.code), expected, "{attempt}");
        }
        assert_eq!(are_friends(&world, "ann", "ben").await, (false, true));
    });
}

pub(crate) async fn a_friend_is_in_the_next_sync() {
    let (world, _process) = world(&[Handler::Relation]).await;
    let first = sync(&world, "ann", &GetIncrementalFriendsResp::default()).await;
    assert!(first.full);
    ask(&world, "ann", "ben").await.unwrap();
    answer(&world, "ann", "ben", 1).await.unwrap();
    let next = sync(&world, "ann", &first).await;
    assert!(!next.full && next.version > first.version);
    assert_eq!(next.insert.len(), 1);
    assert!(sync(&world, "ann", &next).await.insert.is_empty());
}

#[test]
fn a_new_friend_is_in_the_next_sync() {
    in_jumping_time(a_friend_is_in_the_next_sync());
}

/// Whoever has a row of a conversation, and no part in it, reads nothing there.
pub(crate) async fn a_row_alone_lets_nobody_read() {
    let (world, process) = world(&[Handler::Msg]).await;
    add_group(&world, "g", &["ann", "ben"]).await;
    let transfer = world.process("transfer", Plan::default(), 2);
    let doors = Arc::new(parking_lot::Mutex::new(vec![None]));
    let stop = tokio_util::sync::CancellationToken::new();
    world.start(testkit::Role::Transfer, &transfer, &doors, stop);
    let message = MsgData {
        send_id: "ann".into(),
        group_id: "g".into(),
        session_type: 3,
        content_type: 101,
        client_msg_id: "1".into(),
        content: "{}".into(),
        ..Default::default()
    };
    let request = SendMsgReq { msg_data: Some(message) };
    world.call(&user_context("ann"), &request).await.unwrap();
    while world.memory.documents("conversation_seq").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let id = conversation_id::group("g");
    let row = Conversation::new("cat", &id, 3, "", "g", DateTime::from_millis(1));
    world.calm_store().ensure_conversations(&[row]).await.unwrap();
    for (user, readable) in [("ben", 1), ("cat", 0)] {
        let range = SeqRange { conversation_id: id.clone(), begin: 1, end: 1, num: 10 };
        let request =
            PullMessageBySeqsReq { user_id: user.into(), seq_ranges: vec![range], ..Default::default() };
        let pulled = world.call(&user_context(user), &request).await.unwrap();
        let found: usize = pulled.msgs.values().map(|messages| messages.msgs.len()).sum();
        assert_eq!(found, readable, "{user}");
    }
    assert!(!faults::fate::Fates::is_dead(process.as_ref()));
}

#[test]
fn a_row_alone_is_no_right_to_read() {
    in_jumping_time(a_row_alone_lets_nobody_read());
}

/// A stored message of ann to ben, and who stores others.
async fn message_of_ann(world: &World) {
    let transfer = world.process("transfer", Plan::default(), 2);
    let doors = Arc::new(parking_lot::Mutex::new(vec![None]));
    world.start(testkit::Role::Transfer, &transfer, &doors, tokio_util::sync::CancellationToken::new());
    let message = MsgData {
        send_id: "ann".into(),
        recv_id: "ben".into(),
        session_type: 1,
        content_type: 101,
        client_msg_id: "1".into(),
        content: r#"{"content":"one"}"#.into(),
        ..Default::default()
    };
    world.call(&user_context("ann"), &SendMsgReq { msg_data: Some(message) }).await.unwrap();
    while world.memory.documents("conversation_seq").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn modify(world: &World) -> Result<ModifyMessageResp> {
    let request = ModifyMessageReq {
        conversation_id: conversation_id::single("ann", "ben"),
        seq: 1,
        old_content: r#"{"content":"one"}"#.into(),
        new_content: r#"{"content":"two"}"#.into(),
    };
    world.call(&user_context("ann"), &request).await
}

/// How often somebody is told of an edit.
fn told_of_an_edit(world: &World) -> usize {
    let accepted = world.log.entries(&world.config.kafka.message_topic).into_iter();
    let messages = accepted.map(|entry| MsgData::decode(entry.payload).unwrap());
    let tells =
        |message: &MsgData| String::from_utf8_lossy(&message.content).contains("openim.messageEdited");
    messages.filter(tells).count()
}

#[test]
fn a_modification_is_repeated_until_the_other_side_is_told_of_it() {
    for step in 1.. {
        let survived = in_jumping_time(async {
            let (world, _process) = world(&[Handler::Msg]).await;
            message_of_ann(&world).await;
            let dies = world.process("dies", Plan { dies_at: Some(step), ..Plan::default() }, step);
            world.handle(Handler::Msg, &dies);
            let first = modify(&world).await;
            assert!(first.is_err() || told_of_an_edit(&world) == 1, "step {step}");
            let again = world.process("again", Plan::default(), 3);
            world.handle(Handler::Msg, &again);
            assert_eq!(modify(&world).await.unwrap().modified_count, 1, "step {step}");
            assert!(told_of_an_edit(&world) > 0, "step {step}");
            dies.steps() < step
        });
        if survived {
            assert!(step > 3, "it died at {step} steps");
            return;
        }
    }
}
