//! All groups in order of their ids, for administrators: a page continues behind a key, so it costs the same wherever it is.

use protocol::{
    Error, Result, check,
    extension::{ListGroupsReq, ListGroupsResp},
};
use rpc::Context;

use crate::Groups;

impl Groups {
    pub(crate) async fn list(&self, context: &Context, request: ListGroupsReq) -> Result<ListGroupsResp> {
        context.require_admin()?;
        check::at_most("prefix", &request.prefix, check::MAX_ID_BYTES)?;
        check::at_most("afterGroupID", &request.after_group_id, check::MAX_ID_BYTES)?;
        let limit = request.limit;
        if !(1..=protocol::bounds::LISTED).contains(&limit) {
            return Err(Error::args(format!("limit must be between 1 and {}", protocol::bounds::LISTED)));
        }
        let found = self.store.groups_after(&request.prefix, &request.after_group_id, limit.into()).await?;
        Ok(ListGroupsResp { groups: self.infos_of(&found).await? })
    }
}
