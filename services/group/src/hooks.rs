//! Webhooks of groups and members: their bodies, and what they may change.

use config::Hook;
use protocol::{
    Result, check,
    group::{CreateGroupReq, SetGroupInfoExReq, SetGroupMemberInfo},
    sdkws::GroupInfo,
    wrappers::{Int32Value, StringValue},
};
use rpc::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{
    DateTime,
    groups::{Group, Member, role},
};

use crate::{
    Groups,
    settings::{MAX_NAME_BYTES, MAX_TEXT_BYTES},
};

fn initial_members(members: &[Member]) -> Value {
    members.iter().map(|member| json!({ "userID": member.user_id, "roleLevel": member.role_level })).collect()
}

/// The record of a group with its first members.
pub(crate) fn group(info: &GroupInfo, members: &[Member]) -> Value {
    let mut body = serde_json::to_value(info).unwrap_or_default();
    body["initMemberList"] = initial_members(members);
    body
}

/// What `beforeCreateGroup` may change.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CreateAnswer {
    #[serde(rename = "groupID")]
    group_id: Option<String>,
    group_name: Option<String>,
    notification: Option<String>,
    introduction: Option<String>,
    #[serde(rename = "faceURL")]
    face_url: Option<String>,
    ex: Option<String>,
    #[serde(rename = "creatorUserID")]
    creator_user_id: Option<String>,
    need_verification: Option<i32>,
    look_member_info: Option<i32>,
    apply_member_friend: Option<i32>,
}

/// What `beforeMemberJoinGroup` may change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JoinAnswer {
    #[serde(rename = "memberCallbackList", deserialize_with = "protocol::go_json::null_as_default")]
    members: Vec<JoinChange>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JoinChange {
    #[serde(rename = "userID")]
    user_id: Option<String>,
    nickname: Option<String>,
    #[serde(rename = "faceURL")]
    face_url: Option<String>,
    role_level: Option<i32>,
    mute_end_time: Option<i64>,
    ex: Option<String>,
}

impl JoinChange {
    /// Changes the member within the bounds of what members say of themselves.
    fn apply(self, member: &mut Member) -> Result<()> {
        for (field, text, most) in [
            ("nickname", &self.nickname, MAX_NAME_BYTES),
            ("faceURL", &self.face_url, MAX_TEXT_BYTES),
            ("ex", &self.ex, MAX_TEXT_BYTES),
        ] {
            let field = format!("webhook beforeMemberJoinGroup: memberCallbackList.{field}");
            check::at_most(&field, text.as_deref().unwrap_or_default(), most)?;
        }
        set(&mut member.nickname, self.nickname);
        set(&mut member.face_url, self.face_url);
        // A second owner, or a group without one, cannot come of a hook.
        let level = self.role_level.filter(|_| member.role_level != role::OWNER);
        set(&mut member.role_level, level.filter(|level| [role::ADMIN, role::ORDINARY].contains(level)));
        set(&mut member.mute_end_time, self.mute_end_time.map(DateTime::from_millis));
        set(&mut member.ex, self.ex);
        Ok(())
    }
}

/// What `beforeSetGroupMemberInfo` may change.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MemberAnswer {
    #[serde(rename = "nickName")]
    nickname: Option<String>,
    #[serde(rename = "faceURL")]
    face_url: Option<String>,
    role_level: Option<i32>,
    ex: Option<String>,
}

/// What `beforeSetGroupInfo` and its ex variant may change. Fields that the answer leaves out stay; upstream wipes them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InfoAnswer {
    group_name: Option<String>,
    introduction: Option<String>,
    #[serde(rename = "faceURL")]
    face_url: Option<String>,
    ex: Option<String>,
    need_verification: Option<i32>,
    look_member_info: Option<i32>,
    apply_member_friend: Option<i32>,
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn set_text(target: &mut Option<StringValue>, value: Option<String>) {
    if let Some(value) = value {
        *target = Some(StringValue { value });
    }
}

fn set_number(target: &mut Option<Int32Value>, value: Option<i32>) {
    if let Some(value) = value {
        *target = Some(Int32Value { value });
    }
}

impl Groups {
    /// A hook that may only veto.
    pub(crate) async fn ask(&self, context: &Context, hook: Hook, body: Value) -> Result<()> {
        let _fields: Map<String, Value> = self.webhooks.before(context, hook, body).await?;
        Ok(())
    }

    pub(crate) async fn ask_to_create(
        &self,
        context: &Context,
        group: &mut Group,
        request: &CreateGroupReq,
    ) -> Result<()> {
        if !self.webhooks.wants(Hook::BeforeCreateGroup) {
            return Ok(());
        }
        let members = request.admin_user_ids.len() + request.member_user_ids.len() + 1;
        let info = group.to_info(&request.owner_user_id, u32::try_from(members).unwrap_or(u32::MAX));
        let mut body = serde_json::to_value(info).unwrap_or_default();
        let listed = |users: &[String], level: i32| -> Vec<Value> {
            users.iter().map(|user| json!({ "userID": user, "roleLevel": level })).collect()
        };
        let mut list = listed(std::slice::from_ref(&request.owner_user_id), role::OWNER);
        list.extend(listed(&request.admin_user_ids, role::ADMIN));
        list.extend(listed(&request.member_user_ids, role::ORDINARY));
        body["initMemberList"] = list.into();
        body["operationID"] = context.operation_id.clone().into();
        let answer: CreateAnswer = self.webhooks.before(context, Hook::BeforeCreateGroup, body).await?;
        set(&mut group.group_id, answer.group_id.filter(|id| !id.is_empty()));
        set(&mut group.group_name, answer.group_name);
        set(&mut group.notification, answer.notification);
        set(&mut group.introduction, answer.introduction);
        set(&mut group.face_url, answer.face_url);
        set(&mut group.ex, answer.ex);
        // Notifications of the group come from its creator.
        set(&mut group.creator_user_id, answer.creator_user_id.filter(|id| !id.is_empty()));
        set(&mut group.need_verification, answer.need_verification);
        set(&mut group.look_member_info, answer.look_member_info);
        set(&mut group.apply_member_friend, answer.apply_member_friend);
        Ok(())
    }

