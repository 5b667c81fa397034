//! Accepting a message (docs/protocol/messages.md#sending). It is accepted when Kafka has it on all in-sync replicas; a crash on
//! any line before that leaves the sender without an answer, and a retry with the same clientMsgID finds it stored or stores it,
//! once.

use std::sync::Arc;

use config::Hook;
use faults::mutants::{Mutant, is_on};
use md5::{Digest, Md5};
use model::{conversation_id, options};
use prost::Message;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, is_notification, session, status},
    internal::Accepted,
    msg::{SendMsgReq, SendMsgResp},
    sdkws::MsgData,
};
use rpc::Context;
use store::{
    DAY_MS,
    groups::{DISMISSED, MUTED, Member, role},
    users::User,
};

use crate::{Messages, bounds};

/// appMangerLevel from which a user is an administrator or an account of the operator.
const SYSTEM_ACCOUNT: i32 = 2;

/// Maximum lead of back ends' clocks.
const MAX_AHEAD_MS: i64 = 5 * 60 * 1000;

impl Messages {
    pub(crate) async fn send(&self, context: &Context, request: SendMsgReq) -> Result<SendMsgResp> {
        let mut message = check::present("msgData", request.msg_data)?;
        let counters = match message.session_type {
            session::GROUP => (&self.metrics.group_accepted, &self.metrics.group_refused),
            _ => (&self.metrics.single_accepted, &self.metrics.single_refused),
        };
        let accepted = self.accept(context, &mut message).await;
        match &accepted {
            Ok(_) => counters.0.inc(),
            Err(_) => counters.1.inc(),
        };
        accepted
    }

    async fn accept(&self, context: &Context, message: &mut MsgData) -> Result<SendMsgResp> {
        self.check(context, message)?;
        self.check_send_time(context, message)?;
        self.complete(context, message);
        if message.content_type == kind::STREAM {
            return self.begin_stream(context, message).await;
        }
        self.hand_over(context, message).await
    }

    /// Asks whether a complete message may be sent, and gives it to Kafka.
    pub(crate) async fn hand_over(&self, context: &Context, message: &mut MsgData) -> Result<SendMsgResp> {
        let said = Name::of(message);
        if context.caller.kind() == protocol::internal::caller::Kind::System {
            notification::configure(message, &self.config.notification);
        }
        self.permit(context, message).await?;
        let named = Name::of(message);
        let modified = self.modify(context, message).await?;
        // Once more: the server and the integrator may have made it longer.
        bounds::check(message)?;
        let key = partition_key(message);
        let mut encoded = message.encode_to_vec();
        if self.tells_sent(message) {
            let origin = Accepted { operation_id: context.operation_id.clone() };
            encoded.extend(origin.encode_to_vec());
        }
        bounds::check_record(encoded.len())?;
        let sent = self.producer.send(&self.config.kafka.message_topic, &key, &encoded).await;
        if !is_on(Mutant::AcknowledgedUnstored) {
            sent.map_err(|error| {
                let detail =
                    format!("{error}; the message may or may not be stored: retry with the same clientMsgID");
                Error { unreachable: error.is_unreachable(), ..Error::internal(detail) }
            })?;
        }
        // From here on transfer is responsible: a disconnect or crash now loses neither the message nor a hook.
        Ok(SendMsgResp {
            server_msg_id: message.server_msg_id.clone(),
            client_msg_id: message.client_msg_id.clone(),
            send_time: message.send_time,
            modify: modified.then(|| told(message, said, &named)),
        })
    }

    /// Whether the sender may say this there: by relations, by membership, by the integrator's hooks.
    pub(crate) async fn permit(&self, context: &Context, message: &mut MsgData) -> Result<()> {
        match message.session_type {
            session::SINGLE => self.verify_single(context, message).await,
            session::GROUP => {
                self.verify_group(context, message).await?;
                self.ask(context, Hook::BeforeSendGroupMsg, message).await
            }
            _ => self.verify_account(context, message).await,
        }
    }

    /// Retention goes by sendTime: one that is far off hides what is young or keeps what is old.
    fn check_send_time(&self, context: &Context, message: &mut MsgData) -> Result<()> {
        let is_import = message.options.remove(options::IS_IMPORT) == Some(true);
        if message.send_time == 0 || !context.is_privileged() {
            return Ok(());
        }
        in_bounds(message.send_time, self.clock.now_ms(), is_import)
    }

