//! The group and the conversation service.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use prost::Message;
use protocol::{
    ErrorCode, Result,
    content_type::GROUP_DISMISSED,
    conversation::{ConversationReq, GetConversationReq, SetConversationsReq},
    extension::CreateConversationGroupReq,
    group::{CreateGroupReq, DismissGroupReq, GetFullJoinGroupIDsReq, KickGroupMemberReq},
    sdkws::{GroupInfo, MsgData},
    wrappers::Int32Value,
};
use rpc::Context;
use tokio::time::sleep;

use crate::{handlers::world, mutants::in_jumping_time};
use testkit::{Handler, Plan, World, add_group, user_context};

const BOTH: [Handler; 2] = [Handler::Group, Handler::Conversation];

async fn create(world: &World) -> Result<()> {
    create_by(world, "ann", &["ben", "cat"]).await
}

async fn create_by(world: &World, owner: &str, members: &[&str]) -> Result<()> {
    let info =
        GroupInfo { group_id: "team".into(), group_name: "Team".into(), group_type: 2, ..Default::default() };
    let request = CreateGroupReq {
        owner_user_id: owner.into(),
        member_user_ids: members.iter().map(|user| (*user).to_owned()).collect(),
        group_info: Some(info),
        send_message: Some(false),
        ..Default::default()
    };
    world.call(&user_context(owner), &request).await?;
    Ok(())
}

async fn kick(world: &World, by: &str, who: &str) -> Result<()> {
    let request = KickGroupMemberReq {
        group_id: "team".into(),
        kicked_user_ids: vec![who.into()],
        send_message: Some(false),
        ..Default::default()
    };
    world.call(&user_context(by), &request).await?;
    Ok(())
}

async fn groups_of(world: &World, user: &str) -> Vec<String> {
    let request = GetFullJoinGroupIDsReq { user_id: user.into(), ..Default::default() };
    let answer = world.call(&user_context(user), &request).await.unwrap();
    answer.group_ids
}

/// Those who have a row of the group's chat.
fn rows(world: &World) -> BTreeSet<String> {
    let rows = world.memory.documents("conversation");
    let of_team = rows.iter().filter(|row| row.get_str("conversation_id").is_ok_and(|id| id == "sg_team"));
    of_team.filter_map(|row| row.get_str("owner_user_id").map(str::to_owned).ok()).collect()
}

#[test]
fn a_group_is_made_whole_though_its_service_dies() {
    for step in 1.. {
        let survived = in_jumping_time(async {
            let (world, _process) = world(&[]).await;
            let dies = world.process("dies", Plan { dies_at: Some(step), ..Plan::default() }, step);
            BOTH.iter().for_each(|handler| world.handle(*handler, &dies));
            let first = create(&world).await;
            let again = world.process("again", Plan::default(), 2);
            BOTH.iter().for_each(|handler| world.handle(*handler, &again));
            let exists = |error: protocol::Error| error.code == ErrorCode::GroupExists;
            assert!(create(&world).await.map_or_else(exists, |()| first.is_err()), "step {step}");
            for user in ["ann", "ben", "cat"] {
                assert_eq!(groups_of(&world, user).await, ["team"], "{user}, step {step}");
            }
            let everybody: BTreeSet<String> = ["ann", "ben", "cat"].map(str::to_owned).into();
            assert_eq!(rows(&world), everybody, "step {step}");
            assert_eq!(world.calm_store().member_count("team").await.unwrap(), 3, "step {step}");
            dies.steps() < step
        });
        if survived {
            assert!(step > 10, "it died at {step} steps");
            return;
        }
    }
}

/// Two create a group with one id at the same time, and only members of the one that there is keep a row. Whether both had rows meanwhile.
async fn race(seed: u64) -> bool {
    let (world, _process) = world(&[]).await;
    let slow = world.process("slow", Plan { slow_ms: 20, ..Plan::default() }, seed);
    BOTH.iter().for_each(|handler| world.handle(*handler, &slow));
    let mut both = false;
    let mut creating =
        pin!(async { tokio::join!(create_by(&world, "ann", &["ben"]), create_by(&world, "cat", &[])) });
    let (one, other) = loop {
        tokio::select! {
            done = &mut creating => break done,
            () = sleep(Duration::from_millis(1)) => {
                let now = rows(&world);
                both |= now.contains("ann") && now.contains("cat");
            }
        }
    };
    let members: BTreeSet<String> = match (one, other) {
        (Ok(()), Err(error)) if error.code == ErrorCode::GroupExists => {
            ["ann", "ben"].map(str::to_owned).into()
        }
        (Err(error), Ok(())) if error.code == ErrorCode::GroupExists => ["cat".to_owned()].into(),
        neither => panic!("seed {seed}: {neither:?}"),
    };
    assert_eq!(rows(&world), members, "seed {seed}");
    both
}

#[test]
fn who_loses_the_race_for_an_id_keeps_no_row_of_the_group() {
    let met = (1..=20).filter(|seed| in_jumping_time(race(*seed))).count();
    assert!(met > 0, "no two had rows at the same time");
}

async fn dismiss(world: &World, context: &Context, delete_member: bool) -> Result<()> {
    let request = DismissGroupReq { group_id: "team".into(), delete_member, ..Default::default() };
    world.call(context, &request).await?;
    Ok(())
}

