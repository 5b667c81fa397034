//! All calls to the other services. Those of a page are made as the administrator who signed in, so the services check his rights as they
//! do for a request with his token.

use std::sync::Arc;

use config::Config;
use model::platform::Platform;
use protocol::{
    ErrorCode, Request, Result,
    auth::{ForceLogoutReq, GetAdminTokenReq, ParseTokenReq},
    conversation::{GetOwnerConversationReq, GetOwnerConversationResp},
    extension::{
        BanUserReq, DeleteObjectReq, ListGroupsReq, ListHooksReq, ListObjectsReq, ListObjectsResp,
        ListUsersReq, ListedHook, ListedUser, PageFindDisableUsersReq, PageFindDisableUsersResp,
        ReplayHooksReq, UnbanUserReq, UnregisterUserReq, UnregisterUserResp,
    },
    group::{
        CancelMuteGroupMemberReq, CancelMuteGroupReq, DismissGroupReq, GetGroupMemberListReq,
        GetGroupMemberListResp, GetGroupsInfoReq, GetJoinedGroupListReq, GetJoinedGroupListResp,
        KickGroupMemberReq, MuteGroupMemberReq, MuteGroupReq,
    },
    internal::RevokeTokenReq,
    msg::{GetConversationsHasReadAndMaxSeqReq, RevokeMsgReq, SendMsgReq},
    msggateway::GetUsersOnlineStatusReq,
    sdkws::{GroupInfo, MsgData, PullMessageBySeqsReq, RequestPagination, SeqRange},
    third::{DeleteLogsReq, SearchLogsReq, SearchLogsResp},
    user::{AddNotificationAccountReq, SearchNotificationAccountReq, SearchNotificationAccountResp},
};
use rpc::{Context, Peers};

/// The other services.
pub(crate) struct Im {
    peers: Peers,
    config: Arc<Config>,
}

/// A connection of a user.
pub(crate) struct Connection {
    pub(crate) platform: i32,
    pub(crate) id: String,
    pub(crate) is_background: bool,
}

fn page(number: i32, rows: i32) -> Option<RequestPagination> {
    Some(RequestPagination { page_number: number, show_number: rows })
}

impl Im {
    pub(crate) fn new(peers: Peers, config: Arc<Config>) -> Self {
        Self { peers, config }
    }

    /// The call of an IM administrator.
    pub(crate) fn context(&self, user: &str, operation_id: &str) -> Context {
        Context::verified(&self.config, user, Platform::ADMIN.number(), operation_id)
    }

    /// The IM administrator that administrators of the account service act as.
    pub(crate) fn first_administrator(&self) -> &str {
        self.config.admin_user_ids.first().map_or("", String::as_str)
    }

    async fn call<R: Request>(&self, context: &Context, request: &R) -> Result<R::Response> {
        self.peers.call(context, request).await
    }

    /// A token of an IM administrator, for a secret that somebody typed.
    pub(crate) async fn token(&self, operation_id: &str, user: &str, secret: &str) -> Result<String> {
        let request = GetAdminTokenReq { secret: secret.to_owned(), user_id: user.to_owned() };
        let context = Context::anonymous(operation_id);
        let answer = self.call(&context, &request).await?;
        Ok(answer.token)
    }

    /// A token of the first IM administrator, for a session of somebody whom the account service knows.
    pub(crate) async fn own_token(&self, operation_id: &str) -> Result<String> {
        let secret = self.config.api_secrets().next().unwrap_or_default().to_owned();
        self.token(operation_id, self.first_administrator(), &secret).await
    }

    /// The IM administrator of a token.
    pub(crate) async fn administrator_of(&self, operation_id: &str, token: &str) -> Result<String> {
        let request = ParseTokenReq { token: token.to_owned() };
        let context = Context::anonymous(operation_id);
        let parsed = self.call(&context, &request).await?;
        let known = Context::verified(&self.config, &parsed.user_id, parsed.platform_id, operation_id);
        if known.require_admin().is_err() {
            return Err(ErrorCode::TokenUnknown.with("the token is not an administrator's"));
        }
        Ok(parsed.user_id)
    }

