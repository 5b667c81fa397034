//! Client configuration: app settings set by administrators, per user or (empty userID) for all.

use protocol::{
    Error, Result, check, lists,
    user::{
        ClientConfig, DelUserClientConfigReq, DelUserClientConfigResp, GetUserClientConfigReq,
        GetUserClientConfigResp, PageUserClientConfigReq, PageUserClientConfigResp, SetUserClientConfigReq,
        SetUserClientConfigResp,
    },
};
use rpc::Context;
use store::Page;

use crate::{MAX_EX_BYTES, Users};

/// Most keys in one call.
const MAX_KEYS: usize = protocol::bounds::ITEMS;

impl Users {
    pub(crate) async fn client_config(
        &self,
        context: &Context,
        request: GetUserClientConfigReq,
    ) -> Result<GetUserClientConfigResp> {
        if !request.user_id.is_empty() {
            context.require_self("userID", &request.user_id)?;
        }
        let rows = self.store.client_config(&request.user_id).await?;
        Ok(GetUserClientConfigResp { configs: rows.into_iter().map(|row| (row.key, row.value)).collect() })
    }

    pub(crate) async fn set_client_config(
        &self,
        context: &Context,
        request: SetUserClientConfigReq,
    ) -> Result<SetUserClientConfigResp> {
        context.require_admin()?;
        if request.configs.is_empty() || request.configs.len() > MAX_KEYS {
            return Err(Error::args(format!("configs must have between 1 and {MAX_KEYS} keys")));
        }
        for (key, value) in &request.configs {
            check::non_empty("configs: a key", key)?;
            check::at_most("configs: a key", key, protocol::bounds::KEY_BYTES)?;
            check::at_most(&format!("configs.{key}"), value, MAX_EX_BYTES)?;
        }
        self.store.set_client_config(&request.user_id, &request.configs).await?;
        Ok(SetUserClientConfigResp {})
    }

    pub(crate) async fn delete_client_config(
        &self,
        context: &Context,
        mut request: DelUserClientConfigReq,
    ) -> Result<DelUserClientConfigResp> {
        context.require_admin()?;
        lists::distinct_some("keys", &mut request.keys, MAX_KEYS)?;
        self.store.delete_client_config(&request.user_id, &request.keys).await?;
        Ok(DelUserClientConfigResp {})
    }

    pub(crate) async fn client_config_page(
        &self,
        context: &Context,
        request: PageUserClientConfigReq,
    ) -> Result<PageUserClientConfigResp> {
        context.require_admin()?;
        let page = Page::parse(request.pagination.as_ref())?;
        let (rows, total) = self.store.client_config_page(&request.user_id, &request.key, page).await?;
        let configs = rows
            .into_iter()
            .map(|row| ClientConfig { key: row.key, user_id: row.user_id, value: row.value })
            .collect();
        Ok(PageUserClientConfigResp { total: i64::try_from(total).unwrap_or(i64::MAX), configs })
    }
}
