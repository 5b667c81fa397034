//! Conversation groups: a user's folders of conversations, the same on all devices.

use std::collections::BTreeMap;

use notification::To;
use protocol::{
    Error, ErrorCode, Result, check,
    extension::{
        AddConversationsToGroupsReq, AddConversationsToGroupsResp, ConversationGroupTips,
        CreateConversationGroupReq, CreateConversationGroupResp, DeleteConversationGroupReq,
        DeleteConversationGroupResp, GetConversationGroupsReq, GetConversationGroupsResp,
        RemoveConversationsFromGroupsReq, RemoveConversationsFromGroupsResp, SetConversationGroupOrderReq,
        SetConversationGroupOrderResp, UpdateConversationGroupReq, UpdateConversationGroupResp,
    },
    lists,
};
use rpc::Context;
use store::conversation_groups::{Folder, Folders};

use crate::{
    Conversations, MAX_TEXT_BYTES,
    folders::{self, Change, MOST},
};

const MAX_NAME_BYTES: usize = protocol::bounds::NAME_BYTES;
/// Key of the business notification.
const CHANGED: &str = "openim.conversationGroup";
/// How often a change is retried on top of what others changed meanwhile.
const ATTEMPTS: usize = 10;

fn check_owner(context: &Context, owner: &str) -> Result<()> {
    check::non_empty("ownerUserID", owner)?;
    context.require_self("ownerUserID", owner)
}

fn check_name(name: &str) -> Result<()> {
    check::non_empty("name", name)?;
    check::at_most("name", name, MAX_NAME_BYTES)
}

impl Conversations {
    pub(crate) async fn create_conversation_group(
        &self,
        context: &Context,
        request: CreateConversationGroupReq,
    ) -> Result<CreateConversationGroupResp> {
        let owner = &request.owner_user_id;
        check_owner(context, owner)?;
        check_name(&request.name)?;
        check::at_most("ex", &request.ex, MAX_TEXT_BYTES)?;
        if !(0..=1).contains(&request.conversation_group_type) {
            return Err(Error::args("conversationGroupType must be 0 (normal) or 1 (filter)"));
        }
        let conversation_ids: Vec<String> =
            Some(request.conversation_id).filter(|id| !id.is_empty()).into_iter().collect();
        self.check_own(owner, &conversation_ids).await?;
        let id = model::random_id();
        let folder = Folder {
            id: id.clone(),
            name: request.name,
            order: request.order,
            version: 0,
            ex: request.ex,
            conversation_ids,
            hidden: false,
            kind: request.conversation_group_type,
            create_time: self.now(),
        };
        let after = self.change_folders(context, owner, &Change::Add(folder)).await?;
        Ok(CreateConversationGroupResp { group: Some(folders::shown_one(&after, &id)?) })
    }

    pub(crate) async fn update_conversation_group(
        &self,
        context: &Context,
        request: UpdateConversationGroupReq,
    ) -> Result<UpdateConversationGroupResp> {
        let (owner, id) = (&request.owner_user_id, request.conversation_group_id);
        check_owner(context, owner)?;
        check::non_empty("conversationGroupID", &id)?;
        let (name, ex) = (request.name.map(|text| text.value), request.ex.map(|text| text.value));
        if let Some(name) = &name {
            check_name(name)?;
        }
        check::at_most("ex", ex.as_deref().unwrap_or_default(), MAX_TEXT_BYTES)?;
        let hidden = request.hidden.map(|flag| flag.value);
        let change = Change::Set { id: id.clone(), name, ex, hidden };
        let after = self.change_folders(context, owner, &change).await?;
        Ok(UpdateConversationGroupResp { group: Some(folders::shown_one(&after, &id)?) })
    }

    pub(crate) async fn delete_conversation_group(
        &self,
        context: &Context,
        request: DeleteConversationGroupReq,
    ) -> Result<DeleteConversationGroupResp> {
        check_owner(context, &request.owner_user_id)?;
        check::non_empty("conversationGroupID", &request.conversation_group_id)?;
        let change = Change::Delete(request.conversation_group_id);
        self.change_folders(context, &request.owner_user_id, &change).await?;
        Ok(DeleteConversationGroupResp {})
    }