/// How often the members are told that their group is dismissed.
fn told_of_dismissal(world: &World) -> usize {
    let accepted = world.log.entries(&world.config.kafka.message_topic).into_iter();
    let messages = accepted.map(|entry| MsgData::decode(entry.payload).unwrap());
    messages.filter(|message| message.content_type == GROUP_DISMISSED).count()
}

#[test]
fn a_dismissal_is_repeated_until_the_members_are_told_of_it() {
    let services = [Handler::Group, Handler::Msg];
    for step in 1.. {
        let survived = in_jumping_time(async {
            let (world, _process) = world(&[]).await;
            add_group(&world, "team", &["ann", "ben"]).await;
            let dies = world.process("dies", Plan { dies_at: Some(step), ..Plan::default() }, step);
            services.iter().for_each(|handler| world.handle(*handler, &dies));
            let (ann, ben) = (user_context("ann"), user_context("ben"));
            let first = dismiss(&world, &ann, false).await;
            assert!(first.is_err() || told_of_dismissal(&world) == 1, "step {step}");
            let again = world.process("again", Plan::default(), 2);
            services.iter().for_each(|handler| world.handle(*handler, &again));
            dismiss(&world, &ann, false).await.unwrap();
            assert!(told_of_dismissal(&world) > 0, "step {step}");
            assert_eq!(dismiss(&world, &ben, false).await.unwrap_err().code, ErrorCode::Dismissed);
            dismiss(&world, &Context::system("push"), true).await.unwrap();
            assert!(dismiss(&world, &ann, false).await.is_err(), "nobody is left to be told");
            dies.steps() < step
        });
        if survived {
            assert!(step > 5, "it died at {step} steps");
            return;
        }
    }
}

#[test]
fn who_is_kicked_is_no_member_and_members_kick_nobody() {
    in_jumping_time(async {
        let (world, _process) = world(&BOTH).await;
        create(&world).await.unwrap();
        assert_eq!(kick(&world, "ben", "cat").await.unwrap_err().code, ErrorCode::NoPermission);
        assert_eq!(kick(&world, "ben", "ann").await.unwrap_err().code, ErrorCode::NoPermission);
        kick(&world, "ann", "cat").await.unwrap();
        assert_eq!(kick(&world, "ann", "cat").await.unwrap_err().code, ErrorCode::NotInGroup);
        assert!(groups_of(&world, "cat").await.is_empty());
        assert_eq!(world.calm_store().member_count("team").await.unwrap(), 2);
    });
}

async fn set(world: &World, user: &str, option: i32) -> Result<()> {
    let conversation = ConversationReq {
        conversation_type: 3,
        group_id: "team".into(),
        recv_msg_opt: Some(Int32Value { value: option }),
        ..Default::default()
    };
    let request = SetConversationsReq { user_ids: vec![user.into()], conversation: Some(conversation) };
    world.call(&user_context(user), &request).await?;
    Ok(())
}

#[test]
fn a_setting_is_kept_and_a_stranger_to_a_group_has_none() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Conversation]).await;
        add_group(&world, "team", &["ann", "ben"]).await;
        set(&world, "ben", 2).await.unwrap();
        for (user, expected) in [("ben", 2), ("ann", 0)] {
            let request =
                GetConversationReq { conversation_id: "sg_team".into(), owner_user_id: user.into() };
            let answer = world.call(&user_context(user), &request).await.unwrap();
            assert_eq!(answer.conversation.unwrap().recv_msg_opt, expected, "{user}");
        }
        assert_eq!(set(&world, "cat", 2).await.unwrap_err().code, ErrorCode::NotInGroup);
        assert!(!rows(&world).contains("cat"));
    });
}

async fn make_folder(world: &World, by: &str, name: &str, conversation: &str) -> Result<()> {
    let request = CreateConversationGroupReq {
        owner_user_id: "ann".into(),
        name: name.into(),
        conversation_id: conversation.into(),
        ..Default::default()
    };
    world.call(&user_context(by), &request).await?;
    Ok(())
}

#[test]
fn folders_are_made_by_their_owner_and_hold_conversations_of_the_owner() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Conversation]).await;
        add_group(&world, "team", &["ann", "ben"]).await;
        for (by, conversation, expected) in [
            ("ben", "sg_team", Some(ErrorCode::NoPermission)),
            ("ann", "sg_other", Some(ErrorCode::RecordNotFound)),
            ("ann", "sg_team", None),
        ] {
            let made = make_folder(&world, by, "Work", conversation).await;
            assert_eq!(made.err().map(|error| error.code), expected, "{by} {conversation}");
        }
        let kept = world.calm_store().folders("ann").await.unwrap().folders;
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].conversation_ids, ["sg_team"]);
    });
}

#[test]
fn folders_that_two_devices_make_at_once_are_both_kept() {
    in_jumping_time(async {
        let (world, _process) = world(&[]).await;
        let slow = world.process("slow", Plan { slow_ms: 20, ..Plan::default() }, 1);
        world.handle(Handler::Conversation, &slow);
        let (one, other) =
            tokio::join!(make_folder(&world, "ann", "Work", ""), make_folder(&world, "ann", "Home", ""));
        one.unwrap();
        other.unwrap();
        let kept = world.calm_store().folders("ann").await.unwrap().folders;
        let names: BTreeSet<&str> = kept.iter().map(|folder| folder.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["Home", "Work"]));
    });
}