    /// Ends a token, wherever it is used.
    pub(crate) async fn end_token(&self, operation_id: &str, user: &str, token: &str) -> Result<()> {
        let request = RevokeTokenReq {
            user_id: user.to_owned(),
            token_digest: tokens::digest(token),
            ..Default::default()
        };
        let context = Context::system(operation_id);
        self.call(&context, &request).await.map(|_| ())
    }

    /// Users in order of their ids.
    pub(crate) async fn users(
        &self,
        context: &Context,
        prefix: &str,
        after: &str,
        limit: i32,
    ) -> Result<Vec<ListedUser>> {
        let request = ListUsersReq { prefix: prefix.to_owned(), after_user_id: after.to_owned(), limit };
        let answer = self.call(context, &request).await?;
        Ok(answer.users)
    }

    /// One user.
    pub(crate) async fn user(&self, context: &Context, id: &str) -> Result<ListedUser> {
        let found = self.users(context, id, "", 1).await?.into_iter().next();
        found
            .filter(|listed| listed.user.as_ref().is_some_and(|user| user.user_id == id))
            .ok_or_else(|| ErrorCode::UserNotFound.with(format!("user {id} is not registered")))
    }

    /// The open connections of a user, and whether every gateway has answered.
    pub(crate) async fn connections(&self, context: &Context, user: &str) -> (Vec<Connection>, bool) {
        let request = GetUsersOnlineStatusReq { user_ids: vec![user.to_owned()] };
        let (answers, failure) = self.peers.every_gateway(context, &request).await;
        let users = answers.into_iter().flat_map(|answer| answer.success_result);
        let open = users.filter(|found| found.user_id == user).flat_map(|found| found.detail_platform_status);
        let connection = |open: protocol::msggateway::get_users_online_status_resp::SuccessDetail| {
            Connection { platform: open.platform_id, id: open.conn_id, is_background: open.is_background }
        };
        (open.map(connection).collect(), failure.is_none())
    }

    /// Ends all tokens and connections of a user, on one platform or on all.
    pub(crate) async fn force_out(&self, context: &Context, user: &str, platform: Option<i32>) -> Result<()> {
        let platforms = match platform {
            Some(one) => one..=one,
            None => Platform::NUMBERS,
        };
        let ended = platforms.map(|platform_id| async move {
            let request = ForceLogoutReq { user_id: user.to_owned(), platform_id };
            self.call(context, &request).await
        });
        futures::future::try_join_all(ended).await.map(|_done| ())
    }

    pub(crate) async fn ban(&self, context: &Context, user: &str) -> Result<()> {
        let request = BanUserReq { user_ids: vec![user.to_owned()] };
        self.call(context, &request).await.map(|_| ())
    }

    pub(crate) async fn unban(&self, context: &Context, user: &str) -> Result<()> {
        let request = UnbanUserReq { user_ids: vec![user.to_owned()] };
        self.call(context, &request).await.map(|_| ())
    }

    /// Groups in order of their ids.
    pub(crate) async fn groups(
        &self,
        context: &Context,
        prefix: &str,
        after: &str,
        limit: i32,
    ) -> Result<Vec<GroupInfo>> {
        let request = ListGroupsReq { prefix: prefix.to_owned(), after_group_id: after.to_owned(), limit };
        let answer = self.call(context, &request).await?;
        Ok(answer.groups)
    }

    /// One group.
    pub(crate) async fn group(&self, context: &Context, id: &str) -> Result<GroupInfo> {
        let request = GetGroupsInfoReq { group_ids: vec![id.to_owned()] };
        let answer = self.call(context, &request).await?;
        let found = answer.group_infos.into_iter().next();
        found.ok_or_else(|| ErrorCode::GroupNotFound.with(format!("group {id} does not exist")))
    }

