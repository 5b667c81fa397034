//! The conversation service: a user's rows and settings.

mod conversation_groups;
mod folders;
mod hooks;
mod mentions;
mod set;
mod sorted;

use std::sync::Arc;

use config::{Hook, Service};
use deps::Deps;
use model::{Clock, conversation_id, id_hash};
use presence::Routes;
use protocol::{
    Error, ErrorCode, Result, check,
    content_type::session,
    conversation::{
        CreateGroupChatConversationsReq, CreateGroupChatConversationsResp, CreateSingleChatConversationsReq,
        CreateSingleChatConversationsResp, DeleteConversationsReq, DeleteConversationsResp,
        GetAllConversationsReq, GetAllConversationsResp, GetConversationOfflinePushUserIDsReq,
        GetConversationOfflinePushUserIDsResp, GetConversationReq, GetConversationResp, GetConversationsReq,
        GetConversationsResp, GetFullOwnerConversationIDsReq, GetFullOwnerConversationIDsResp,
        GetIncrementalConversationReq, GetIncrementalConversationResp, GetNotNotifyConversationIDsReq,
        GetNotNotifyConversationIDsResp, GetOwnerConversationReq, GetOwnerConversationResp,
        GetPinnedConversationIDsReq, GetPinnedConversationIDsResp, UpdateConversationsByUserReq,
        UpdateConversationsByUserResp,
    },
    lists,
};
use rpc::{Context, Peers};
use store::{DateTime, Page, Store, conversations::Conversation, versions::Kind};
use webhooks::Webhooks;

const MAX_TEXT_BYTES: usize = protocol::bounds::TEXT_BYTES;

/// The service.
pub struct Conversations {
    /// Conversation rows.
    store: Store,
    /// Announces changes.
    routes: Routes,
    /// For notifications.
    peers: Peers,
    /// Calls to the integrator.
    webhooks: Webhooks,
    /// Time of creation.
    clock: Arc<dyn Clock>,
}

impl Conversations {
    /// The service of a process.
    pub fn new(deps: &Deps) -> Self {
        Self {
            store: deps.store.clone(),
            routes: deps.routes.clone(),
            peers: deps.peers.clone(),
            webhooks: deps.webhooks.clone(),
            clock: deps.clock.clone(),
        }
    }
}

rpc::service! { Conversations, Service::Conversation, {
    conversation::CreateSingleChatConversationsReq => create_single,
    conversation::CreateGroupChatConversationsReq => create_group,
    internal::MarkMentionsReq => mark_mentions,
    conversation::SetConversationsReq => set,
    conversation::DeleteConversationsReq => delete,
    conversation::UpdateConversationsByUserReq => set_ex_of_all,
    conversation::GetSortedConversationListReq => sorted,
    conversation::GetConversationReq => get,
    conversation::GetConversationsReq => get_many,
    conversation::GetAllConversationsReq => all,
    conversation::GetOwnerConversationReq => page,
    conversation::GetIncrementalConversationReq => incremental,
    conversation::GetFullOwnerConversationIDsReq => full_ids,
    conversation::GetPinnedConversationIDsReq => pinned_ids,
    conversation::GetNotNotifyConversationIDsReq => quiet_ids,
    conversation::GetConversationOfflinePushUserIDsReq => offline_push_users,
    extension::CreateConversationGroupReq => create_conversation_group,
    extension::UpdateConversationGroupReq => update_conversation_group,
    extension::DeleteConversationGroupReq => delete_conversation_group,
    extension::GetConversationGroupsReq => conversation_groups,
    extension::SetConversationGroupOrderReq => order_conversation_groups,
    extension::AddConversationsToGroupsReq => put_into_groups,
    extension::RemoveConversationsFromGroupsReq => take_out_of_groups,
} }

/// Messages arrive and nobody is notified of them (recvMsgOpt 2); with option 1 they are not sent at all.
fn does_not_notify(row: &Conversation) -> bool {
    row.recv_msg_opt == 2
}

impl Conversations {
    fn now(&self) -> DateTime {
        DateTime::from_millis(self.clock.now_ms())
    }

    /// Before a list is read: what was deleted comes back when somebody has written there.
    pub(crate) async fn renew(&self, owner: &str) -> Result<()> {
        Ok(self.store.renew_conversations(owner, self.now()).await?)
    }