    /// Fills in what the server decides.
    fn complete(&self, context: &Context, message: &mut MsgData) {
        let now = self.clock.now_ms();
        if message.send_time == 0 || !context.is_privileged() {
            message.send_time = now;
        }
        if message.create_time == 0 {
            message.create_time = now;
        }
        if message.client_msg_id.is_empty() {
            message.client_msg_id = model::random_id();
        }
        options::adjust_for_content_type(&mut message.options, message.content_type);
        message.server_msg_id = server_message_id(message);
        message.seq = 0;
        message.status = status::SENDING;
        message.is_read = false;
    }

    async fn ask(&self, context: &Context, hook: Hook, message: &MsgData) -> Result<()> {
        if self.webhooks.wants_message(hook, message) {
            let _fields: serde_json::Map<String, serde_json::Value> =
                self.webhooks.before(context, hook, webhooks::about(context, message)).await?;
        }
        Ok(())
    }

    /// Lets the integrator change the message; whether it did.
    pub(crate) async fn modify(&self, context: &Context, message: &mut MsgData) -> Result<bool> {
        if message.session_type == session::NOTIFICATION
            || !self.webhooks.wants_message(Hook::BeforeMsgModify, message)
        {
            return Ok(false);
        }
        let body = webhooks::about(context, message);
        let changes: webhooks::Modified = self.webhooks.before(context, Hook::BeforeMsgModify, body).await?;
        changes.apply(message)
    }

    /// Whether the integrator is notified here that this was sent: for stored messages transfer does it.
    fn tells_sent(&self, message: &MsgData) -> bool {
        let hook = match message.session_type {
            session::SINGLE => Hook::AfterSendSingleMsg,
            session::GROUP => Hook::AfterSendGroupMsg,
            _ => return false,
        };
        self.webhooks.wants_message(hook, message)
    }

    fn check(&self, context: &Context, message: &MsgData) -> Result<()> {
        check::non_empty("sendID", &message.send_id)?;
        context.require_self("sendID", &message.send_id)?;
        if message.content.is_empty() {
            return Err(Error::args("content is required"));
        }
        bounds::check(message)?;
        if message.client_msg_id.contains('\0') || message.send_id.contains('\0') {
            return Err(Error::args("clientMsgID and sendID must not contain NUL"));
        }
        match message.session_type {
            session::SINGLE | session::NOTIFICATION => {
                check::non_empty("recvID", &message.recv_id)?;
                check::new_id("recvID", &message.recv_id)?;
            }
            session::GROUP => check::new_id("groupID", &message.group_id)?,
            _ => return Err(Error::args("unknown sessionType: must be 1, 3 or 4")),
        }
        if (message.session_type == session::NOTIFICATION) != (message.content_type == kind::OA_NOTIFICATION)
        {
            return Err(Error::args("sessionType 4 and contentType 1400 must be used together"));
        }
        if !context.is_privileged() {
            if is_notification(message.content_type) {
                return Err(Error::no_permission(format!(
                    "contentType {} is reserved for the server",
                    message.content_type
                )));
            }
            if !options::is_set(&message.options, options::IS_NOT_NOTIFICATION) {
                return Err(Error::no_permission(
                    "option isNotNotification=false is reserved for the server",
                ));
            }
        }
        Ok(())
    }

    async fn verify_single(&self, context: &Context, message: &mut MsgData) -> Result<()> {
        if is_notification(message.content_type) {
            return Ok(());
        }
        let (from, to) = (message.send_id.clone(), message.recv_id.clone());
        let conversation = conversation_id::single(&from, &to);
        let sender = match self.facts.known_user(&from).await {
            Some(sender) => sender,
            // One who was silent for a while: most likely nothing is known about the two.
            None => {
                self.facts.prepare_single(&from, &to, &conversation).await;
                self.sender(&from).await?
            }
        };
        name_sender(context, message, &sender.nickname, &sender.face_url);
        if !context.is_privileged() {
            self.ask(context, Hook::BeforeSendSingleMsg, message).await?;
        }
        self.may_speak(context, message).await?;
        let Some(receiver) = self.facts.user(&to).await? else {
            return Err(ErrorCode::UserNotFound.with(format!("receiver {to} is not registered")));
        };
        let option = match receiver.global_recv_msg_opt {
            0 => self.facts.receive_option(&to, &conversation).await?,
            global => global,
        };
        match option {
            1 => return Err(Error::args("message is not sent: the receiver does not accept messages")),
            2 => {
                message.options.insert(options::OFFLINE_PUSH.to_owned(), false);
            }
            _ => {}
        }
        Ok(())
    }

