//! All users in order of their ids, for administrators: a page continues behind a key, so it costs the same wherever it is.

use protocol::{
    Error, Result, check,
    extension::{ListUsersReq, ListUsersResp, ListedUser},
};
use rpc::Context;

use crate::Users;

impl Users {
    pub(crate) async fn list(&self, context: &Context, request: ListUsersReq) -> Result<ListUsersResp> {
        context.require_admin()?;
        check::at_most("prefix", &request.prefix, check::MAX_ID_BYTES)?;
        check::at_most("afterUserID", &request.after_user_id, check::MAX_ID_BYTES)?;
        let limit = request.limit;
        if !(1..=protocol::bounds::LISTED).contains(&limit) {
            return Err(Error::args(format!("limit must be between 1 and {}", protocol::bounds::LISTED)));
        }
        let found = self.store.users_after(&request.prefix, &request.after_user_id, limit.into()).await?;
        let listed =
            |user: store::users::User| ListedUser { banned: user.is_banned(), user: Some(user.to_info()) };
        Ok(ListUsersResp { users: found.into_iter().map(listed).collect() })
    }
}