    async fn create_single(
        &self,
        context: &Context,
        request: CreateSingleChatConversationsReq,
    ) -> Result<CreateSingleChatConversationsResp> {
        context.require_system()?;
        let (send, recv, id) = (&request.send_id, &request.recv_id, &request.conversation_id);
        let now = self.now();
        let receiver = Conversation::new(recv, id, request.conversation_type, send, "", now);
        let mut rows = vec![receiver];
        if request.conversation_type == session::SINGLE && send != recv {
            rows.push(Conversation::new(send, id, request.conversation_type, recv, "", now));
        }
        let hooks = [Hook::BeforeCreateSingleChatConversations, Hook::AfterCreateSingleChatConversations];
        if hooks.iter().any(|hook| self.webhooks.wants(*hook)) {
            for row in rows {
                self.create_with_hooks(context, row).await?;
            }
        } else {
            self.store.ensure_conversations(&rows).await?;
        }
        Ok(CreateSingleChatConversationsResp {})
    }

    async fn create_group(
        &self,
        context: &Context,
        request: CreateGroupChatConversationsReq,
    ) -> Result<CreateGroupChatConversationsResp> {
        context.require_system()?;
        let id = conversation_id::group(&request.group_id);
        let now = self.now();
        let model = Conversation::new("", &id, session::GROUP, "", &request.group_id, now);
        let model = self.asked(context, model, Hook::BeforeCreateGroupChatConversations).await?;
        let row_of = |user: &String| Conversation { owner_user_id: user.clone(), ..model.clone() };
        let rows: Vec<Conversation> = request.user_ids.iter().map(row_of).collect();
        self.store.ensure_conversations(&rows).await?;
        self.webhooks.after(context, Hook::AfterCreateGroupChatConversations, hooks::body(&model)).await;
        Ok(CreateGroupChatConversationsResp {})
    }

    async fn delete(
        &self,
        context: &Context,
        request: DeleteConversationsReq,
    ) -> Result<DeleteConversationsResp> {
        let owner = &request.owner_user_id;
        check::non_empty("ownerUserID", owner)?;
        context.require_self("ownerUserID", owner)?;
        if (request.need_delete_time > 0) != request.conversation_ids.is_empty() {
            return Err(Error::args(
                "exactly one of needDeleteTime (days, above 0) and conversationIDs is required",
            ));
        }
        let ids = if request.need_delete_time > 0 {
            let days = request.need_delete_time.min(36_500);
            let since = self.clock.now_ms() - days * store::DAY_MS;
            let all = self.store.conversation_ids(owner).await?;
            let seqs = self.store.conversation_seqs(&all).await?;
            all.into_iter().filter(|id| seqs.get(id).is_some_and(|seq| seq.time < since)).collect()
        } else {
            let mut ids = request.conversation_ids;
            lists::distinct("conversationIDs", &mut ids, protocol::bounds::ITEMS)?;
            ids
        };
        if !ids.is_empty() {
            let deleted = self.store.delete_conversations_until_written(owner, &ids).await;
            // Also after an error, which leaves open what happened.
            self.routes.facts_changed(&[format!("user:{owner}")]).await;
            deleted?;
        }
        Ok(DeleteConversationsResp {})
    }

