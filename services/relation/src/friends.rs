//! Friends: importing, removing, remarks and pins, lists and their incremental sync (docs/protocol/relations.md).

use bson::Document;
use config::Hook;
use model::id_hash;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    relation::{
        DeleteFriendReq, DeleteFriendResp, GetDesignatedFriendsReq, GetDesignatedFriendsResp,
        GetFriendIDsReq, GetFriendIDsResp, GetFullFriendUserIDsReq, GetFullFriendUserIDsResp,
        GetIncrementalFriendsReq, GetIncrementalFriendsResp, GetPaginationFriendsReq,
        GetPaginationFriendsResp, ImportFriendReq, ImportFriendResp, IsFriendReq, IsFriendResp,
        SetFriendRemarkReq, SetFriendRemarkResp, UpdateFriendsReq, UpdateFriendsResp,
    },
    sdkws::{FriendApplicationApprovedTips, FriendDeletedTips, FriendInfoChangedTips, FriendsInfoUpdateTips},
};
use rpc::Context;
use serde::Deserialize;
use serde_json::json;
use store::{Page, row_limits::Room, versions::Kind};

use crate::{Relations, convert, pair};

const ADD_SOURCE_IMPORT: i32 = 1;

/// What `beforeImportFriends` may answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImportAnswer {
    #[serde(rename = "friendUserIDs", deserialize_with = "protocol::go_json::null_as_default")]
    friends: Vec<String>,
}

/// What `beforeSetFriendRemark` may answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RemarkAnswer {
    remark: String,
}

/// The fields of an update that are present: an empty remark removes it, an absent one keeps it.
fn changed_fields(request: &UpdateFriendsReq) -> Result<Document> {
    let mut fields = Document::new();
    if let Some(pinned) = &request.is_pinned {
        fields.insert("is_pinned", pinned.value);
    }
    if let Some(remark) = &request.remark {
        check::at_most("remark", &remark.value, protocol::bounds::NOTE_BYTES)?;
        fields.insert("remark", remark.value.clone());
    }
    if let Some(ex) = &request.ex {
        check::at_most("ex", &ex.value, protocol::bounds::TEXT_BYTES)?;
        fields.insert("ex", ex.value.clone());
    }
    if fields.is_empty() {
        return Err(Error::args("one of isPinned, remark, ex is required"));
    }
    Ok(fields)
}

impl Relations {
    pub(crate) async fn delete(
        &self,
        context: &Context,
        request: DeleteFriendReq,
    ) -> Result<DeleteFriendResp> {
        let (owner, friend) = (&request.owner_user_id, &request.friend_user_id);
        check::non_empty("ownerUserID", owner)?;
        check::non_empty("friendUserID", friend)?;
        context.require_self("ownerUserID", owner)?;
        let deleted = self.store.delete_friend(owner, friend).await;
        // Also after an error, which leaves open what happened, and when an earlier call had one.
        self.friends_changed(&[owner]).await;
        let Some(version) = deleted? else {
            return Err(ErrorCode::RecordNotFound.with(format!("{friend} is not a friend of {owner}")));
        };
        let body = json!({ "ownerUserID": owner, "friendUserID": friend });
        self.webhooks.after(context, Hook::AfterDeleteFriend, body).await;
        let tips = FriendDeletedTips {
            from_to_user_id: pair(owner, friend),
            friend_version: version.number(),
            friend_version_id: version.id(),
        };
        notification::tell(&self.peers, context, owner, To::User(friend), kind::FRIEND_DELETED, &tips).await;
        Ok(DeleteFriendResp {})
    }

