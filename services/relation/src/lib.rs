//! The relation service: friends, friend requests, block lists.

mod convert;
mod forget_requests;
mod lookup;

use std::sync::Arc;

use bson::Document;
use config::{Hook, Service};
use deps::Deps;
use model::{Clock, id_hash};
use notification::To;
use presence::Routes;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    relation::{
        AddBlackReq, AddBlackResp, ApplyToAddFriendReq, ApplyToAddFriendResp, DeleteFriendReq,
        DeleteFriendResp, GetDesignatedFriendsReq, GetDesignatedFriendsResp, GetFriendIDsReq,
        GetFriendIDsResp, GetFullFriendUserIDsReq, GetFullFriendUserIDsResp, GetIncrementalFriendsReq,
        GetIncrementalFriendsResp, GetPaginationBlacksReq, GetPaginationBlacksResp,
        GetPaginationFriendsApplyFromReq, GetPaginationFriendsApplyFromResp, GetPaginationFriendsApplyToReq,
        GetPaginationFriendsApplyToResp, GetPaginationFriendsReq, GetPaginationFriendsResp,
        GetSelfUnhandledApplyCountReq, GetSelfUnhandledApplyCountResp, ImportFriendReq, ImportFriendResp,
        IsFriendReq, IsFriendResp, RemoveBlackReq, RemoveBlackResp, RespondFriendApplyReq,
        RespondFriendApplyResp, SetFriendRemarkReq, SetFriendRemarkResp, UpdateFriendsReq, UpdateFriendsResp,
    },
    sdkws::{
        BlackAddedTips, BlackDeletedTips, FriendApplicationApprovedTips, FriendApplicationRejectedTips,
        FriendApplicationTips, FriendDeletedTips, FriendInfoChangedTips, FriendsInfoUpdateTips, FromToUserId,
    },
};
use rpc::{Context, Peers};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{
    DateTime, Page, Store,
    blacks::Black,
    requests::{FriendRequest, Side},
    row_limits::Room,
    users::User,
    versions::Kind,
};

use webhooks::Webhooks;

const ADD_SOURCE_IMPORT: i32 = 1;
const ADD_SOURCE_APPLICATION: i32 = 2;
const AGREE: i32 = 1;
const REFUSE: i32 = -1;

/// The service.
pub struct Relations {
    /// Friends, requests, blacks, users.
    store: Store,
    /// Announces changes.
    routes: Routes,
    /// For notifications.
    peers: Peers,
    /// Calls to the integrator.
    webhooks: Webhooks,
    /// Times of requests.
    clock: Arc<dyn Clock>,
}

impl Relations {
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

rpc::service! { Relations, Service::Relation, {
    relation::ApplyToAddFriendReq => apply,
    relation::RespondFriendApplyReq => respond,
    relation::DeleteFriendReq => delete,
    relation::ImportFriendReq => import,
    relation::IsFriendReq => is_friend,
    relation::UpdateFriendsReq => update,
    relation::SetFriendRemarkReq => set_remark,
    relation::GetPaginationFriendsReq => friend_page,
    relation::GetDesignatedFriendsReq => designated,
    relation::GetFriendIDsReq => friend_ids,
    relation::GetIncrementalFriendsReq => incremental,
    relation::GetFullFriendUserIDsReq => full_ids,
    relation::GetPaginationFriendsApplyToReq => requests_to,
    relation::GetPaginationFriendsApplyFromReq => requests_from,
    relation::GetSelfUnhandledApplyCountReq => unhandled_count,
    relation::AddBlackReq => add_black,
    relation::RemoveBlackReq => remove_black,
    relation::GetPaginationBlacksReq => black_page,
    relation::GetDesignatedFriendsApplyReq => requests_between,
    relation::GetSpecifiedBlacksReq => specified_blacks,
    relation::GetSpecifiedFriendsInfoReq => specified_friends,
    relation::GetIncrementalBlacksReq => incremental_blacks,
    extension::DeleteFriendRequestsFromUserReq => forget_sent,
    extension::DeleteFriendRequestsToUserReq => forget_received,
} }

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

fn pair(from: &str, to: &str) -> Option<FromToUserId> {
    Some(FromToUserId { from_user_id: from.to_owned(), to_user_id: to.to_owned() })
}

impl Relations {
    fn now(&self) -> DateTime {
        DateTime::from_millis(self.clock.now_ms())
    }

