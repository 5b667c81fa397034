//! A console of its own for each test: the IM services as they answer, an account service on loopback, and browsers with cookies.

mod extras;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header},
    routing::{get, post},
};
use bytes::Bytes;
use config::{Config, Service};
use model::Clock;
use prost::Message;
use protocol::third::{DeleteLogsReq, LogInfo, SearchLogsReq, SearchLogsResp};
use protocol::{
    ErrorCode, Request as _, Result,
    auth::{ForceLogoutReq, GetAdminTokenReq, GetAdminTokenResp, ParseTokenReq, ParseTokenResp},
    conversation::{Conversation, GetOwnerConversationReq, GetOwnerConversationResp},
    extension::{
        BanUserReq, DeleteObjectReq, DeleteObjectResp, DisabledUser, ListGroupsReq, ListGroupsResp,
        ListHooksReq, ListHooksResp, ListObjectsReq, ListObjectsResp, ListUsersReq, ListUsersResp,
        ListedHook, ListedObject, ListedUser, PageFindDisableUsersReq, PageFindDisableUsersResp,
        ReplayHooksReq, UnbanUserReq, UnregisterUserReq, UnregisterUserResp,
    },
    group::{
        CancelMuteGroupMemberReq, CancelMuteGroupReq, DismissGroupReq, GetGroupMemberListReq,
        GetGroupMemberListResp, GetGroupsInfoReq, GetGroupsInfoResp, GetJoinedGroupListReq,
        GetJoinedGroupListResp, KickGroupMemberReq, MuteGroupMemberReq, MuteGroupReq,
    },
    internal::RevokeTokenReq,
    msg::{
        GetConversationsHasReadAndMaxSeqReq, GetConversationsHasReadAndMaxSeqResp, RevokeMsgReq, SendMsgReq,
        SendMsgResp, Seqs,
    },
    msggateway::{
        GetUsersOnlineStatusReq, GetUsersOnlineStatusResp,
        get_users_online_status_resp::{SuccessDetail, SuccessResult},
    },
    sdkws::{
        GroupInfo, GroupMemberFullInfo, MsgData, PullMessageBySeqsReq, PullMessageBySeqsResp, PullMsgs,
        UserInfo,
    },
    user::{
        AddNotificationAccountReq, AddNotificationAccountResp, NotificationAccountInfo,
        SearchNotificationAccountReq, SearchNotificationAccountResp,
    },
};
use rpc::{Context, Local, Peers};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{
    App, ConsoleMetrics, ConsoleService, Parts, broadcast::State as Broadcast, fields::link, http,
    sign_in::token_of,
};

/// The API secret.
pub(crate) const SECRET: &str = "an API secret";
const NOW: i64 = 1_700_000_000_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

#[derive(Default)]
struct Cluster {
    users: BTreeMap<String, ListedUser>,
    connections: Vec<(String, i32)>,
    groups: BTreeMap<String, (GroupInfo, Vec<GroupMemberFullInfo>)>,
    messages: BTreeMap<String, BTreeMap<i64, MsgData>>,
    tokens: BTreeMap<String, String>,
    calls: BTreeMap<String, usize>,
    forced_out: Vec<(String, i32)>,
    revoked: Vec<(String, i64, String)>,
    logs: Vec<LogInfo>,
    erased: Vec<String>,
    /// Whose, by name.
    files: BTreeMap<String, String>,
    hooks: BTreeSet<String>,
    replayed: Vec<String>,
    /// Who has a notification of which id.
    notified: BTreeSet<(String, String)>,
    /// To whom messages are refused.
    refused: BTreeSet<String>,
    /// From which id on messages are not answered; empty: none.
    away_from: String,
}

/// The IM services.
#[derive(Default)]
pub(crate) struct FakeIm(Mutex<Cluster>);

impl FakeIm {
    pub(crate) fn add_user(&self, id: &str, nickname: &str) {
        let user = UserInfo {
            user_id: id.into(),
            nickname: nickname.into(),
            create_time: NOW,
            ..Default::default()
        };
        lock(&self.0).users.insert(id.into(), ListedUser { user: Some(user), banned: false });
    }