    pub(crate) async fn conversation_groups(
        &self,
        context: &Context,
        request: GetConversationGroupsReq,
    ) -> Result<GetConversationGroupsResp> {
        check_owner(context, &request.owner_user_id)?;
        let all = self.store.folders(&request.owner_user_id).await?;
        Ok(folders::since(&all, request.max_version.map_or(0, |version| version.value)))
    }

    pub(crate) async fn order_conversation_groups(
        &self,
        context: &Context,
        request: SetConversationGroupOrderReq,
    ) -> Result<SetConversationGroupOrderResp> {
        check_owner(context, &request.owner_user_id)?;
        let ids: Vec<String> =
            request.orders.iter().map(|order| order.conversation_group_id.clone()).collect();
        check::ids("orders", &ids, MOST)?;
        let places: BTreeMap<String, i64> =
            request.orders.into_iter().map(|order| (order.conversation_group_id, order.order)).collect();
        self.change_folders(context, &request.owner_user_id, &Change::Order(places)).await?;
        Ok(SetConversationGroupOrderResp {})
    }

    pub(crate) async fn put_into_groups(
        &self,
        context: &Context,
        request: AddConversationsToGroupsReq,
    ) -> Result<AddConversationsToGroupsResp> {
        let owner = &request.owner_user_id;
        check_owner(context, owner)?;
        let (mut conversations, mut folders) = (request.conversation_ids, request.conversation_group_ids);
        check_lists(&mut conversations, &mut folders)?;
        self.check_own(owner, &conversations).await?;
        self.change_folders(context, owner, &Change::Put { conversations, folders }).await?;
        Ok(AddConversationsToGroupsResp {})
    }

    pub(crate) async fn take_out_of_groups(
        &self,
        context: &Context,
        request: RemoveConversationsFromGroupsReq,
    ) -> Result<RemoveConversationsFromGroupsResp> {
        let owner = &request.owner_user_id;
        check_owner(context, owner)?;
        let (mut conversations, mut folders) = (request.conversation_ids, request.conversation_group_ids);
        check_lists(&mut conversations, &mut folders)?;
        self.change_folders(context, owner, &Change::Take { conversations, folders }).await?;
        Ok(RemoveConversationsFromGroupsResp {})
    }

    async fn check_own(&self, owner: &str, ids: &[String]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let own = self.store.conversations(owner, ids).await?;
        match ids.iter().find(|id| own.iter().all(|row| row.conversation_id != **id)) {
            None => Ok(()),
            Some(id) => {
                Err(ErrorCode::RecordNotFound.with(format!("{owner} does not have conversation {id}")))
            }
        }
    }

    /// Changes folders, on top of what others have changed meanwhile, and tells the owner's devices.
    async fn change_folders(&self, context: &Context, owner: &str, change: &Change) -> Result<Folders> {
        for _ in 0..ATTEMPTS {
            let before = self.store.folders(owner).await?;
            let (after, ids) = folders::changed(&before, change)?;
            if self.store.replace_folders(before.version, &after).await? {
                self.tell_devices(context, &after, change, ids).await;
                return Ok(after);
            }
        }
        Err(Error::busy("changing conversation groups"))
    }

    /// Devices that are offline learn of it when they ask for the changes since their version.
    async fn tell_devices(&self, context: &Context, after: &Folders, change: &Change, ids: Vec<String>) {
        let tips = ConversationGroupTips {
            owner_user_id: after.owner.clone(),
            change: change.name().to_owned(),
            conversation_group_ids: ids,
            version: after.version,
        };
        let to = To::User(&after.owner);
        let told =
            notification::business(&self.peers, context, &after.owner, to, (CHANGED, &tips), false).await;
        if let Err(error) = told {
            tracing::warn!(%error, "conversation_groups.not_told");
        }
    }
}

fn check_lists(conversations: &mut Vec<String>, folders: &mut Vec<String>) -> Result<()> {
    lists::distinct_some("conversationIDs", conversations, protocol::bounds::ITEMS)?;
    lists::distinct_some("conversationGroupIDs", folders, MOST)
}