    async fn sender(&self, id: &str) -> Result<Arc<User>> {
        let sender = self.facts.user(id).await?;
        sender.ok_or_else(|| ErrorCode::UserNotFound.with(format!("sender {id} is not registered")))
    }

    /// Whether the sender may speak there, by relations, membership and mutes. The rules are the sender's: whoever sends in the name of
    /// another has the other's rights. Administrators and accounts of the operator may speak everywhere.
    pub(crate) async fn may_speak(&self, context: &Context, message: &MsgData) -> Result<()> {
        let from = &message.send_id;
        let system = context.caller.kind() == protocol::internal::caller::Kind::System;
        if system || self.config.is_admin(from) {
            return Ok(());
        }
        let sender = self.sender(from).await?;
        if sender.app_manger_level >= SYSTEM_ACCOUNT {
            return Ok(());
        }
        if sender.is_banned() {
            return Err(Error::no_permission(format!("sender {from} is banned")));
        }
        if message.session_type == session::GROUP {
            return self.may_speak_in_group(&message.group_id, from).await;
        }
        let to = &message.recv_id;
        if self.facts.blocks(to, from).await? {
            return Err(ErrorCode::BlockedByPeer.with(format!("{to} has blocked {from}")));
        }
        if self.live.now().friend_verify && !self.facts.has_friend(to, from).await? {
            return Err(ErrorCode::NotPeersFriend.with(format!("{to} does not have {from} as a friend")));
        }
        Ok(())
    }

    async fn may_speak_in_group(&self, group: &str, user: &str) -> Result<()> {
        let Some(member) = self.facts.member(group, user).await? else {
            return Err(ErrorCode::NotInGroup.with(format!("{user} is not a member of group {group}")));
        };
        if member.role_level == role::OWNER {
            return Ok(());
        }
        if store::millis(member.mute_end_time) >= self.clock.now_ms() {
            return Err(ErrorCode::MutedInGroup.with("the sender is muted in this group"));
        }
        let muted = self.facts.group(group).await?.is_some_and(|group| group.status == MUTED);
        if muted && member.role_level != role::ADMIN {
            return Err(
                ErrorCode::MutedGroup.with("the group is muted; only its owner and administrators may send")
            );
        }
        Ok(())
    }

    /// OA notifications come from system accounts.
    async fn verify_account(&self, context: &Context, message: &mut MsgData) -> Result<()> {
        let sender = self.facts.user(&message.send_id).await?;
        let account = sender.filter(|user| user.app_manger_level >= SYSTEM_ACCOUNT);
        if let Some(account) = account {
            name_sender(context, message, &account.nickname, &account.face_url);
            return Ok(());
        }
        if context.caller.kind() == protocol::internal::caller::Kind::System {
            return Ok(());
        }
        Err(Error::no_permission(format!(
            "sendID {} is not a notification account; create one by /user/add_notification_account",
            message.send_id
        )))
    }

    async fn verify_group(&self, context: &Context, message: &mut MsgData) -> Result<()> {
        let id = &message.group_id;
        let Some(group) = self.facts.group(id).await? else {
            return Err(ErrorCode::GroupNotFound.with(format!("no group {id}")));
        };
        if group.status == DISMISSED && message.content_type != kind::GROUP_DISMISSED {
            return Err(ErrorCode::Dismissed.with(format!("group {id} is dismissed")));
        }
        if is_notification(message.content_type) {
            return Ok(());
        }
        self.may_speak(context, message).await?;
        let Some(profile) = self.facts.user(&message.send_id).await? else { return Ok(()) };
        let member = self.facts.member(id, &message.send_id).await?;
        let own = |of: fn(&Member) -> &String| member.as_deref().map(of).filter(|text| !text.is_empty());
        let nickname = own(|member| &member.nickname).unwrap_or(&profile.nickname);
        let face = own(|member| &member.face_url).unwrap_or(&profile.face_url);
        name_sender(context, message, nickname, face);
        Ok(())
    }
}

/// Whether a sendTime is allowed, in ms.
fn in_bounds(send_time: i64, now: i64, is_import: bool) -> Result<()> {
    let (first, last) = (if is_import { 1 } else { now - DAY_MS }, now + MAX_AHEAD_MS);
    if (first..=last).contains(&send_time) {
        return Ok(());
    }
    let remedy = if is_import { "" } else { "; isImport: true permits any time before now" };
    Err(Error::args(format!("sendTime must be between {first} and {last} (ms), or 0 for now{remedy}")))
}