    async fn registered(&self, id: &str) -> Result<User> {
        self.store
            .user(id)
            .await?
            .ok_or_else(|| ErrorCode::UserNotFound.with(format!("user {id} is not registered")))
    }

    /// A hook that may only veto.
    async fn ask(&self, context: &Context, hook: Hook, body: Value) -> Result<()> {
        let _fields: Map<String, Value> = self.webhooks.before(context, hook, body).await?;
        Ok(())
    }

    async fn friends_changed(&self, users: &[&str]) {
        let scopes: Vec<String> = users.iter().map(|user| format!("user:{user}")).collect();
        self.routes.facts_changed(&scopes).await;
    }

    async fn apply(&self, context: &Context, request: ApplyToAddFriendReq) -> Result<ApplyToAddFriendResp> {
        let (from, to) = (&request.from_user_id, &request.to_user_id);
        check::non_empty("fromUserID", from)?;
        check::non_empty("toUserID", to)?;
        context.require_self("fromUserID", from)?;
        check::at_most("reqMsg", &request.req_msg, protocol::bounds::NOTE_BYTES)?;
        check::at_most("ex", &request.ex, protocol::bounds::TEXT_BYTES)?;
        if from == to {
            return Err(ErrorCode::AddYourself.with("toUserID is the applicant"));
        }
        let body = json!({ "fromUserID": from, "toUserID": to, "reqMsg": request.req_msg, "ex": request.ex });
        self.ask(context, Hook::BeforeAddFriend, body).await?;
        let applicant = self.registered(from).await?;
        let target = self.registered(to).await?;
        if self.store.is_friend(from, to).await? && self.store.is_friend(to, from).await? {
            return Err(ErrorCode::RelationshipExists.with("they are already friends"));
        }
        if self.store.friend_request(from, to).await?.is_none_or(|known| known.handle_result != 0) {
            self.store.check_room(Room::RequestsSent, from, 1).await?;
            self.store.check_room(Room::RequestsReceived, to, 1).await?;
        }
        let row = FriendRequest {
            from_user_id: from.clone(),
            to_user_id: to.clone(),
            handle_result: 0,
            req_msg: request.req_msg.clone(),
            create_time: self.now(),
            handler_user_id: String::new(),
            handle_msg: String::new(),
            handle_time: DateTime::from_millis(0),
            ex: request.ex.clone(),
        };
        self.store.put_friend_request(&row).await?;
        let tips = FriendApplicationTips {
            from_to_user_id: pair(from, to),
            request: Some(convert::request(&row, Some(&applicant), Some(&target))),
        };
        notification::tell(&self.peers, context, from, To::User(to), kind::FRIEND_APPLIED, &tips).await;
        let body = json!({ "fromUserID": from, "toUserID": to, "reqMsg": request.req_msg });
        self.webhooks.after(context, Hook::AfterAddFriend, body).await;
        Ok(ApplyToAddFriendResp {})
    }