    pub(crate) fn add_system_account(&self, id: &str, nickname: &str) {
        self.add_user(id, nickname);
        let mut state = lock(&self.0);
        state.users.get_mut(id).unwrap().user.as_mut().unwrap().app_manger_level = 3;
    }

    pub(crate) fn store_file(&self, user: &str, name: &str) {
        lock(&self.0).files.insert(name.into(), user.into());
    }

    pub(crate) fn set_aside(&self, id: &str) {
        lock(&self.0).hooks.insert(id.into());
    }

    pub(crate) fn replayed(&self) -> Vec<String> {
        lock(&self.0).replayed.clone()
    }

    pub(crate) fn notified(&self) -> Vec<(String, String)> {
        lock(&self.0).notified.iter().cloned().collect()
    }

    pub(crate) fn refuse(&self, user: &str) {
        lock(&self.0).refused.insert(user.into());
    }

    pub(crate) fn unreachable_from(&self, user: &str) {
        lock(&self.0).away_from = user.into();
    }

    pub(crate) fn connect(&self, user: &str, platform: i32) {
        lock(&self.0).connections.push((user.into(), platform));
    }

    /// The first member is the owner.
    pub(crate) fn add_group(&self, id: &str, name: &str, members: &[&str]) {
        let member = |(index, user): (usize, &&str)| GroupMemberFullInfo {
            group_id: id.into(),
            user_id: (*user).into(),
            role_level: if index == 0 { 100 } else { 20 },
            join_time: NOW,
            ..Default::default()
        };
        let members: Vec<_> = members.iter().enumerate().map(member).collect();
        let group = GroupInfo {
            group_id: id.into(),
            group_name: name.into(),
            owner_user_id: members[0].user_id.clone(),
            member_count: members.len() as u32,
            ..Default::default()
        };
        lock(&self.0).groups.insert(id.into(), (group, members));
    }

    pub(crate) fn write(&self, conversation: &str, seq: i64, text: &str) {
        let message = MsgData {
            seq,
            send_id: "ann".into(),
            content_type: 101,
            content: json!({ "content": text }).to_string().into(),
            send_time: NOW,
            ..Default::default()
        };
        lock(&self.0).messages.entry(conversation.into()).or_default().insert(seq, message);
    }

    pub(crate) fn upload(&self, id: &str, user: &str, url: &str) {
        let log = LogInfo {
            log_id: id.into(),
            user_id: user.into(),
            url: url.into(),
            create_time: NOW,
            ..Default::default()
        };
        lock(&self.0).logs.push(log);
    }

    pub(crate) fn forced_out(&self) -> Vec<(String, i32)> {
        lock(&self.0).forced_out.clone()
    }

    pub(crate) fn revoked(&self) -> Vec<(String, i64, String)> {
        lock(&self.0).revoked.clone()
    }

    pub(crate) fn calls<R: protocol::Request>(&self) -> usize {
        lock(&self.0).calls.get(R::METHOD).copied().unwrap_or_default()
    }
}

fn read<M: Message + Default>(payload: Bytes) -> M {
    M::decode(payload).unwrap()
}

fn told(answer: &impl Message) -> Result<Bytes> {
    Ok(answer.encode_to_vec().into())
}

#[rpc::async_trait]
impl Local for FakeIm {
    async fn call(
        &self,
        context: &Context,
        _: (Service, &str),
        method: &str,
        payload: Bytes,
    ) -> Result<Bytes> {
        let mut state = lock(&self.0);
        *state.calls.entry(method.into()).or_default() += 1;
        match method {
            GetAdminTokenReq::METHOD | ParseTokenReq::METHOD => {}
            RevokeTokenReq::METHOD => context.require_system()?,
            _ => context.require_admin()?,
        }
        state.answer(context, method, payload)
    }
}