    /// New members as the integrator wants them.
    pub(crate) async fn asked_members(
        &self,
        context: &Context,
        group: &str,
        group_ex: &str,
        mut members: Vec<Member>,
    ) -> Result<Vec<Member>> {
        if !self.webhooks.wants(Hook::BeforeMemberJoinGroup) {
            return Ok(members);
        }
        let list: Vec<Value> =
            members.iter().map(|member| json!({ "userID": member.user_id, "ex": member.ex })).collect();
        let body = json!({ "groupID": group, "memberList": list, "groupEx": group_ex });
        let answer: JoinAnswer = self.webhooks.before(context, Hook::BeforeMemberJoinGroup, body).await?;
        for change in answer.members {
            let Some(member) =
                members.iter_mut().find(|member| Some(&member.user_id) == change.user_id.as_ref())
            else {
                continue;
            };
            change.apply(member)?;
        }
        Ok(members)
    }

    pub(crate) async fn ask_member_change(
        &self,
        context: &Context,
        wanted: &mut SetGroupMemberInfo,
    ) -> Result<()> {
        let body = member_change(wanted);
        let answer: MemberAnswer =
            self.webhooks.before(context, Hook::BeforeSetGroupMemberInfo, body).await?;
        set_text(&mut wanted.nickname, answer.nickname);
        set_text(&mut wanted.face_url, answer.face_url);
        set_text(&mut wanted.ex, answer.ex);
        set_number(&mut wanted.role_level, answer.role_level);
        Ok(())
    }

    pub(crate) async fn ask_info_change(
        &self,
        context: &Context,
        hook: Hook,
        wanted: &mut SetGroupInfoExReq,
    ) -> Result<()> {
        let answer: InfoAnswer = self.webhooks.before(context, hook, info_change(context, wanted)).await?;
        set_text(&mut wanted.group_name, answer.group_name.filter(|name| !name.is_empty()));
        set_text(&mut wanted.introduction, answer.introduction);
        set_text(&mut wanted.face_url, answer.face_url);
        set_text(&mut wanted.ex, answer.ex);
        set_number(&mut wanted.need_verification, answer.need_verification);
        set_number(&mut wanted.look_member_info, answer.look_member_info);
        set_number(&mut wanted.apply_member_friend, answer.apply_member_friend);
        Ok(())
    }
}

pub(crate) fn member_change(wanted: &SetGroupMemberInfo) -> Value {
    json!({
        "groupID": wanted.group_id, "userID": wanted.user_id, "nickName": wanted.nickname, "faceURL": wanted.face_url,
        "roleLevel": wanted.role_level, "ex": wanted.ex,
    })
}

pub(crate) fn info_change(context: &Context, wanted: &SetGroupInfoExReq) -> Value {
    let mut body = serde_json::to_value(wanted).unwrap_or_default();
    body["operationID"] = context.operation_id.clone().into();
    body
}

/// The body of the older variant, whose texts are plain and empty when unchanged.
pub(crate) fn plain_info_change(context: &Context, wanted: &SetGroupInfoExReq) -> Value {
    let mut body = info_change(context, wanted);
    for text in ["groupName", "notification", "introduction", "faceURL"] {
        if body[text].is_null() {
            body[text] = "".into();
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_described_by_their_wrappers() {
        let wanted = SetGroupMemberInfo {
            group_id: "g".into(),
            user_id: "u".into(),
            nickname: Some(StringValue { value: "n".into() }),
            ..Default::default()
        };
        let body = member_change(&wanted);
        assert_eq!((body["nickName"].as_str(), &body["roleLevel"]), (Some("n"), &Value::Null));
    }

    #[test]
    fn a_hook_keeps_to_the_bounds_of_members() {
        let member = || Member {
            group_id: "g".into(),
            user_id: "u".into(),
            nickname: String::new(),
            face_url: String::new(),
            role_level: role::OWNER,
            join_time: DateTime::from_millis(0),
            join_source: 2,
            inviter_user_id: String::new(),
            operator_user_id: String::new(),
            mute_end_time: DateTime::from_millis(0),
            ex: String::new(),
        };
        let text = |bytes: usize| Some("x".repeat(bytes));
        let mut owner = member();
        let good = JoinChange { nickname: text(MAX_NAME_BYTES), role_level: Some(20), ..Default::default() };
        good.apply(&mut owner).unwrap();
        assert_eq!((owner.nickname.len(), owner.role_level), (MAX_NAME_BYTES, role::OWNER));
        for bad in [
            JoinChange { nickname: text(MAX_NAME_BYTES + 1), ..Default::default() },
            JoinChange { face_url: text(MAX_TEXT_BYTES + 1), ..Default::default() },
            JoinChange { ex: text(MAX_TEXT_BYTES + 1), ..Default::default() },
        ] {
            let error = bad.apply(&mut member()).unwrap_err();
            assert!(error.detail.starts_with("webhook beforeMemberJoinGroup: "), "{error}");
        }
    }

    #[test]
    fn a_mute_end_is_milliseconds() {
        let change: JoinChange =
            serde_json::from_str(r#"{"userID":"u","muteEndTime":1700000000000}"#).unwrap();
        assert_eq!(
            change.mute_end_time.map(DateTime::from_millis).map(store::millis),
            Some(1_700_000_000_000)
        );
    }
}