    async fn respond(
        &self,
        context: &Context,
        request: RespondFriendApplyReq,
    ) -> Result<RespondFriendApplyResp> {
        let (from, to) = (&request.from_user_id, &request.to_user_id);
        check::non_empty("fromUserID", from)?;
        check::non_empty("toUserID", to)?;
        context.require_self("toUserID", to)?;
        check::at_most("handleMsg", &request.handle_msg, protocol::bounds::NOTE_BYTES)?;
        if ![AGREE, REFUSE].contains(&request.handle_result) {
            return Err(Error::args("handleResult must be 1 (agree) or -1 (refuse)"));
        }
        if self.store.friend_request(from, to).await?.is_none() {
            return Err(ErrorCode::RecordNotFound.with(format!("there is no request from {from} to {to}")));
        }
        let agreement = json!({
            "fromUserID": from, "blackUserID": to, "HandleResult": request.handle_result, "HandleMsg": request.handle_msg,
        });
        if request.handle_result == AGREE {
            self.ask(context, Hook::BeforeAddFriendAgree, agreement.clone()).await?;
            // Friends first: should this die before the request is closed, agreeing again finishes it.
            if self.store.friend_request(from, to).await?.is_some_and(|row| row.handle_result != 0) {
                return Err(Error::args("the request has already been handled"));
            }
            for (owner, friend) in [(to, from), (from, to)] {
                if !self.store.is_friend(owner, friend).await? {
                    self.store.check_room(Room::Friends, owner, 1).await?;
                }
            }
            let pairs = [(from.clone(), to.clone())];
            self.store.make_friends(&pairs, ADD_SOURCE_APPLICATION, context.user_id(), self.now()).await?;
            self.friends_changed(&[from, to]).await;
        }
        if !self
            .store
            .answer_friend_request(from, to, request.handle_result, &request.handle_msg, self.now())
            .await?
        {
            return Err(ErrorCode::FriendRequestHandled.with("the request has already been handled"));
        }
        let answered = self.store.friend_request(from, to).await?;
        let row = convert::requests(&self.store, answered.into_iter().collect()).await?.pop();
        if request.handle_result == AGREE {
            self.store.answer_friend_request(to, from, AGREE, "", self.now()).await?;
            let version = self.store.version(Kind::Friend, from).await?;
            let tips = FriendApplicationApprovedTips {
                from_to_user_id: pair(from, to),
                handle_msg: request.handle_msg,
                friend_version: version.number(),
                friend_version_id: version.id(),
                request: row,
            };
            notification::tell(&self.peers, context, to, To::User(from), kind::FRIEND_APPROVED, &tips).await;
        } else {
            let tips = FriendApplicationRejectedTips {
                from_to_user_id: pair(from, to),
                handle_msg: request.handle_msg,
                request: row,
            };
            notification::tell(&self.peers, context, to, To::User(from), kind::FRIEND_REJECTED, &tips).await;
        }
        if request.handle_result == AGREE {
            self.webhooks.after(context, Hook::AfterAddFriendAgree, agreement).await;
        }
        Ok(RespondFriendApplyResp {})
    }

