//! Users and groups of a world, as if they had been there before.

use model::Clock;
use protocol::internal::caller::Kind;
use rpc::Context;
use store::{
    DateTime,
    groups::{Group, Member, role},
    users::User,
};

use crate::World;

/// A user who has logged in on the web.
pub fn user_context(user: &str) -> Context {
    Context::new(Kind::User, user, 5, format!("of-{user}"))
}

/// Registers users.
///
/// # Panics
/// When the store refuses: nothing happens to it here.
pub async fn add_users(world: &World, ids: &[&str]) {
    let row = |id: &&str| User {
        user_id: (*id).to_owned(),
        nickname: id.to_uppercase(),
        face_url: String::new(),
        ex: String::new(),
        app_manger_level: 1,
        global_recv_msg_opt: 0,
        status: 0,
        create_time: DateTime::from_millis(world.clock.now_ms()),
    };
    let rows: Vec<User> = ids.iter().map(row).collect();
    world.calm_store().create_users(&rows).await.unwrap_or_else(|error| panic!("{error}"));
}

/// Makes a group; the first of its members owns it.
///
/// # Panics
/// When the store refuses: nothing happens to it here.
pub async fn add_group(world: &World, id: &str, members: &[&str]) {
    let now = DateTime::from_millis(world.clock.now_ms());
    let member = |(number, user): (usize, &&str)| Member {
        group_id: id.to_owned(),
        user_id: (*user).to_owned(),
        nickname: String::new(),
        face_url: String::new(),
        role_level: if number == 0 { role::OWNER } else { role::ORDINARY },
        join_time: now,
        join_source: 2,
        inviter_user_id: String::new(),
        operator_user_id: String::new(),
        mute_end_time: DateTime::from_millis(0),
        ex: String::new(),
    };
    let rows: Vec<Member> = members.iter().enumerate().map(member).collect();
    let group = Group {
        group_id: id.to_owned(),
        group_name: id.to_owned(),
        notification: String::new(),
        introduction: String::new(),
        face_url: String::new(),
        create_time: now,
        ex: String::new(),
        status: 0,
        creator_user_id: members.first().map(|owner| (*owner).to_owned()).unwrap_or_default(),
        group_type: 2,
        need_verification: 0,
        look_member_info: 0,
        apply_member_friend: 0,
        notification_update_time: now,
        notification_user_id: String::new(),
    };
    world.calm_store().create_group(&group, &rows).await.unwrap_or_else(|error| panic!("{error}"));
    let conversation = model::conversation_id::group(id);
    let row = |user: &&str| store::conversations::Conversation::new(user, &conversation, 3, "", id, now);
    let rows: Vec<_> = members.iter().map(row).collect();
    world.calm_store().ensure_conversations(&rows).await.unwrap_or_else(|error| panic!("{error}"));
}