/// The name and picture that receivers see. An ordinary sender's own values are ignored.
fn name_sender(context: &Context, message: &mut MsgData, nickname: &str, face_url: &str) {
    let believed = context.is_privileged();
    for (field, known) in [(&mut message.sender_nickname, nickname), (&mut message.sender_face_url, face_url)]
    {
        if !believed || field.is_empty() {
            known.clone_into(field);
        }
    }
}

/// Name and picture of a message's sender.
#[derive(PartialEq, Eq)]
struct Name {
    nickname: String,
    face_url: String,
}

impl Name {
    fn of(message: &MsgData) -> Self {
        Self { nickname: message.sender_nickname.clone(), face_url: message.sender_face_url.clone() }
    }
}

/// The message that the integrator has changed, as its sender hears of it: the name that the server gave it is no change of the integrator's.
fn told(message: &MsgData, said: Name, named: &Name) -> MsgData {
    let mut told = message.clone();
    if Name::of(message) == *named {
        (told.sender_nickname, told.sender_face_url) = (said.nickname, said.face_url);
    }
    told
}

/// The same for every retry of a message.
fn server_message_id(message: &MsgData) -> String {
    let mut hash = Md5::new();
    for part in [&message.send_id, &message.client_msg_id, &message.recv_id, &message.group_id] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

/// One key for a chat and its notifications, so that one transfer instance owns both.
fn partition_key(message: &MsgData) -> String {
    if message.session_type == session::GROUP {
        return message.group_id.clone();
    }
    let pair = conversation_id::single(&message.send_id, &message.recv_id);
    pair.trim_start_matches("si_").to_owned()
}

#[cfg(test)]
mod tests {
    use protocol::internal::caller::Kind;

    use super::*;

    #[test]
    fn times_that_are_far_off_are_refused_unless_they_are_imported() {
        let now = 1_800_000_000_000;
        for (send_time, sent, imported) in [
            (now, true, true),
            (now - DAY_MS, true, true),
            (now - DAY_MS - 1, false, true),
            (now + MAX_AHEAD_MS, true, true),
            (now + MAX_AHEAD_MS + 1, false, false),
            // In seconds instead of milliseconds.
            (now / 1000, false, true),
            (-1, false, false),
            (i64::MAX, false, false),
        ] {
            assert_eq!(in_bounds(send_time, now, false).is_ok(), sent, "{send_time}");
            assert_eq!(in_bounds(send_time, now, true).is_ok(), imported, "{send_time}");
        }
        let error = in_bounds(1_700_000_000, now, false).unwrap_err();
        assert_eq!(error.code, ErrorCode::Args);
        let named = format!("{error:?}");
        assert!(
            named.contains("sendTime") && named.contains("1799913600000") && named.contains("isImport"),
            "{named}"
        );
    }

    #[test]
    fn a_sender_hears_of_a_name_only_when_the_integrator_gave_it() {
        let named = |name: &str| MsgData { sender_nickname: name.into(), ..Default::default() };
        let (said, server) = (|| Name::of(&named("")), Name::of(&named("alice")));
        assert_eq!(told(&named("alice"), said(), &server).sender_nickname, "");
        assert_eq!(told(&named("the moderator"), said(), &server).sender_nickname, "the moderator");
    }

    #[test]
    fn what_an_ordinary_sender_says_of_its_name_is_not_believed() {
        let named = |kind, said: &str| {
            let mut message = MsgData { sender_nickname: said.into(), ..Default::default() };
            name_sender(&Context::new(kind, "u", 1, "op"), &mut message, "Real", "face");
            (message.sender_nickname, message.sender_face_url)
        };
        assert_eq!(named(Kind::User, "The Bank"), ("Real".into(), "face".into()));
        assert_eq!(named(Kind::User, ""), ("Real".into(), "face".into()));
        assert_eq!(named(Kind::Admin, "The Bank"), ("The Bank".into(), "face".into()));
        assert_eq!(named(Kind::System, ""), ("Real".into(), "face".into()));
    }

    #[test]
    fn a_retry_gets_the_same_server_id_and_partition() {
        let message = MsgData {
            send_id: "b".into(),
            recv_id: "a".into(),
            client_msg_id: "c1".into(),
            session_type: session::SINGLE,
            ..Default::default()
        };
        let retry = MsgData { send_time: 99, ..message.clone() };
        assert_eq!(server_message_id(&message), server_message_id(&retry));
        assert_eq!(partition_key(&message), "a_b");
        let reply = MsgData { send_id: "a".into(), recv_id: "b".into(), ..message };
        assert_eq!(partition_key(&reply), "a_b");
    }
}