impl Cluster {
    fn answer(&mut self, context: &Context, method: &str, payload: Bytes) -> Result<Bytes> {
        match method {
            GetAdminTokenReq::METHOD => self.get_token(read(payload)),
            ParseTokenReq::METHOD => {
                let token = read::<ParseTokenReq>(payload).token;
                let user_id = self.tokens.get(&token).cloned();
                let user_id = user_id.ok_or_else(|| ErrorCode::TokenNotExist.with("unknown"))?;
                told(&ParseTokenResp { user_id, platform_id: 10, expire_time_seconds: 1 })
            }
            RevokeTokenReq::METHOD => {
                let digest = read::<RevokeTokenReq>(payload).token_digest;
                self.tokens.retain(|token, _| tokens::digest(token) != digest);
                Ok(Bytes::new())
            }
            ListUsersReq::METHOD => {
                let ListUsersReq { prefix, after_user_id, limit } = read(payload);
                let found =
                    self.users.iter().filter(|(id, _)| id.starts_with(&prefix) && **id > after_user_id);
                told(&ListUsersResp {
                    users: found.take(limit as usize).map(|(_, user)| user.clone()).collect(),
                })
            }
            GetUsersOnlineStatusReq::METHOD => told(&self.connections()),
            ForceLogoutReq::METHOD => {
                let ForceLogoutReq { user_id, platform_id } = read(payload);
                self.forced_out.push((user_id, platform_id));
                Ok(Bytes::new())
            }
            BanUserReq::METHOD => self.set_banned(&read::<BanUserReq>(payload).user_ids, true),
            UnbanUserReq::METHOD => self.set_banned(&read::<UnbanUserReq>(payload).user_ids, false),
            UnregisterUserReq::METHOD
            | PageFindDisableUsersReq::METHOD
            | SearchNotificationAccountReq::METHOD
            | AddNotificationAccountReq::METHOD => self.of_accounts(method, payload),
            ListObjectsReq::METHOD
            | DeleteObjectReq::METHOD
            | ListHooksReq::METHOD
            | ReplayHooksReq::METHOD => self.of_storage(method, payload),
            SendMsgReq::METHOD => self.send(read::<SendMsgReq>(payload).msg_data.unwrap()),
            _ if method.contains("roup") => self.of_groups(method, payload),
            _ => self.of_messages(context, method, payload),
        }
    }

    fn get_token(&mut self, request: GetAdminTokenReq) -> Result<Bytes> {
        if request.secret != SECRET {
            return Err(protocol::Error::no_permission("wrong"));
        }
        if request.user_id == "ann" {
            return Err(protocol::Error::args("no administrator"));
        }
        let token = format!("im-token {} {}", self.tokens.len(), model::random_id());
        self.tokens.insert(token.clone(), request.user_id);
        told(&GetAdminTokenResp { token, expire_time_seconds: 1 })
    }

    fn set_banned(&mut self, users: &[String], banned: bool) -> Result<Bytes> {
        for user in users {
            self.users.get_mut(user).unwrap().banned = banned;
        }
        Ok(Bytes::new())
    }

    fn connections(&self) -> GetUsersOnlineStatusResp {
        let result = |(user, platform): &(String, i32)| SuccessResult {
            user_id: user.clone(),
            status: 1,
            detail_platform_status: vec![SuccessDetail {
                platform_id: *platform,
                conn_id: "c1".into(),
                ..Default::default()
            }],
        };
        GetUsersOnlineStatusResp {
            success_result: self.connections.iter().map(result).collect(),
            failed_result: vec![],
        }
    }