    /// A page of a group's members.
    pub(crate) async fn members(
        &self,
        context: &Context,
        group: &str,
        number: i32,
        rows: i32,
    ) -> Result<GetGroupMemberListResp> {
        let request = GetGroupMemberListReq {
            pagination: page(number, rows),
            group_id: group.to_owned(),
            ..Default::default()
        };
        self.call(context, &request).await
    }

    /// A page of the groups that a user is in.
    pub(crate) async fn joined(
        &self,
        context: &Context,
        user: &str,
        number: i32,
        rows: i32,
    ) -> Result<GetJoinedGroupListResp> {
        let request = GetJoinedGroupListReq { pagination: page(number, rows), from_user_id: user.to_owned() };
        self.call(context, &request).await
    }

    pub(crate) async fn mute_group(&self, context: &Context, group: &str, is_muted: bool) -> Result<()> {
        let group_id = group.to_owned();
        if is_muted {
            let request = MuteGroupReq { group_id };
            self.call(context, &request).await.map(|_| ())
        } else {
            let request = CancelMuteGroupReq { group_id };
            self.call(context, &request).await.map(|_| ())
        }
    }

    /// Mutes a member for so many seconds; 0: lets him write again.
    pub(crate) async fn mute_member(
        &self,
        context: &Context,
        group: &str,
        user: &str,
        muted_seconds: u32,
    ) -> Result<()> {
        let (group_id, user_id) = (group.to_owned(), user.to_owned());
        if muted_seconds > 0 {
            let request = MuteGroupMemberReq { group_id, user_id, muted_seconds };
            self.call(context, &request).await.map(|_| ())
        } else {
            let request = CancelMuteGroupMemberReq { group_id, user_id };
            self.call(context, &request).await.map(|_| ())
        }
    }

    pub(crate) async fn remove_member(&self, context: &Context, group: &str, user: &str) -> Result<()> {
        let request = KickGroupMemberReq {
            group_id: group.to_owned(),
            kicked_user_ids: vec![user.to_owned()],
            ..Default::default()
        };
        self.call(context, &request).await.map(|_| ())
    }

    pub(crate) async fn dismiss(&self, context: &Context, group: &str) -> Result<()> {
        let request = DismissGroupReq { group_id: group.to_owned(), ..Default::default() };
        self.call(context, &request).await.map(|_| ())
    }

    /// A page of a user's conversations.
    pub(crate) async fn conversations(
        &self,
        context: &Context,
        user: &str,
        number: i32,
        rows: i32,
    ) -> Result<GetOwnerConversationResp> {
        let request = GetOwnerConversationReq { user_id: user.to_owned(), pagination: page(number, rows) };
        self.call(context, &request).await
    }

    /// The newest seq of a conversation that a user sees; 0 where he sees none.
    pub(crate) async fn newest_seq(&self, context: &Context, user: &str, conversation: &str) -> Result<i64> {
        let request = GetConversationsHasReadAndMaxSeqReq {
            user_id: user.to_owned(),
            conversation_ids: vec![conversation.to_owned()],
            ..Default::default()
        };
        let answer = self.call(context, &request).await?;
        Ok(answer.seqs.get(conversation).map_or(0, |seqs| seqs.max_seq))
    }

