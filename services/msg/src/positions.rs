//! Read positions and unread counts as back ends see and set them.

use std::collections::BTreeMap;

use futures::future::join_all;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::{self as kind, session},
    extension::{
        ClearConversationsUnreadCountReq, ClearConversationsUnreadCountResp, GetConversationsUnreadCountReq,
        GetConversationsUnreadCountResp, MarkConversationReadReq, MarkConversationReadResp,
        ResetConversationUnreadReq, ResetConversationUnreadResp,
    },
    lists,
    sdkws::MarkAsReadTips,
};
use rpc::Context;
use store::conversations::Conversation;

use crate::{Messages, pull::Window};

/// Most conversations in one call.
const MOST: usize = protocol::bounds::ITEMS;
/// Conversations whose devices are notified at a time.
const AT_ONCE: usize = 20;

impl Window {
    /// What has been read, or was never to be seen.
    fn passed(&self) -> i64 {
        self.read.max(self.min - 1)
    }

    fn unread(&self) -> i64 {
        (self.max - self.passed()).max(0)
    }

    /// The position that leaves so many messages unread, or all that there are.
    fn position_leaving(&self, unread: i64) -> i64 {
        self.max.saturating_sub(unread).max(self.min - 1).max(0)
    }
}

impl Messages {
    /// What a call names: the user, whom only the user and administrators may name, and conversations.
    fn checked(&self, context: &Context, user: &str, ids: &mut Vec<String>) -> Result<()> {
        check::non_empty("userID", user)?;
        context.require_self("userID", user)?;
        lists::distinct_some("conversationIDs", ids, MOST)
    }

    async fn unread_counts(&self, user: &str, ids: Vec<String>) -> Result<BTreeMap<String, i64>> {
        let windows = self.windows(user, &ids).await?;
        let count = |id: String| {
            let unread = windows.get(&id).map_or(0, Window::unread);
            (id, unread)
        };
        Ok(ids.into_iter().map(count).collect())
    }

    pub(crate) async fn unread_count(
        &self,
        context: &Context,
        mut request: GetConversationsUnreadCountReq,
    ) -> Result<GetConversationsUnreadCountResp> {
        self.checked(context, &request.user_id, &mut request.conversation_ids)?;
        let unread_count = self.unread_counts(&request.user_id, request.conversation_ids).await?;
        Ok(GetConversationsUnreadCountResp { unread_count })
    }

    pub(crate) async fn mark_read_up_to(
        &self,
        context: &Context,
        request: MarkConversationReadReq,
    ) -> Result<MarkConversationReadResp> {
        if request.seq < 1 {
            return Err(Error::args("seq must be at least 1"));
        }
        let (user, id) = (&request.user_id, request.conversation_id);
        self.checked(context, user, &mut vec![id.clone()])?;
        let own = self.own_conversations(user, std::slice::from_ref(&id)).await?.pop();
        let own = own.ok_or_else(|| missing(user, &id))?;
        self.raise_positions(context, user, &[own], request.seq).await?;
        Ok(MarkConversationReadResp {})
    }

    pub(crate) async fn clear_unread(
        &self,
        context: &Context,
        mut request: ClearConversationsUnreadCountReq,
    ) -> Result<ClearConversationsUnreadCountResp> {
        let user = &request.user_id;
        self.checked(context, user, &mut request.conversation_ids)?;
        let own = self.own_conversations(user, &request.conversation_ids).await?;
        self.raise_positions(context, user, &own, i64::MAX).await?;
        let unread_count = self.unread_counts(user, request.conversation_ids).await?;
        Ok(ClearConversationsUnreadCountResp { unread_count })
    }

    /// The only call that may set a position back. Nobody is notified: an online client could not apply it, it gets it with its next
    /// synchronization.
    pub(crate) async fn reset_unread(
        &self,
        context: &Context,
        mut request: ResetConversationUnreadReq,
    ) -> Result<ResetConversationUnreadResp> {
        let user = &request.user_id;
        self.checked(context, user, &mut request.conversation_ids)?;
        if request.num < 0 {
            return Err(Error::args("num must be at least 0"));
        }
        let ids = &request.conversation_ids;
        let own = self.own_conversations(user, ids).await?;
        if let Some(id) = ids.iter().find(|id| own.iter().all(|(row, _)| row.conversation_id != **id)) {
            return Err(missing(user, id));
        }
        let positions: Vec<(String, String, i64)> = own
            .iter()
            .map(|(row, window)| {
                (user.clone(), row.conversation_id.clone(), window.position_leaving(request.num))
            })
            .collect();
        self.store.set_read_seqs(&positions).await?;
        Ok(ResetConversationUnreadResp {})
    }

