//! User commands: items that an app stores for its user under (type, uuid) and shares among the user's devices.

use bson::Document;
use notification::To;
use protocol::{
    Error, ErrorCode, Result, check, content_type as kind,
    sdkws::{UserCommandAddTips, UserCommandDeleteTips, UserCommandUpdateTips},
    user::{
        AllCommandInfoResp, CommandInfoResp, ProcessUserCommandAddReq, ProcessUserCommandAddResp,
        ProcessUserCommandDeleteReq, ProcessUserCommandDeleteResp, ProcessUserCommandGetAllReq,
        ProcessUserCommandGetAllResp, ProcessUserCommandGetReq, ProcessUserCommandGetResp,
        ProcessUserCommandUpdateReq, ProcessUserCommandUpdateResp,
    },
};
use rpc::Context;
use store::{DateTime, commands::Command, row_limits::Room};

use crate::{MAX_EX_BYTES, Users};

fn check_key(context: &Context, user: &str, kind: i32, uuid: &str) -> Result<()> {
    check::non_empty("userID", user)?;
    context.require_self("userID", user)?;
    if kind == 0 {
        return Err(Error::args("type must not be 0"));
    }
    check::non_empty("uuid", uuid)?;
    check::at_most("uuid", uuid, protocol::bounds::KEY_BYTES)
}

fn missing(kind: i32, uuid: &str) -> Error {
    ErrorCode::RecordNotFound.with(format!("no item of type {kind} with uuid {uuid}"))
}

impl Users {
    pub(crate) async fn add_command(
        &self,
        context: &Context,
        request: ProcessUserCommandAddReq,
    ) -> Result<ProcessUserCommandAddResp> {
        let user = request.user_id;
        check_key(context, &user, request.r#type, &request.uuid)?;
        let value = request.value.map(|value| value.value).unwrap_or_default();
        let ex = request.ex.map(|ex| ex.value).unwrap_or_default();
        check::at_most("value", &value, MAX_EX_BYTES)?;
        check::at_most("ex", &ex, MAX_EX_BYTES)?;
        self.store.check_room(Room::Commands, &user, 1).await?;
        let row = Command {
            user_id: user.clone(),
            kind: request.r#type,
            uuid: request.uuid,
            create_time: DateTime::from_millis(self.clock.now_ms()),
            value,
            ex,
        };
        if !self.store.add_command(&row).await? {
            return Err(Error::args(format!(
                "an item of type {} with uuid {} already exists",
                row.kind, row.uuid
            )));
        }
        let tips = UserCommandAddTips { from_user_id: user.clone(), to_user_id: user.clone() };
        notification::tell(&self.peers, context, &user, To::User(&user), kind::COMMAND_ADDED, &tips).await;
        Ok(ProcessUserCommandAddResp {})
    }

    pub(crate) async fn update_command(
        &self,
        context: &Context,
        request: ProcessUserCommandUpdateReq,
    ) -> Result<ProcessUserCommandUpdateResp> {
        let user = request.user_id;
        check_key(context, &user, request.r#type, &request.uuid)?;
        let mut fields = Document::new();
        for (column, value) in [("value", request.value), ("ex", request.ex)] {
            if let Some(text) = value {
                check::at_most(column, &text.value, MAX_EX_BYTES)?;
                fields.insert(column, text.value);
            }
        }
        if fields.is_empty() {
            return Err(Error::args("one of value, ex is required"));
        }
        if !self.store.update_command(&user, request.r#type, &request.uuid, fields).await? {
            return Err(missing(request.r#type, &request.uuid));
        }
        let tips = UserCommandUpdateTips { from_user_id: user.clone(), to_user_id: user.clone() };
        notification::tell(&self.peers, context, &user, To::User(&user), kind::COMMAND_UPDATED, &tips).await;
        Ok(ProcessUserCommandUpdateResp {})
    }

    pub(crate) async fn delete_command(
        &self,
        context: &Context,
        request: ProcessUserCommandDeleteReq,
    ) -> Result<ProcessUserCommandDeleteResp> {
        let user = request.user_id;
        check_key(context, &user, request.r#type, &request.uuid)?;
        if !self.store.delete_command(&user, request.r#type, &request.uuid).await? {
            return Err(missing(request.r#type, &request.uuid));
        }
        let tips = UserCommandDeleteTips { from_user_id: user.clone(), to_user_id: user.clone() };
        notification::tell(&self.peers, context, &user, To::User(&user), kind::COMMAND_DELETED, &tips).await;
        Ok(ProcessUserCommandDeleteResp {})
    }

    pub(crate) async fn commands_of_type(
        &self,
        context: &Context,
        request: ProcessUserCommandGetReq,
    ) -> Result<ProcessUserCommandGetResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        if request.r#type == 0 {
            return Err(Error::args("type must not be 0"));
        }
        let rows = self.store.commands(&request.user_id, Some(request.r#type)).await?;
        let info = |row: Command| CommandInfoResp {
            r#type: row.kind,
            create_time: row.create_time.timestamp_millis() / 1000,
            uuid: row.uuid,
            value: row.value,
            ex: row.ex,
        };
        Ok(ProcessUserCommandGetResp { command_resp: rows.into_iter().map(info).collect() })
    }

    pub(crate) async fn all_commands(
        &self,
        context: &Context,
        request: ProcessUserCommandGetAllReq,
    ) -> Result<ProcessUserCommandGetAllResp> {
        check::non_empty("userID", &request.user_id)?;
        context.require_self("userID", &request.user_id)?;
        let rows = self.store.commands(&request.user_id, None).await?;
        let info = |row: Command| AllCommandInfoResp {
            r#type: row.kind,
            create_time: row.create_time.timestamp_millis() / 1000,
            uuid: row.uuid,
            value: row.value,
            ex: row.ex,
        };
        Ok(ProcessUserCommandGetAllResp { command_resp: rows.into_iter().map(info).collect() })
    }
}
