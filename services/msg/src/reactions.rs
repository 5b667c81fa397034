//! Reactions to messages. Online users are notified of each; others query them when they show a message.

use std::collections::BTreeMap;

use protocol::{
    Error, Result, check,
    content_type::session,
    extension::{
        GetReactionUsersReq, GetReactionUsersResp, GetReactionsReq, GetReactionsResp, MsgReactions,
        ReactionCount, ReactionTips, ReactionUser, SetReactionReq, SetReactionResp,
    },
    sdkws::MsgData,
};
use rpc::Context;
use store::Page;

use crate::{Messages, revoke::others_in_chat};

/// Longest reaction, in bytes: an emoji with all its modifiers, or a name.
const MAX_BYTES: usize = protocol::bounds::REACTION_BYTES;
/// Most reactions of one user to one message.
const MAX_PER_USER: u64 = 20;
/// Most messages of one question.
const MAX_MESSAGES: usize = protocol::bounds::REACTED_MESSAGES;
/// Most reactions of one message in an answer.
const MAX_KINDS: usize = 50;
/// Key of the business notification.
const REACTION: &str = "openim.reaction";

/// A message of `user` in the chat of another: who may not send it may not react either.
fn reply(user: &str, message: &MsgData) -> MsgData {
    let peer = if message.send_id == user { &message.recv_id } else { &message.send_id };
    MsgData {
        send_id: user.to_owned(),
        recv_id: if message.session_type == session::GROUP { String::new() } else { peer.clone() },
        group_id: message.group_id.clone(),
        session_type: message.session_type,
        content_type: message.content_type,
        ..Default::default()
    }
}

impl Messages {
    pub(crate) async fn set_reaction(
        &self,
        context: &Context,
        request: SetReactionReq,
    ) -> Result<SetReactionResp> {
        let (user, id, seq) = (&request.user_id, &request.conversation_id, request.seq);
        check::non_empty("userID", user)?;
        check::non_empty("reaction", &request.reaction)?;
        check::at_most("reaction", &request.reaction, MAX_BYTES)?;
        if request.reaction.chars().any(char::is_control) {
            return Err(Error::args("reaction must not contain control characters"));
        }
        let message = self.visible_one(context, user, id, seq).await?;
        if !request.remove {
            self.may_speak(context, &reply(user, &message)).await?;
        }
        let now = self.clock.now_ms();
        let changed = if request.remove {
            self.store.remove_reaction(id, seq, user, &request.reaction).await?
        } else {
            if self.store.reactions_of(id, seq, user).await? >= MAX_PER_USER {
                return Err(Error::args(format!(
                    "{user} has {MAX_PER_USER} reactions to this message; remove one first"
                )));
            }
            self.store.add_reaction(id, seq, user, &request.reaction, now).await?
        };
        if !changed {
            return Ok(SetReactionResp {});
        }
        let tips = ReactionTips {
            user_id: user.clone(),
            conversation_id: id.clone(),
            seq,
            client_msg_id: message.client_msg_id.clone(),
            reaction: request.reaction,
            removed: request.remove,
            time: now,
        };
        let to = others_in_chat(&message, user);
        let told = notification::business(&self.peers, context, user, to, (REACTION, &tips), false).await;
        if let Err(error) = told {
            // It holds; it is seen by the next who asks.
            tracing::warn!(%error, "reaction.not_told");
        }
        Ok(SetReactionResp {})
    }

    pub(crate) async fn reactions(
        &self,
        context: &Context,
        request: GetReactionsReq,
    ) -> Result<GetReactionsResp> {
        let (user, id) = (&request.user_id, &request.conversation_id);
        if request.seqs.len() > MAX_MESSAGES {
            return Err(Error::args(format!("seqs has more than {MAX_MESSAGES} items; split the request")));
        }
        let seqs = self.visible(context, user, id, &request.seqs).await?;
        let mut messages: BTreeMap<i64, Vec<ReactionCount>> = BTreeMap::new();
        for found in self.store.reaction_counts(id, &seqs, user).await? {
            let reactions = messages.entry(found.seq).or_default();
            if reactions.len() < MAX_KINDS {
                let (reaction, count, own) = (found.reaction, found.count, found.own);
                reactions.push(ReactionCount { reaction, count, own });
            }
        }
        let messages = messages.into_iter().map(|(seq, reactions)| MsgReactions { seq, reactions });
        Ok(GetReactionsResp { messages: messages.collect() })
    }

    pub(crate) async fn reaction_users(
        &self,
        context: &Context,
        request: GetReactionUsersReq,
    ) -> Result<GetReactionUsersResp> {
        let (id, seq) = (&request.conversation_id, request.seq);
        check::non_empty("userID", &request.user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        self.visible_one(context, &request.user_id, id, seq).await?;
        let (rows, total) = self.store.reaction_page(id, seq, &request.reaction, page).await?;
        let users = self.users_of(rows.iter().map(|row| &row.user)).await?;
        let listed = |row: store::reactions::Reaction| {
            let profile = users.get(&row.user);
            ReactionUser {
                nickname: profile.map(|user| user.nickname.clone()).unwrap_or_default(),
                face_url: profile.map(|user| user.face_url.clone()).unwrap_or_default(),
                user_id: row.user,
                reaction: row.reaction,
                time: row.time,
            }
        };
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        Ok(GetReactionUsersResp { total, users: rows.into_iter().map(listed).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaction_is_said_to_the_other_side() {
        let message = MsgData {
            send_id: "a".into(),
            recv_id: "b".into(),
            session_type: session::SINGLE,
            ..Default::default()
        };
        for (user, peer) in [("a", "b"), ("b", "a")] {
            let said = reply(user, &message);
            assert_eq!((said.send_id.as_str(), said.recv_id.as_str()), (user, peer));
        }
    }
}