    /// Raises read positions to `up_to` or the end, and tells the user's own devices where nothing is unread any more. Of a position
    /// before the end they are not told, because they would show that nothing is unread.
    async fn raise_positions(
        &self,
        context: &Context,
        user: &str,
        own: &[(Conversation, Window)],
        up_to: i64,
    ) -> Result<()> {
        let raised: Vec<(String, String, i64)> = own
            .iter()
            .map(|(row, window)| (row, up_to.min(window.max)))
            .filter(|(_, position)| *position > 0)
            .map(|(row, position)| (user.to_owned(), row.conversation_id.clone(), position))
            .collect();
        if raised.is_empty() {
            return Ok(());
        }
        self.store.raise_read_seqs(&raised).await?;
        let at_the_end =
            |(_, window): &&(Conversation, Window)| up_to >= window.max && window.read < window.max;
        let ended: Vec<_> = own.iter().filter(at_the_end).collect();
        for some in ended.chunks(AT_ONCE) {
            join_all(some.iter().map(|(row, window)| async move {
                let tips = own_receipt(user, row, window);
                notification::tell(&self.peers, context, user, To::User(user), kind::HAS_READ, &tips).await;
            }))
            .await;
        }
        Ok(())
    }
}

/// Tells a user's devices that everything is read. In single chats clients look for the messages that are.
fn own_receipt(user: &str, row: &Conversation, window: &Window) -> MarkAsReadTips {
    let newly = (window.passed() + 1).max(window.max - MOST as i64 + 1)..=window.max;
    MarkAsReadTips {
        mark_as_read_user_id: user.to_owned(),
        conversation_id: row.conversation_id.clone(),
        seqs: if row.conversation_type == session::SINGLE { newly.collect() } else { vec![] },
        has_read_seq: window.max,
    }
}

fn missing(user: &str, id: &str) -> Error {
    ErrorCode::RecordNotFound.with(format!("{user} does not have conversation {id}"))
}

#[cfg(test)]
mod tests {
    use model::access::{self, Part};

    use super::*;

    fn window(min: i64, max: i64, read: i64) -> Window {
        let part = Part { member: false, closed: false };
        Window { min, max, read, time: 0, access: access::of("ann", "si_ann_ben", part).unwrap() }
    }

    #[test]
    fn what_the_user_may_not_see_is_not_unread() {
        assert_eq!(window(1, 9, 0).unread(), 9);
        assert_eq!(window(1, 9, 4).unread(), 5);
        assert_eq!(window(6, 9, 0).unread(), 4, "the first five were cleared");
        assert_eq!(window(10, 9, 0).unread(), 0, "all were cleared");
        assert_eq!(window(1, 3, 9).unread(), 0, "who has left had read more than is shown now");
    }

    #[test]
    fn as_many_messages_are_left_unread_as_there_are() {
        for (num, position) in [(0, 9), (3, 6), (9, 0), (10, 0), (i64::MAX, 0)] {
            assert_eq!(window(1, 9, 5).position_leaving(num), position, "{num}");
        }
        assert_eq!(window(6, 9, 9).position_leaving(100), 5, "what was cleared stays so");
        assert_eq!(window(1, 0, 0).position_leaving(2), 0, "there is no message");
    }

    #[test]
    fn the_own_devices_are_told_what_they_look_for() {
        let now = store::DateTime::from_millis(0);
        let row = |kind| Conversation::new("ann", "c", kind, "ben", "", now);
        let told = own_receipt("ann", &row(session::SINGLE), &window(1, 9, 6));
        assert_eq!((told.seqs, told.has_read_seq), (vec![7, 8, 9], 9));
        assert!(own_receipt("ann", &row(session::GROUP), &window(1, 9, 6)).seqs.is_empty());
        assert_eq!(own_receipt("ann", &row(session::SINGLE), &window(1, 5000, 0)).seqs.len(), MOST);
    }
}