    fn of_groups(&mut self, method: &str, payload: Bytes) -> Result<Bytes> {
        let mut set = |group: &str, status: i32| {
            self.groups.get_mut(group).unwrap().0.status = status;
            Ok(Bytes::new())
        };
        match method {
            MuteGroupReq::METHOD => set(&read::<MuteGroupReq>(payload).group_id, 3),
            CancelMuteGroupReq::METHOD => set(&read::<CancelMuteGroupReq>(payload).group_id, 0),
            DismissGroupReq::METHOD => set(&read::<DismissGroupReq>(payload).group_id, 2),
            MuteGroupMemberReq::METHOD => {
                let MuteGroupMemberReq { group_id, user_id, muted_seconds } = read(payload);
                self.member(&group_id, &user_id).mute_end_time = NOW + i64::from(muted_seconds) * 1000;
                Ok(Bytes::new())
            }
            CancelMuteGroupMemberReq::METHOD => {
                let CancelMuteGroupMemberReq { group_id, user_id } = read(payload);
                self.member(&group_id, &user_id).mute_end_time = 0;
                Ok(Bytes::new())
            }
            KickGroupMemberReq::METHOD => {
                let request: KickGroupMemberReq = read(payload);
                let members = &mut self.groups.get_mut(&request.group_id).unwrap().1;
                members.retain(|member| !request.kicked_user_ids.contains(&member.user_id));
                Ok(Bytes::new())
            }
            ListGroupsReq::METHOD => {
                let ListGroupsReq { prefix, after_group_id, limit } = read(payload);
                let found =
                    self.groups.iter().filter(|(id, _)| id.starts_with(&prefix) && **id > after_group_id);
                let groups = found.take(limit as usize).map(|(_, (group, _))| group.clone()).collect();
                told(&ListGroupsResp { groups })
            }
            GetGroupsInfoReq::METHOD => {
                let ids = read::<GetGroupsInfoReq>(payload).group_ids;
                let found = ids.iter().filter_map(|id| self.groups.get(id)).map(|(group, _)| group.clone());
                told(&GetGroupsInfoResp { group_infos: found.collect() })
            }
            GetGroupMemberListReq::METHOD => {
                let request: GetGroupMemberListReq = read(payload);
                let page = request.pagination.unwrap();
                let members = &self.groups[&request.group_id].1;
                let rows = page.show_number as usize;
                let skipped = (page.page_number as usize - 1) * rows;
                let shown = members.iter().skip(skipped).take(rows).cloned().collect();
                told(&GetGroupMemberListResp { total: members.len() as u32, members: shown })
            }
            GetJoinedGroupListReq::METHOD => told(&GetJoinedGroupListResp::default()),
            other => panic!("{other}"),
        }
    }

    fn member(&mut self, group: &str, user: &str) -> &mut GroupMemberFullInfo {
        let members = &mut self.groups.get_mut(group).unwrap().1;
        members.iter_mut().find(|member| member.user_id == user).unwrap()
    }

    fn of_messages(&mut self, context: &Context, method: &str, payload: Bytes) -> Result<Bytes> {
        match method {
            GetOwnerConversationReq::METHOD => {
                let chat = |id: &String| Conversation {
                    conversation_id: id.clone(),
                    user_id: "ben".into(),
                    ..Default::default()
                };
                let conversations: Vec<_> = self.messages.keys().map(chat).collect();
                told(&GetOwnerConversationResp { total: conversations.len() as i64, conversations })
            }
            GetConversationsHasReadAndMaxSeqReq::METHOD => {
                let request: GetConversationsHasReadAndMaxSeqReq = read(payload);
                let newest = |id: &String| self.messages.get(id)?.keys().next_back().copied();
                let seqs = request
                    .conversation_ids
                    .iter()
                    .filter_map(|id| Some((id.clone(), Seqs { max_seq: newest(id)?, ..Default::default() })));
                told(&GetConversationsHasReadAndMaxSeqResp { seqs: seqs.collect(), ..Default::default() })
            }
            PullMessageBySeqsReq::METHOD => {
                let range = read::<PullMessageBySeqsReq>(payload).seq_ranges.remove(0);
                // The newest that have room.
                let (mut left, mut msgs) = (4_usize << 20, Vec::<MsgData>::new());
                for (_, message) in self.messages[&range.conversation_id].range(range.begin..=range.end).rev()
                {
                    if !msgs.is_empty() && message.content.len() > left {
                        break;
                    }
                    left = left.saturating_sub(message.content.len());
                    msgs.push(message.clone());
                }
                msgs.reverse();
                let pulled = PullMsgs { msgs, ..Default::default() };
                told(&PullMessageBySeqsResp {
                    msgs: [(range.conversation_id, pulled)].into(),
                    ..Default::default()
                })
            }
            SearchLogsReq::METHOD => {
                let request: SearchLogsReq = read(payload);
                let range = request.start_time..request.end_time;
                let found = self.logs.iter().filter(|log| range.contains(&log.create_time));
                let logs_infos: Vec<LogInfo> = found.cloned().collect();
                told(&SearchLogsResp { total: logs_infos.len() as u32, logs_infos })
            }
            DeleteLogsReq::METHOD => {
                let ids = read::<DeleteLogsReq>(payload).log_ids;
                self.logs.retain(|log| !ids.contains(&log.log_id));
                Ok(Bytes::new())
            }
            RevokeMsgReq::METHOD => {
                let RevokeMsgReq { conversation_id, seq, user_id } = read(payload);
                assert_eq!(user_id, context.user_id());
                self.revoked.push((conversation_id, seq, user_id));
                Ok(Bytes::new())
            }
            other => panic!("{other}"),
        }
    }
}