    async fn delete(&self, context: &Context, request: DeleteFriendReq) -> Result<DeleteFriendResp> {
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

    async fn import(&self, context: &Context, mut request: ImportFriendReq) -> Result<ImportFriendResp> {
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
        for friend in &request.friend_user_ids {
            let tips =
                FriendApplicationApprovedTips { from_to_user_id: pair(friend, owner), ..Default::default() };
            notification::tell(&self.peers, context, friend, To::User(owner), kind::FRIEND_APPROVED, &tips)
                .await;
        }
        let body = json!({ "ownerUserID": owner, "friendUserIDs": request.friend_user_ids });
        self.webhooks.after(context, Hook::AfterImportFriends, body).await;
        Ok(ImportFriendResp {})
    }

    async fn is_friend(&self, context: &Context, request: IsFriendReq) -> Result<IsFriendResp> {
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

    async fn update(&self, context: &Context, request: UpdateFriendsReq) -> Result<UpdateFriendsResp> {
        let owner = &request.owner_user_id;
        check::non_empty("ownerUserID", owner)?;
        check::ids("friendUserIDs", &request.friend_user_ids, protocol::bounds::ITEMS)?;
        context.require_self("ownerUserID", owner)?;
        if self.store.friends(owner, &request.friend_user_ids).await?.len() != request.friend_user_ids.len() {
            return Err(ErrorCode::RecordNotFound.with("friendUserIDs contains users that are not friends"));
        }
        let mut fields = Document::new();
        if let Some(pinned) = request.is_pinned {
            fields.insert("is_pinned", pinned.value);
        }
        if let Some(remark) = request.remark {
            check::at_most("remark", &remark.value, protocol::bounds::NOTE_BYTES)?;
            fields.insert("remark", remark.value);
        }
        if let Some(ex) = request.ex {
            check::at_most("ex", &ex.value, protocol::bounds::TEXT_BYTES)?;
            fields.insert("ex", ex.value);
        }
        if fields.is_empty() {
            return Err(Error::args("one of isPinned, remark, ex is required"));
        }
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

    async fn set_remark(
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
        notification::tell(&self.peers, context, owner, To::User(owner), kind::FRIEND_REMARK_SET, &tips)
            .await;
        self.webhooks.after(context, Hook::AfterSetFriendRemark, done).await;
        Ok(SetFriendRemarkResp {})
    }

    async fn friend_page(
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

    async fn designated(
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

    async fn friend_ids(&self, context: &Context, request: GetFriendIDsReq) -> Result<GetFriendIDsResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        Ok(GetFriendIDsResp { friend_ids: self.store.friend_ids(&request.user_id).await? })
    }

    async fn incremental(
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

    async fn full_ids(
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

    async fn requests_to(
        &self,
        context: &Context,
        request: GetPaginationFriendsApplyToReq,
    ) -> Result<GetPaginationFriendsApplyToResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let (rows, total) =
            self.store.friend_request_page(Side::To, &request.user_id, &request.handle_results, page).await?;
        let friend_requests = convert::requests(&self.store, rows).await?;
        Ok(GetPaginationFriendsApplyToResp {
            friend_requests,
            total: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    async fn requests_from(
        &self,
        context: &Context,
        request: GetPaginationFriendsApplyFromReq,
    ) -> Result<GetPaginationFriendsApplyFromResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let (rows, total) = self
            .store
            .friend_request_page(Side::From, &request.user_id, &request.handle_results, page)
            .await?;
        let friend_requests = convert::requests(&self.store, rows).await?;
        Ok(GetPaginationFriendsApplyFromResp {
            friend_requests,
            total: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    async fn unhandled_count(
        &self,
        context: &Context,
        request: GetSelfUnhandledApplyCountReq,
    ) -> Result<GetSelfUnhandledApplyCountResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let count = self.store.unhandled_friend_requests(&request.user_id, request.time).await?;
        Ok(GetSelfUnhandledApplyCountResp { count: i64::try_from(count).unwrap_or(i64::MAX) })
    }

    async fn add_black(&self, context: &Context, request: AddBlackReq) -> Result<AddBlackResp> {
        let (owner, blocked) = (&request.owner_user_id, &request.black_user_id);
        check::non_empty("ownerUserID", owner)?;
        check::non_empty("blackUserID", blocked)?;
        context.require_self("ownerUserID", owner)?;
        check::at_most("ex", &request.ex, protocol::bounds::TEXT_BYTES)?;
        if owner == blocked {
            return Err(Error::args("blackUserID is the owner"));
        }
        self.registered(blocked).await?;
        let body = json!({ "ownerUserID": owner, "blackUserID": blocked });
        self.ask(context, Hook::BeforeAddBlack, body).await?;
        if !self.store.is_black(owner, blocked).await? {
            self.store.check_room(Room::Blocked, owner, 1).await?;
        }
        let row = Black {
            owner_user_id: owner.clone(),
            block_user_id: blocked.clone(),
            create_time: self.now(),
            add_source: 0,
            operator_user_id: context.user_id().to_owned(),
            ex: request.ex.clone(),
        };
        self.store.add_black(&row).await?;
        self.friends_changed(&[owner]).await;
        let tips = BlackAddedTips { from_to_user_id: pair(owner, blocked) };
        notification::tell(&self.peers, context, owner, To::User(blocked), kind::BLACK_ADDED, &tips).await;
        Ok(AddBlackResp {})
    }

    async fn remove_black(&self, context: &Context, request: RemoveBlackReq) -> Result<RemoveBlackResp> {
        let (owner, blocked) = (&request.owner_user_id, &request.black_user_id);
        check::non_empty("ownerUserID", owner)?;
        check::non_empty("blackUserID", blocked)?;
        context.require_self("ownerUserID", owner)?;
        let removed = self.store.remove_black(owner, blocked).await;
        self.friends_changed(&[owner]).await;
        if !removed? {
            return Err(
                ErrorCode::RecordNotFound.with(format!("{blocked} is not on the block list of {owner}"))
            );
        }
        let tips = BlackDeletedTips { from_to_user_id: pair(owner, blocked) };
        notification::tell(&self.peers, context, owner, To::User(blocked), kind::BLACK_DELETED, &tips).await;
        let body = json!({ "ownerUserID": owner, "blackUserID": blocked });
        self.webhooks.after(context, Hook::AfterRemoveBlack, body).await;
        Ok(RemoveBlackResp {})
    }

    async fn black_page(
        &self,
        context: &Context,
        request: GetPaginationBlacksReq,
    ) -> Result<GetPaginationBlacksResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let (rows, total) =
            self.store.black_page(&request.user_id, Page::parse(request.pagination.as_ref())?).await?;
        let blacks = convert::blacks(&self.store, rows).await?;
        Ok(GetPaginationBlacksResp { blacks, total: i32::try_from(total).unwrap_or(i32::MAX) })
    }
}