    pub(crate) async fn import(
        &self,
        context: &Context,
        mut request: ImportFriendReq,
    ) -> Result<ImportFriendResp> {
        context.require_admin()?;
        check::non_empty("ownerUserID", &request.owner_user_id)?;
        let body = json!({ "ownerUserID": request.owner_user_id, "friendUserIDs": request.friend_user_ids });
        let answer: ImportAnswer = self.webhooks.before(context, Hook::BeforeImportFriends, body).await?;
        if !answer.friends.is_empty() {
            request.friend_user_ids = answer.friends;
        }
        check::ids("friendUserIDs", &request.friend_user_ids, protocol::bounds::ITEMS)?;
        let owner = &request.owner_user_id;
        if request.friend_user_ids.contains(owner) {
            return Err(ErrorCode::AddYourself.with("friendUserIDs contains the owner"));
        }
        self.registered(owner).await?;
        let known = self.store.users(&request.friend_user_ids).await?;
        if known.len() != request.friend_user_ids.len() {
            return Err(ErrorCode::UserNotFound.with("friendUserIDs contains users that are not registered"));
        }
        self.store.check_room(Room::Friends, owner, request.friend_user_ids.len() as u64).await?;
        let pairs: Vec<(String, String)> =
            request.friend_user_ids.iter().map(|id| (owner.clone(), id.clone())).collect();
        self.store.make_friends(&pairs, ADD_SOURCE_IMPORT, context.user_id(), self.now()).await?;
        let mut changed: Vec<&str> = request.friend_user_ids.iter().map(String::as_str).collect();
        changed.push(owner);
        self.friends_changed(&changed).await;
        let version = self.store.version(Kind::Friend, owner).await?;
        for friend in &request.friend_user_ids {
            // As if the owner had applied and the friend had accepted.
            let tips = FriendApplicationApprovedTips {
                from_to_user_id: pair(owner, friend),
                friend_version: version.number(),
                friend_version_id: version.id(),
                ..Default::default()
            };
            notification::tell(&self.peers, context, friend, To::User(owner), kind::FRIEND_APPROVED, &tips)
                .await;
        }
        let body = json!({ "ownerUserID": owner, "friendUserIDs": request.friend_user_ids });
        self.webhooks.after(context, Hook::AfterImportFriends, body).await;
        Ok(ImportFriendResp {})
    }

    pub(crate) async fn is_friend(&self, context: &Context, request: IsFriendReq) -> Result<IsFriendResp> {
        let (a, b) = (&request.user_id1, &request.user_id2);
        check::non_empty("userID1", a)?;
        check::non_empty("userID2", b)?;
        if context.require_self("userID1", a).is_err() {
            context.require_self("userID1 or userID2", b)?;
        }
        Ok(IsFriendResp {
            in_user1_friends: self.store.is_friend(a, b).await?,
            in_user2_friends: self.store.is_friend(b, a).await?,
        })
    }

    pub(crate) async fn update(
        &self,
        context: &Context,
        request: UpdateFriendsReq,
    ) -> Result<UpdateFriendsResp> {
        let owner = &request.owner_user_id;
        check::non_empty("ownerUserID", owner)?;
        check::ids("friendUserIDs", &request.friend_user_ids, protocol::bounds::ITEMS)?;
        context.require_self("ownerUserID", owner)?;
        if self.store.friends(owner, &request.friend_user_ids).await?.len() != request.friend_user_ids.len() {
            return Err(ErrorCode::RecordNotFound.with("friendUserIDs contains users that are not friends"));
        }
        let fields = changed_fields(&request)?;
        let version = self.store.update_friends(owner, &request.friend_user_ids, &fields).await?;
        let tips = FriendsInfoUpdateTips {
            from_to_user_id: pair(owner, owner),
            friend_ids: request.friend_user_ids,
            friend_version: version.number(),
            friend_version_id: version.id(),
        };
        notification::tell(&self.peers, context, owner, To::User(owner), kind::FRIENDS_INFO_UPDATE, &tips)
            .await;
        Ok(UpdateFriendsResp {})
    }

    pub(crate) async fn set_remark(
        &self,
        context: &Context,
        mut request: SetFriendRemarkReq,
    ) -> Result<SetFriendRemarkResp> {
        context.require_self("ownerUserID", &request.owner_user_id)?;
        let body = |remark: &str| json!({ "ownerUserID": request.owner_user_id, "friendUserID": request.friend_user_id, "remark": remark });
        let asked = body(&request.remark);
        let answer: RemarkAnswer = self.webhooks.before(context, Hook::BeforeSetFriendRemark, asked).await?;
        let remark = if answer.remark.is_empty() { request.remark.clone() } else { answer.remark };
        let done = body(&remark);
        request.remark = remark;
        let (owner, friend) = (&request.owner_user_id, &request.friend_user_id);
        check::non_empty("ownerUserID", owner)?;
        check::non_empty("friendUserID", friend)?;
        check::at_most("remark", &request.remark, protocol::bounds::NOTE_BYTES)?;
        if !self.store.is_friend(owner, friend).await? {
            return Err(ErrorCode::RecordNotFound.with(format!("{friend} is not a friend of {owner}")));
        }
        let fields = bson::doc! { "remark": &request.remark };
        let version = self.store.update_friends(owner, std::slice::from_ref(friend), &fields).await?;
        let tips = FriendInfoChangedTips {
            from_to_user_id: pair(owner, friend),
            friend_version: version.number(),
            friend_version_id: version.id(),
            friend_sort_version: 0,
        };
        notification::tell(&self.peers, context, owner, To::User(friend), kind::FRIEND_REMARK_SET, &tips)
            .await;
        self.webhooks.after(context, Hook::AfterSetFriendRemark, done).await;
        Ok(SetFriendRemarkResp {})
    }