/// A time that passes when a test says so.
pub(crate) struct Hands(AtomicI64);

impl Hands {
    pub(crate) fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The account service, with an administrator `root`.
pub(crate) struct FakeAccounts(Mutex<(i32, Vec<String>)>);

impl FakeAccounts {
    pub(crate) fn set_level(&self, level: i32) {
        lock(&self.0).0 = level;
    }

    pub(crate) fn end_sessions(&self) {
        lock(&self.0).1.clear();
    }

    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/account/login", post(Self::login))
            .route("/account/info", post(Self::info))
            .with_state(self.clone())
    }

    async fn login(
        State(this): State<Arc<Self>>,
        headers: HeaderMap,
        Json(body): Json<Value>,
    ) -> Json<Value> {
        assert!(headers["operationid"].to_str().unwrap().starts_with("console-"));
        assert_eq!(headers["x-forwarded-for"], "203.0.113.9");
        if body["account"] != "root" || !is_right(&body) {
            return Json(json!({ "errCode": 20001, "errMsg": "PasswordError", "errDlt": "wrong" }));
        }
        let (level, sessions) = &mut *lock(&this.0);
        sessions.push(format!("session {}", sessions.len()));
        Json(json!({ "errCode": 0, "data": { "adminToken": sessions.last(), "level": level } }))
    }

    async fn info(State(this): State<Arc<Self>>, headers: HeaderMap) -> Json<Value> {
        let (level, sessions) = &*lock(&this.0);
        if !sessions.iter().any(|session| headers["token"] == session.as_str()) {
            return Json(json!({ "errCode": 1501, "errMsg": "TokenExpiredError", "errDlt": "ended" }));
        }
        Json(json!({ "errCode": 0, "data": { "account": "root", "level": level } }))
    }
}

fn is_right(body: &Value) -> bool {
    use md5::{Digest, Md5};
    body["password"] == hex::encode(Md5::digest(b"a password"))
}

/// A console and its surroundings.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) im: Arc<FakeIm>,
    pub(crate) clock: Arc<Hands>,
    accounts: Option<Arc<FakeAccounts>>,
    router: Router,
    /// What serves the account service or Kubernetes; the runtime of the test ends it.
    _tasks: TaskTracker,
}

