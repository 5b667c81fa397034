//! Bans: who is banned can neither log in nor send until the ban is lifted. Messages to banned users are stored.

use futures::future::join_all;
use model::platform::Platform;
use protocol::{
    Error, Result,
    auth::ForceLogoutReq,
    extension::{
        BanUserReq, BanUserResp, DisabledUser, PageFindDisableUsersReq, PageFindDisableUsersResp,
        UnbanUserReq, UnbanUserResp,
    },
    lists,
};
use rpc::Context;
use store::{
    Page,
    erasures::Erasure,
    users::{BANNED, User},
};

use crate::{Users, may_erase};

/// Most users in one call.
const MAX_USERS: usize = protocol::bounds::DISABLED_USERS;
/// Users whose sessions are ended at a time.
const AT_ONCE: usize = 10;
/// The status of users who were erased or are being erased.
const UNREGISTERED: i32 = 2;

impl Users {
    /// The ban comes first: a client that is logged out and returns at once is refused. Repeating the call completes what failed.
    pub(crate) async fn ban(&self, context: &Context, request: BanUserReq) -> Result<BanUserResp> {
        let ids = self.people(context, request.user_ids).await?;
        self.set_banned(&ids, true).await?;
        // One who cannot be logged out now does not keep the others logged in.
        let mut failed = None;
        for some in ids.chunks(AT_ONCE) {
            for id in some {
                tracing::info!(target: "audit", user = id, by = context.user_id(), "user.banned");
            }
            let ended = join_all(some.iter().map(|id| self.end_sessions(context, id))).await;
            failed = failed.or(ended.into_iter().find_map(Result::err));
        }
        failed.map_or(Ok(BanUserResp {}), Err)
    }

    pub(crate) async fn unban(&self, context: &Context, request: UnbanUserReq) -> Result<UnbanUserResp> {
        let ids = self.people(context, request.user_ids).await?;
        self.set_banned(&ids, false).await?;
        for id in &ids {
            tracing::info!(target: "audit", user = id, by = context.user_id(), "user.unbanned");
        }
        Ok(UnbanUserResp {})
    }

    /// The users that an administrator names, who must be registered people.
    async fn people(&self, context: &Context, mut ids: Vec<String>) -> Result<Vec<String>> {
        context.require_admin()?;
        lists::distinct_some("userIDs", &mut ids, MAX_USERS)?;
        let users = self.store.users(&ids).await?;
        for id in &ids {
            let user = users.iter().find(|user| user.user_id == *id);
            may_erase(id, user, self.config.is_admin(id), None)?;
        }
        Ok(ids)
    }

    async fn set_banned(&self, ids: &[String], banned: bool) -> Result<()> {
        self.store.set_banned(ids, banned).await?;
        let scopes: Vec<String> = ids.iter().map(|id| format!("user:{id}")).collect();
        self.routes.facts_changed(&scopes).await;
        Ok(())
    }

    async fn end_sessions(&self, context: &Context, user: &str) -> Result<()> {
        let system = context.as_system();
        let told = join_all(Platform::NUMBERS.map(async |platform_id| {
            let request = ForceLogoutReq { user_id: user.to_owned(), platform_id };
            self.peers.call(&system, &request).await
        }));
        told.await.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(())
    }

    /// Banned users come before those who were unregistered.
    pub(crate) async fn disabled(
        &self,
        context: &Context,
        request: PageFindDisableUsersReq,
    ) -> Result<PageFindDisableUsersResp> {
        context.require_admin()?;
        let mut ids = request.user_ids;
        lists::distinct("userIDs", &mut ids, protocol::bounds::ITEMS)?;
        let page = Page::parse(request.pagination.as_ref())?;
        let wanted = Wanted::parse(request.status)?;
        let (mut users, mut total) = (vec![], 0);
        if wanted.banned {
            let (banned, count) = self.store.banned(&ids, page).await?;
            users.extend(banned.into_iter().map(banned_user));
            total = count;
        }
        if wanted.unregistered {
            // Where the page is full, only their number is wanted.
            let (rest, is_shown) = match page.behind(total, users.len()) {
                Some(rest) => (rest, true),
                None => (page, false),
            };
            let (erased, count) = self.store.erased(&ids, rest).await?;
            if is_shown {
                users.extend(erased.into_iter().map(unregistered_user));
            }
            total += count;
        }
        Ok(PageFindDisableUsersResp { users, total: i64::try_from(total).unwrap_or(i64::MAX) })
    }
}

/// Which users a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    banned: bool,
    unregistered: bool,
}

impl Wanted {
    fn parse(status: i32) -> Result<Self> {
        match status {
            0 => Ok(Self { banned: true, unregistered: true }),
            BANNED => Ok(Self { banned: true, unregistered: false }),
            UNREGISTERED => Ok(Self { banned: false, unregistered: true }),
            _ => Err(Error::args("status must be 1 (banned), 2 (unregistered) or 0 (both)")),
        }
    }
}

fn banned_user(user: User) -> DisabledUser {
    DisabledUser {
        create_time: store::millis(user.create_time),
        user_id: user.user_id,
        nickname: user.nickname,
        face_url: user.face_url,
        ex: user.ex,
        app_manger_level: user.app_manger_level,
        global_recv_msg_opt: user.global_recv_msg_opt,
        status: BANNED,
    }
}

fn unregistered_user(job: Erasure) -> DisabledUser {
    DisabledUser { user_id: job.user_id, status: UNREGISTERED, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_of_the_banned_the_unregistered_or_both() {
        let wanted = |status| Wanted::parse(status).map(|wanted| (wanted.banned, wanted.unregistered));
        assert_eq!(wanted(0).unwrap(), (true, true));
        assert_eq!(wanted(1).unwrap(), (true, false));
        assert_eq!(wanted(2).unwrap(), (false, true));
        assert!(wanted(3).unwrap_err().detail.contains("status"));
    }

    #[test]
    fn nothing_is_left_of_who_was_unregistered_but_the_id() {
        let user = unregistered_user(Erasure::new("ann", "root", "op", 5));
        assert_eq!((user.user_id.as_str(), user.status, user.create_time), ("ann", 2, 0));
        assert!(user.nickname.is_empty());
    }
}
