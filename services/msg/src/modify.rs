//! `/msg/modify_message`: an edit that is compared with what it replaces, also for back ends. A caller without an answer repeats it: what
//! is there already is notified again.

use protocol::{
    Error, ErrorCode, Result, check,
    extension::{EditMsgResp, ModifyMessageReq, ModifyMessageResp},
    sdkws::MsgData,
};
use rpc::Context;
use store::messages::Edit;

use crate::{
    Messages,
    edit::{Replaces, changed_meanwhile, check_content},
};

impl Messages {
    pub(crate) async fn modify_message(
        &self,
        context: &Context,
        request: ModifyMessageReq,
    ) -> Result<ModifyMessageResp> {
        let (id, seq) = (&request.conversation_id, request.seq);
        check::non_empty("conversationID", id)?;
        check_content("newContent", &request.new_content)?;
        check::non_empty("oldContent", &request.old_content)?;
        // The version before the content: what is compared may be newer than the version, which refuses the edit, never older.
        let last = self.last_edit(id, seq).await?;
        let mut message = self.modifiable(context, id, seq).await?;
        let is_there = |content: &[u8]| content == request.new_content.as_bytes();
        if let Some(edit) =
            last.as_ref().filter(|edit| is_there(edit.content()) && is_there(&message.content))
        {
            // As for the edit itself: who is muted or blocked by now notifies nobody.
            self.permit(context, &mut message).await?;
            let edited = self.tell_edited(context, id, &message, (edit.version, edit.time)).await?;
            return Ok(modified(&edited));
        }
        if message.content != request.old_content.as_bytes() {
            return Err(changed_meanwhile());
        }
        let replaced = Replaces::Version(last.map_or(0, |edit| edit.version));
        let edited = self.replace(context, (id, message), request.new_content, replaced).await?;
        Ok(modified(&edited))
    }

    async fn last_edit(&self, id: &str, seq: i64) -> Result<Option<Edit>> {
        if seq < 1 {
            return Err(Error::args("seq must be at least 1"));
        }
        let stored = self.store.messages_by_seq(id, &[seq]).await?.pop();
        Ok(stored.and_then(|stored| stored.edit))
    }

    /// The message as it is shown now, if the caller sent it or is an administrator.
    async fn modifiable(&self, context: &Context, id: &str, seq: i64) -> Result<MsgData> {
        let caller = context.user_id();
        if !context.is_privileged() {
            let message = self.visible_one(context, caller, id, seq).await?;
            if message.send_id != caller {
                return Err(Error::no_permission("only the sender may modify a message"));
            }
            return Ok(message);
        }
        let sender = self.sender_of(id, seq).await?;
        self.visible_one(context, &sender, id, seq).await
    }

    async fn sender_of(&self, id: &str, seq: i64) -> Result<String> {
        let stored = self.store.messages_by_seq(id, &[seq]).await?.pop();
        let missing = || ErrorCode::RecordNotFound.with(format!("no message {seq} in {id}"));
        let stored = stored.filter(|stored| !stored.encoded().is_empty()).ok_or_else(missing)?;
        let message: MsgData = prost::Message::decode(stored.encoded()).map_err(Error::internal)?;
        Ok(message.send_id)
    }
}

fn modified(edited: &EditMsgResp) -> ModifyMessageResp {
    ModifyMessageResp {
        modified_time: edited.edit_time,
        modified_count: i32::try_from(edited.version).unwrap_or(i32::MAX),
    }
}