    pub(crate) async fn friend_page(
        &self,
        context: &Context,
        request: GetPaginationFriendsReq,
    ) -> Result<GetPaginationFriendsResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let (rows, total) =
            self.store.friend_page(&request.user_id, Page::parse(request.pagination.as_ref())?).await?;
        let friends_info = convert::friends(&self.store, rows).await?;
        Ok(GetPaginationFriendsResp { friends_info, total: i32::try_from(total).unwrap_or(i32::MAX) })
    }

    pub(crate) async fn designated(
        &self,
        context: &Context,
        request: GetDesignatedFriendsReq,
    ) -> Result<GetDesignatedFriendsResp> {
        check::non_empty("ownerUserID", &request.owner_user_id)?;
        check::unique_ids("friendUserIDs", &request.friend_user_ids, protocol::bounds::ITEMS)?;
        context.require_self("ownerUserID", &request.owner_user_id)?;
        let rows = self.store.friends(&request.owner_user_id, &request.friend_user_ids).await?;
        Ok(GetDesignatedFriendsResp { friends_info: convert::friends(&self.store, rows).await? })
    }

    pub(crate) async fn friend_ids(
        &self,
        context: &Context,
        request: GetFriendIDsReq,
    ) -> Result<GetFriendIDsResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        Ok(GetFriendIDsResp { friend_ids: self.store.friend_ids(&request.user_id).await? })
    }

    pub(crate) async fn incremental(
        &self,
        context: &Context,
        request: GetIncrementalFriendsReq,
    ) -> Result<GetIncrementalFriendsResp> {
        context.require_self("userID", &request.user_id)?;
        let changes = self
            .store
            .changes_since(Kind::Friend, &request.user_id, &request.version_id, request.version)
            .await?;
        let insert = self.store.friends(&request.user_id, &changes.inserted).await?;
        let update = self.store.friends(&request.user_id, &changes.updated).await?;
        Ok(GetIncrementalFriendsResp {
            version: changes.version.number(),
            version_id: changes.version.id(),
            full: changes.full,
            delete: changes.deleted,
            insert: convert::friends(&self.store, insert).await?,
            update: convert::friends(&self.store, update).await?,
            sort_version: changes.sort_version,
        })
    }

    pub(crate) async fn full_ids(
        &self,
        context: &Context,
        request: GetFullFriendUserIDsReq,
    ) -> Result<GetFullFriendUserIDsResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let version = self.store.version(Kind::Friend, &request.user_id).await?;
        let ids = self.store.friend_ids(&request.user_id).await?;
        let equal = id_hash::of(&ids) == request.id_hash;
        Ok(GetFullFriendUserIDsResp {
            version: version.number(),
            version_id: version.id(),
            equal,
            user_ids: if equal { vec![] } else { ids },
        })
    }
}

#[cfg(test)]
mod tests {
    use protocol::wrappers::{BoolValue, StringValue};

    use super::*;

    fn text(value: &str) -> Option<StringValue> {
        Some(StringValue { value: value.to_owned() })
    }

    #[test]
    fn an_empty_remark_removes_it_and_an_absent_one_keeps_it() {
        let emptied = UpdateFriendsReq { remark: text(""), ..Default::default() };
        assert_eq!(changed_fields(&emptied).unwrap(), bson::doc! { "remark": "" });
        let pinned = Some(BoolValue { value: false });
        let unpinned = UpdateFriendsReq { is_pinned: pinned, ex: text("x"), ..Default::default() };
        assert_eq!(changed_fields(&unpinned).unwrap(), bson::doc! { "is_pinned": false, "ex": "x" });
    }

    #[test]
    fn an_update_of_nothing_or_with_too_long_a_text_is_refused() {
        let refused = |request| changed_fields(&request).unwrap_err().detail;
        assert_eq!(refused(UpdateFriendsReq::default()), "one of isPinned, remark, ex is required");
        let long = "x".repeat(protocol::bounds::NOTE_BYTES + 1);
        assert!(refused(UpdateFriendsReq { remark: text(&long), ..Default::default() }).contains("remark"));
        let long = "x".repeat(protocol::bounds::TEXT_BYTES + 1);
        assert!(refused(UpdateFriendsReq { ex: text(&long), ..Default::default() }).contains("ex has more"));
    }
}