    async fn set_ex_of_all(
        &self,
        context: &Context,
        request: UpdateConversationsByUserReq,
    ) -> Result<UpdateConversationsByUserResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let ex = check::present("ex", request.ex)?.value;
        check::at_most("ex", &ex, MAX_TEXT_BYTES)?;
        self.store.set_conversations_ex(&request.user_id, &ex).await?;
        Ok(UpdateConversationsByUserResp {})
    }

    async fn get(&self, context: &Context, request: GetConversationReq) -> Result<GetConversationResp> {
        check::non_empty("ownerUserID", &request.owner_user_id)?;
        check::non_empty("conversationID", &request.conversation_id)?;
        context.require_self("ownerUserID", &request.owner_user_id)?;
        self.renew(&request.owner_user_id).await?;
        let row = self.store.conversation(&request.owner_user_id, &request.conversation_id).await?;
        let row = row.ok_or_else(|| {
            ErrorCode::RecordNotFound.with(format!("no conversation {}", request.conversation_id))
        })?;
        Ok(GetConversationResp { conversation: Some(row.to_wire()) })
    }

    async fn get_many(
        &self,
        context: &Context,
        mut request: GetConversationsReq,
    ) -> Result<GetConversationsResp> {
        check::non_empty("ownerUserID", &request.owner_user_id)?;
        context.require_self("ownerUserID", &request.owner_user_id)?;
        lists::distinct("conversationIDs", &mut request.conversation_ids, protocol::bounds::ITEMS)?;
        self.renew(&request.owner_user_id).await?;
        let rows = self.store.conversations(&request.owner_user_id, &request.conversation_ids).await?;
        Ok(GetConversationsResp { conversations: rows.iter().map(Conversation::to_wire).collect() })
    }

    async fn all(
        &self,
        context: &Context,
        request: GetAllConversationsReq,
    ) -> Result<GetAllConversationsResp> {
        check::non_empty("ownerUserID", &request.owner_user_id)?;
        context.require_self("ownerUserID", &request.owner_user_id)?;
        self.renew(&request.owner_user_id).await?;
        let rows = self.store.all_conversations(&request.owner_user_id).await?;
        Ok(GetAllConversationsResp { conversations: rows.iter().map(Conversation::to_wire).collect() })
    }

    async fn page(
        &self,
        context: &Context,
        request: GetOwnerConversationReq,
    ) -> Result<GetOwnerConversationResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        self.renew(&request.user_id).await?;
        let (rows, total) =
            self.store.conversation_page(&request.user_id, Page::parse(request.pagination.as_ref())?).await?;
        Ok(GetOwnerConversationResp {
            total: i64::try_from(total).unwrap_or(i64::MAX),
            conversations: rows.iter().map(Conversation::to_wire).collect(),
        })
    }

    async fn incremental(
        &self,
        context: &Context,
        request: GetIncrementalConversationReq,
    ) -> Result<GetIncrementalConversationResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        self.renew(&request.user_id).await?;
        let changes = self
            .store
            .changes_since(Kind::Conversation, &request.user_id, &request.version_id, request.version)
            .await?;
        let insert = self.store.conversations(&request.user_id, &changes.inserted).await?;
        let update = self.store.conversations(&request.user_id, &changes.updated).await?;
        Ok(GetIncrementalConversationResp {
            version: changes.version.number(),
            version_id: changes.version.id(),
            full: changes.full,
            delete: changes.deleted,
            insert: insert.iter().map(Conversation::to_wire).collect(),
            update: update.iter().map(Conversation::to_wire).collect(),
        })
    }

    async fn full_ids(
        &self,
        context: &Context,
        request: GetFullOwnerConversationIDsReq,
    ) -> Result<GetFullOwnerConversationIDsResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        self.renew(&request.user_id).await?;
        let version = self.store.version(Kind::Conversation, &request.user_id).await?;
        let ids = self.store.conversation_ids(&request.user_id).await?;
        let equal = id_hash::of(&ids) == request.id_hash;
        Ok(GetFullOwnerConversationIDsResp {
            version: version.number(),
            version_id: version.id(),
            equal,
            conversation_ids: if equal { vec![] } else { ids },
        })
    }

    async fn ids_where(
        &self,
        context: &Context,
        user: &str,
        keep: impl Fn(&Conversation) -> bool,
    ) -> Result<Vec<String>> {
        check::non_empty("userID", user)?;
        context.require_self("userID", user)?;
        let rows = self.store.all_conversations(user).await?;
        Ok(rows.into_iter().filter(keep).map(|row| row.conversation_id).collect())
    }

    async fn pinned_ids(
        &self,
        context: &Context,
        request: GetPinnedConversationIDsReq,
    ) -> Result<GetPinnedConversationIDsResp> {
        let conversation_ids = self.ids_where(context, &request.user_id, |row| row.is_pinned).await?;
        Ok(GetPinnedConversationIDsResp { conversation_ids })
    }

    async fn quiet_ids(
        &self,
        context: &Context,
        request: GetNotNotifyConversationIDsReq,
    ) -> Result<GetNotNotifyConversationIDsResp> {
        let conversation_ids = self.ids_where(context, &request.user_id, does_not_notify).await?;
        Ok(GetNotNotifyConversationIDsResp { conversation_ids })
    }

    async fn offline_push_users(
        &self,
        context: &Context,
        mut request: GetConversationOfflinePushUserIDsReq,
    ) -> Result<GetConversationOfflinePushUserIDsResp> {
        check::non_empty("conversationID", &request.conversation_id)?;
        // Services ask for large groups; back ends for a few, users for themselves.
        if context.require_system().is_err() {
            for user in &request.user_ids {
                context.require_self("userIDs", user)?;
            }
            lists::distinct("userIDs", &mut request.user_ids, protocol::bounds::ITEMS)?;
        }
        let quiet = self.store.quiet_owners(&request.conversation_id, &request.user_ids).await?;
        let user_ids = request.user_ids.into_iter().filter(|user| !quiet.contains(user)).collect();
        Ok(GetConversationOfflinePushUserIDsResp { user_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_notified_is_who_asked_for_that() {
        let row = |option: i32| {
            let row = Conversation::new("a", "si_a_b", 1, "b", "", DateTime::from_millis(0));
            Conversation { recv_msg_opt: option, ..row }
        };
        assert_eq!([0, 1, 2].map(|option| does_not_notify(&row(option))), [false, false, true]);
    }
}
