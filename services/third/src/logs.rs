//! Client logs: apps upload files to object storage and register them here.

use std::collections::HashMap;

use model::platform::Platform;
use protocol::{
    Error, ErrorCode, Result, check,
    third::{
        DeleteLogsReq, DeleteLogsResp, LogInfo, SearchLogsReq, SearchLogsResp, UploadLogsReq, UploadLogsResp,
    },
};
use rpc::Context;
use store::{DateTime, Page, client_logs::ClientLog, row_limits::Room, users::User};

use crate::Third;

/// Each is a row with all the texts of its request.
const MAX_FILES: usize = protocol::bounds::LOG_FILES;
/// Of each text, in bytes.
const MAX_TEXT: usize = protocol::bounds::NOTE_BYTES;

impl Third {
    pub(crate) async fn upload_logs(
        &self,
        context: &Context,
        request: UploadLogsReq,
    ) -> Result<UploadLogsResp> {
        if request.file_urls.is_empty() || request.file_urls.len() > MAX_FILES {
            return Err(Error::args(format!("fileURLs must have between 1 and {MAX_FILES} items")));
        }
        for (field, text) in
            [("appFramework", &request.app_framework), ("version", &request.version), ("ex", &request.ex)]
        {
            check::at_most(field, text, MAX_TEXT)?;
        }
        self.store.check_room(Room::ClientLogs, context.user_id(), request.file_urls.len() as u64).await?;
        let mut rows = Vec::with_capacity(request.file_urls.len());
        for file in request.file_urls {
            check::non_empty("fileURLs.URL", &file.url)?;
            check::at_most("fileURLs.URL", &file.url, MAX_TEXT)?;
            check::at_most("fileURLs.filename", &file.filename, MAX_TEXT)?;
            rows.push(ClientLog {
                log_id: rand::random_range(1_000_000_000_u64..10_000_000_000).to_string(),
                platform: request.platform,
                user_id: context.user_id().to_owned(),
                create_time: DateTime::from_millis(self.clock.now_ms()),
                url: file.url,
                file_name: file.filename,
                system_type: Platform::parse(request.platform).map_or("", Platform::name).to_owned(),
                app_framework: request.app_framework.clone(),
                version: request.version.clone(),
                ex: request.ex.clone(),
            });
        }
        self.store.add_client_logs(&rows).await?;
        Ok(UploadLogsResp {})
    }

    pub(crate) async fn delete_logs(
        &self,
        context: &Context,
        request: DeleteLogsReq,
    ) -> Result<DeleteLogsResp> {
        context.require_admin()?;
        check::ids("logIDs", &request.log_ids, protocol::bounds::ITEMS)?;
        let known = self.store.client_log_ids(&request.log_ids).await?;
        if let Some(unknown) = request.log_ids.iter().find(|id| !known.contains(id)) {
            return Err(ErrorCode::RecordNotFound.with(format!("no log {unknown}")));
        }
        self.store.delete_client_logs(&known).await?;
        Ok(DeleteLogsResp {})
    }

    pub(crate) async fn search_logs(
        &self,
        context: &Context,
        request: SearchLogsReq,
    ) -> Result<SearchLogsResp> {
        context.require_admin()?;
        let page = Page::parse(request.pagination.as_ref())?;
        let end = if request.end_time == 0 { self.clock.now_ms() + 1 } else { request.end_time };
        if request.start_time < 0 || end < request.start_time {
            return Err(Error::args("startTime must not be negative nor after endTime (ms)"));
        }
        let (rows, total) =
            self.store.client_log_page(&request.keyword, request.start_time..end, page).await?;
        let mut ids: Vec<String> = rows.iter().map(|row| row.user_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let users: HashMap<String, User> =
            self.store.users(&ids).await?.into_iter().map(|user| (user.user_id.clone(), user)).collect();
        let info = |row: ClientLog| LogInfo {
            nickname: users.get(&row.user_id).map(|user| user.nickname.clone()).unwrap_or_default(),
            user_id: row.user_id,
            platform: Platform::parse(row.platform).map_or("", Platform::name).to_owned(),
            url: row.url,
            create_time: row.create_time.timestamp_millis(),
            log_id: row.log_id,
            filename: row.file_name,
            system_type: row.system_type,
            ex: row.ex,
            version: row.version,
        };
        Ok(SearchLogsResp {
            logs_infos: rows.into_iter().map(info).collect(),
            total: u32::try_from(total).unwrap_or(u32::MAX),
        })
    }
}
