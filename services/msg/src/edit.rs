//! Editing a message. The original stays in the database; readers get the newest edit in its place.

use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    extension::{EditMsgReq, EditMsgResp, MsgEditedTips},
    sdkws::MsgData,
};
use rpc::Context;
use serde_json::Value;

use crate::{Messages, revoke::others_in_chat};

/// Text and what holds text: text, at-text, custom, quote, advanced text, markdown.
const EDITABLE: [i32; 6] = [kind::TEXT, kind::AT_TEXT, 110, kind::QUOTE, 117, kind::MARKDOWN];
/// Largest content of an edit, in bytes: it travels inside a notification.
const MAX_CONTENT_BYTES: usize = protocol::bounds::EDIT_BYTES;
/// Key of the business notification.
const EDITED: &str = "openim.messageEdited";

pub(crate) fn check_content(field: &str, content: &str) -> Result<()> {
    check::non_empty(field, content)?;
    check::at_most(field, content, MAX_CONTENT_BYTES)?;
    if serde_json::from_str::<Value>(content).is_ok_and(|value| value.is_object()) {
        return Ok(());
    }
    Err(Error::args(format!("{field} must be a JSON object as text, as in the original message")))
}

/// What an edit replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// Whatever is there.
    Anything,
    /// This version of the content; 0 is the original.
    Version(i64),
}

impl Messages {
    /// The edit is stored before anybody is notified. A caller without an answer retries: that makes a newer version and notifies everybody.
    pub(crate) async fn edit(&self, context: &Context, request: EditMsgReq) -> Result<EditMsgResp> {
        let (user, id, seq) = (&request.user_id, &request.conversation_id, request.seq);
        check::non_empty("userID", user)?;
        check_content("content", &request.content)?;
        let message = self.visible_one(context, user, id, seq).await?;
        if message.send_id != *user {
            return Err(Error::no_permission("only the sender may edit a message"));
        }
        self.replace(context, (id, message), request.content, Replaces::Anything).await
    }

    /// Replaces the content of a message, in the name of its sender.
    pub(crate) async fn replace(
        &self,
        context: &Context,
        (id, mut message): (&str, MsgData),
        content: String,
        replaces: Replaces,
    ) -> Result<EditMsgResp> {
        let seq = message.seq;
        if !EDITABLE.contains(&message.content_type) {
            return Err(Error::args(format!(
                "a message of contentType {} cannot be edited; those of {EDITABLE:?} can",
                message.content_type
            )));
        }
        let kind = message.content_type;
        message.content = content.into_bytes().into();
        let asked = message.content.clone();
        // Who may not say it any more, or not this, may not make an old message say it.
        self.permit(context, &mut message).await?;
        self.modify(context, &mut message).await?;
        if message.content_type != kind {
            return Err(Error::args("webhook beforeMsgModify: an edit cannot change the contentType"));
        }
        let now = self.clock.now_ms();
        let version = match replaces {
            Replaces::Anything => self.store.edit_message(id, seq, &message.content, now).await?,
            Replaces::Version(old) => {
                self.store.edit_message_of(id, (seq, old), &message.content, now).await?
            }
        };
        let version = version.ok_or_else(|| match replaces {
            Replaces::Anything => ErrorCode::AlreadyRevoked.with("the message has been revoked or deleted"),
            Replaces::Version(_) => changed_meanwhile(),
        })?;
        let told = self.tell_edited(context, id, &message, (version, now)).await;
        match (replaces, told) {
            // Repeating it would be refused, because the integrator has made another content of it.
            (Replaces::Version(_), Err(error)) if message.content != asked => {
                tracing::warn!(%error, "modify_message.not_told");
                Ok(EditMsgResp { version, edit_time: now })
            }
            (_, told) => told,
        }
    }

    /// Tells everybody in a chat of the content that a message has now. It is accepted like a message, or the caller repeats the edit.
    pub(crate) async fn tell_edited(
        &self,
        context: &Context,
        id: &str,
        message: &MsgData,
        (version, edit_time): (i64, i64),
    ) -> Result<EditMsgResp> {
        let user = &message.send_id;
        let tips = MsgEditedTips {
            user_id: user.clone(),
            conversation_id: id.to_owned(),
            seq: message.seq,
            client_msg_id: message.client_msg_id.clone(),
            content_type: message.content_type,
            content: String::from_utf8_lossy(&message.content).into_owned(),
            version,
            edit_time,
        };
        let to = others_in_chat(message, user);
        notification::business(&self.peers, context, user, to, (EDITED, &tips), true).await?;
        Ok(EditMsgResp { version, edit_time })
    }
}

/// The content is another one than the caller compared with.
pub(crate) fn changed_meanwhile() -> Error {
    ErrorCode::DuplicateKey.with("oldContent is not the content of the message; read it again")
}
