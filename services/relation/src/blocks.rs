//! Block lists. Messages of blocked users are refused by msg (`services/msg/src/send.rs`).

use config::Hook;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    relation::{
        AddBlackReq, AddBlackResp, GetPaginationBlacksReq, GetPaginationBlacksResp, RemoveBlackReq,
        RemoveBlackResp,
    },
    sdkws::{BlackAddedTips, BlackDeletedTips},
};
use rpc::Context;
use serde_json::json;
use store::{Page, blacks::Black, row_limits::Room};

use crate::{Relations, convert, pair};

impl Relations {
    pub(crate) async fn add_black(&self, context: &Context, request: AddBlackReq) -> Result<AddBlackResp> {
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

    pub(crate) async fn remove_black(
        &self,
        context: &Context,
        request: RemoveBlackReq,
    ) -> Result<RemoveBlackResp> {
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

    pub(crate) async fn black_page(
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