    /// The messages of a range of seqs as a user sees them, ascending; fewer when they are large.
    pub(crate) async fn messages(
        &self,
        context: &Context,
        user: &str,
        conversation: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Vec<MsgData>> {
        let (begin, end) = range.into_inner();
        let range = SeqRange { conversation_id: conversation.to_owned(), begin, end, num: end - begin + 1 };
        let request =
            PullMessageBySeqsReq { user_id: user.to_owned(), seq_ranges: vec![range], ..Default::default() };
        let answer = self.call(context, &request).await?;
        let mut messages: Vec<MsgData> = answer
            .msgs
            .into_iter()
            .chain(answer.notification_msgs)
            .filter(|(id, _)| id == conversation)
            .flat_map(|(_, pulled)| pulled.msgs)
            .collect();
        messages.sort_unstable_by_key(|message| message.seq);
        Ok(messages)
    }

    pub(crate) async fn revoke(&self, context: &Context, conversation: &str, seq: i64) -> Result<()> {
        let request = RevokeMsgReq {
            conversation_id: conversation.to_owned(),
            seq,
            user_id: context.user_id().to_owned(),
        };
        self.call(context, &request).await.map(|_| ())
    }

    /// A page of the log files of a range of time in ms, newest first.
    pub(crate) async fn logs(
        &self,
        context: &Context,
        keyword: &str,
        created: std::ops::Range<i64>,
        number: i32,
        rows: i32,
    ) -> Result<SearchLogsResp> {
        let request = SearchLogsReq {
            keyword: keyword.to_owned(),
            start_time: created.start,
            end_time: created.end,
            pagination: page(number, rows),
        };
        self.call(context, &request).await
    }

    pub(crate) async fn delete_log(&self, context: &Context, log: &str) -> Result<()> {
        let request = DeleteLogsReq { log_ids: vec![log.to_owned()] };
        self.call(context, &request).await.map(|_| ())
    }

    /// A page of the system accounts whose id is a text, or whose name has it.
    pub(crate) async fn system_accounts(
        &self,
        context: &Context,
        keyword: &str,
        number: i32,
        rows: i32,
    ) -> Result<SearchNotificationAccountResp> {
        let request = SearchNotificationAccountReq {
            keyword: keyword.to_owned(),
            app_manager_level: None,
            pagination: page(number, rows),
        };
        self.call(context, &request).await
    }

    /// Creates a system account; its id.
    pub(crate) async fn add_system_account(
        &self,
        context: &Context,
        request: AddNotificationAccountReq,
    ) -> Result<String> {
        self.call(context, &request).await.map(|added| added.user_id)
    }

    /// Sends a message; one with the same sender, receiver and `client_msg_id` is stored once.
    pub(crate) async fn send(&self, context: &Context, message: MsgData) -> Result<()> {
        let request = SendMsgReq { msg_data: Some(message) };
        self.call(context, &request).await.map(|_| ())
    }

    /// Begins to erase a user, or says how far that is.
    pub(crate) async fn erase(&self, context: &Context, user: &str) -> Result<UnregisterUserResp> {
        let request = UnregisterUserReq { user_ids: vec![user.to_owned()] };
        self.call(context, &request).await
    }

    /// A page of the users with a status: 1 banned, 2 erased or being erased.
    pub(crate) async fn disabled(
        &self,
        context: &Context,
        status: i32,
        number: i32,
        rows: i32,
    ) -> Result<PageFindDisableUsersResp> {
        let request = PageFindDisableUsersReq { user_ids: vec![], status, pagination: page(number, rows) };
        self.call(context, &request).await
    }

    /// Some of a user's files, in order of their names, and what was uploaded today.
    pub(crate) async fn files(
        &self,
        context: &Context,
        user: &str,
        after: &str,
        limit: i32,
    ) -> Result<ListObjectsResp> {
        let request = ListObjectsReq { user_id: user.to_owned(), after_name: after.to_owned(), limit };
        self.call(context, &request).await
    }

    /// Deletes a file; whether its content stays, because others have it too.
    pub(crate) async fn delete_file(&self, context: &Context, name: &str) -> Result<bool> {
        let request = DeleteObjectReq { name: name.to_owned() };
        self.call(context, &request).await.map(|deleted| deleted.is_shared)
    }

    /// Some of the hooks that were set aside, in order of their ids.
    pub(crate) async fn hooks_aside(
        &self,
        context: &Context,
        after: &str,
        limit: i32,
    ) -> Result<Vec<ListedHook>> {
        let request = ListHooksReq { after_id: after.to_owned(), limit };
        self.call(context, &request).await.map(|listed| listed.hooks)
    }

    /// Has hooks that were set aside tried now.
    pub(crate) async fn replay_hooks(&self, context: &Context, ids: Vec<String>) -> Result<()> {
        self.call(context, &ReplayHooksReq { ids }).await.map(|_| ())
    }
}