/// Serves a router on loopback; its address.
async fn served(router: Router, tasks: &TaskTracker) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move { axum::serve(listener, router).await });
    url
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::configured(|_| ()).await
    }

    pub(crate) async fn with_accounts() -> Self {
        let accounts = Arc::new(FakeAccounts(Mutex::new((100, vec![]))));
        let tasks = TaskTracker::new();
        let url = served(accounts.router(), &tasks).await;
        Self::made(Some(accounts), tasks, |config| config.console.account_url = url)
    }

    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::made(None, TaskTracker::new(), change)
    }

    /// With an API server that has an object `demo`, or does not let the console read it.
    pub(crate) async fn in_kubernetes(object: Option<Value>) -> Self {
        let answer = move |headers: HeaderMap| {
            let object = object.clone();
            async move {
                assert_eq!(headers["authorization"], "Bearer a-token");
                object.map(Json).ok_or(StatusCode::FORBIDDEN)
            }
        };
        let path = "/apis/openim.io/v1alpha1/namespaces/chat/openimclusters/demo";
        let tasks = TaskTracker::new();
        let url = served(Router::new().route(path, get(answer)), &tasks).await;
        let account = std::env::temp_dir().join(format!("openim-console-{}", model::random_id()));
        std::fs::create_dir_all(&account).unwrap();
        for (file, text) in [("token", "a-token\n"), ("namespace", "chat")] {
            std::fs::write(account.join(file), text).unwrap();
        }
        Self::made(None, tasks, |config| {
            let service_account = account.display().to_string();
            config.console.kubernetes =
                config::ConsoleKubernetes { cluster: "demo".into(), url, service_account };
        })
    }

    fn made(
        accounts: Option<Arc<FakeAccounts>>,
        tasks: TaskTracker,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        config.api_secret = SECRET.into();
        config.admin_user_ids = ["imAdmin", "helper", "reader"].map(str::to_owned).to_vec();
        config.trusted_proxies = Some(vec![]);
        config.console.roles.support = vec!["helper".into()];
        config.console.roles.read_only = vec!["reader".into()];
        change(&mut config);
        let (im, clock) = (Arc::new(FakeIm::default()), Arc::new(Hands(AtomicI64::new(NOW))));
        let gateway = SocketAddr::from(([127, 0, 0, 1], 1));
        let service = ConsoleService::new(Parts {
            peers: Peers::local(&config, im.clone(), &[gateway]),
            config: Arc::new(config),
            clock: clock.clone(),
            bodies: budget::Budget::new(1 << 24),
            metrics: ConsoleMetrics::default(),
            version: "9.9.9",
        });
        let app = service.unwrap().app;
        let router = http::router(&app);
        Self { app, im, clock, accounts, router, _tasks: tasks }
    }

    pub(crate) fn accounts(&self) -> &FakeAccounts {
        self.accounts.as_ref().unwrap()
    }

    /// Until no broadcast is being sent.
    pub(crate) async fn settled(&self) {
        while self.app.broadcasts.last().is_some_and(|last| last.state == Broadcast::Sending) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn browser(&self) -> Browser {
        self.browser_from([203, 0, 113, 9])
    }

    pub(crate) fn browser_from(&self, address: [u8; 4]) -> Browser {
        Browser { router: self.router.clone(), address, cookies: Mutex::default() }
    }

    /// A browser in which an IM administrator has signed in.
    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let browser = self.browser();
        assert_eq!(browser.sign_in("secret", name, SECRET).await.status(), 303);
        browser
    }
}

/// A browser without JavaScript.
pub(crate) struct Browser {
    router: Router,
    address: [u8; 4],
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Clone for Browser {
    fn clone(&self) -> Self {
        let cookies = Mutex::new(lock(&self.cookies).clone());
        Self { router: self.router.clone(), address: self.address, cookies }
    }
}

impl Browser {
    async fn send(&self, mut request: Request<Body>) -> Response<Body> {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((self.address, 1))));
        let sent: Vec<String> =
            lock(&self.cookies).iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.headers_mut().insert(header::COOKIE, HeaderValue::from_str(&sent.join("; ")).unwrap());
        let answer = self.router.clone().oneshot(request).await.unwrap();
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match cookie.contains("Max-Age=0") {
                true => lock(&self.cookies).remove(name),
                false => lock(&self.cookies).insert(name.into(), value.into()),
            };
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Body> {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get_with(
        &self,
        path: &str,
        name: &'static str,
        value: &'static str,
    ) -> Response<Body> {
        self.send(Request::get(path).header(name, value).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        text(answer).await
    }

    /// The token of this session's forms.
    pub(crate) async fn form(&self) -> String {
        token_of(&self.page("/").await)
    }

    pub(crate) async fn post_with(
        &self,
        form: Option<&str>,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&'static str, &'static str)],
    ) -> Response<Body> {
        let fields: Vec<(&str, &str)> =
            fields.iter().copied().chain(form.map(|form| ("form", form))).collect();
        let body = link("", &fields);
        let mut request =
            Request::post(path).body(Body::from(body.trim_start_matches('?').to_owned())).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        self.send(request).await
    }

    /// Sends a form of this session.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response<Body> {
        let form = self.form().await;
        self.post_with(Some(&form), path, fields, &[]).await
    }

    /// Does something, and where that leads.
    pub(crate) async fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status(), 303, "{path} {fields:?}");
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    pub(crate) async fn sign_in(&self, way: &str, name: &str, secret: &str) -> Response<Body> {
        let form = token_of(&self.page("/sign-in").await);
        let fields = [("way", way), ("name", name), ("secret", secret)];
        self.post_with(Some(&form), "/sign-in", &fields, &[]).await
    }
}

/// The body of an answer.
pub(crate) async fn text(answer: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 22).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}
