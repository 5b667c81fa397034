//! A service of its own for each test: its database in memory, the IM services as they answer, and the codes that it would send.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request},
};
use bytes::Bytes;
use config::{Config, Service};
use faults::fate::Calm;
use model::{Clock, SystemClock};
use prost::Message;
use protocol::{
    ErrorCode, Request as _, Result,
    auth::{ForceLogoutReq, GetUserTokenReq, GetUserTokenResp},
    user::{UpdateUserInfoExReq, UserRegisterReq},
};
use rpc::{Context, Local, Peers};
use serde_json::{Value, json};
use store::{Store, accounts::Accounts, memory::Memory};
use tower::ServiceExt;

use crate::{AccountMetrics, AccountService, App, Parts, http, outbox::Letters, password::as_sent, routes};

/// The IM services.
#[derive(Default)]
pub(crate) struct FakeIm {
    /// Ids and names.
    users: Mutex<BTreeMap<String, String>>,
    logged_out: Mutex<BTreeSet<String>>,
    is_away: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl FakeIm {
    pub(crate) fn users(&self) -> Vec<String> {
        lock(&self.users).keys().cloned().collect()
    }

    pub(crate) fn nickname(&self, user: &str) -> String {
        lock(&self.users).get(user).cloned().unwrap_or_default()
    }

    pub(crate) fn is_logged_out(&self, user: &str) -> bool {
        lock(&self.logged_out).contains(user)
    }

    pub(crate) fn is_away(&self, away: bool) {
        self.is_away.store(away, Ordering::Relaxed);
    }
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
        if self.is_away.load(Ordering::Relaxed) {
            return Err(protocol::Error::unreachable("away"));
        }
        context.require_admin()?;
        match method {
            UserRegisterReq::METHOD => {
                let user = UserRegisterReq::decode(payload).unwrap().users.remove(0);
                if lock(&self.users).contains_key(&user.user_id) {
                    return Err(ErrorCode::Registered.with("there is one"));
                }
                lock(&self.users).insert(user.user_id, user.nickname);
            }
            UpdateUserInfoExReq::METHOD => {
                let user = UpdateUserInfoExReq::decode(payload).unwrap().user_info.unwrap();
                lock(&self.users).insert(user.user_id, user.nickname.unwrap().value);
            }
            GetUserTokenReq::METHOD => {
                let token = format!("im-{}", GetUserTokenReq::decode(payload).unwrap().user_id);
                return Ok(GetUserTokenResp { token, expire_time_seconds: 1 }.encode_to_vec().into());
            }
            ForceLogoutReq::METHOD => {
                let user = ForceLogoutReq::decode(payload).unwrap().user_id;
                lock(&self.logged_out).insert(user);
            }
            _ => {}
        }
        Ok(Bytes::new())
    }
}

/// The time at which a test began: no window of a limit ends during it.
struct Frozen(i64);

impl Clock for Frozen {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

/// A service and its surroundings.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) im: Arc<FakeIm>,
    chat: Router,
    admin: Router,
    letters: Mutex<Letters>,
}

/// What users type.
pub(crate) const PASSWORD: &str = "a password";

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        config.admin_user_ids = vec!["imAdmin".into()];
        config.trusted_proxies = Some(vec![]);
        config.accounts.mail.host = "mail.example".into();
        config.accounts.mail.from = "codes@example.org".into();
        config.accounts.codes.pause_seconds = 0;
        change(&mut config);
        let im = Arc::new(FakeIm::default());
        let accounts = Accounts::in_memory(Store::in_memory(&Memory::default(), Arc::new(Calm)));
        accounts.ensure_indexes().await.unwrap();
        crate::ensure_first_admin(&accounts, PASSWORD, SystemClock.now_ms()).await.unwrap();
        let service = AccountService::new(Parts {
            peers: Peers::local(&config, im.clone(), &[]),
            config: Arc::new(config),
            accounts,
            clock: Arc::new(Frozen(SystemClock.now_ms())),
            bodies: budget::Budget::new(1 << 24),
            metrics: AccountMetrics::default(),
        });
        let AccountService { app, letters } = service.unwrap();
        let (chat, admin) = (http::router(&app, routes::chat()), http::router(&app, routes::admin()));
        Self { app, im, chat, admin, letters: Mutex::new(letters) }
    }

    async fn ask(&self, router: &Router, path: &str, token: &str, body: Value, from: [u8; 4]) -> Value {
        let mut request = Request::post(path).body(Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((from, 1))));
        request.headers_mut().insert("operationID", HeaderValue::from_static("op"));
        request.headers_mut().insert("token", HeaderValue::from_str(token).unwrap());
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// A call of a client.
    pub(crate) async fn chat(&self, path: &str, token: &str, body: Value) -> Value {
        self.ask(&self.chat, path, token, body, [203, 0, 113, 9]).await
    }

    /// A call of a client from another address.
    pub(crate) async fn chat_from(&self, from: [u8; 4], path: &str, token: &str, body: Value) -> Value {
        self.ask(&self.chat, path, token, body, from).await
    }

    /// A call of an administrator.
    pub(crate) async fn admin(&self, path: &str, token: &str, body: Value) -> Value {
        self.ask(&self.admin, path, token, body, [203, 0, 113, 10]).await
    }

    /// The token of the first administrator.
    pub(crate) async fn admin_token(&self) -> String {
        let login = json!({ "account": "admin", "password": as_sent(PASSWORD), "version": "1" });
        let answer = self.admin("/account/login", "", login).await;
        answer["data"]["adminToken"].as_str().unwrap().to_owned()
    }

    /// The last code that would have been sent.
    pub(crate) fn sent_code(&self) -> Option<String> {
        lock(&self.letters).take_last()
    }

    /// Asks for a code and finds it in the mail.
    pub(crate) async fn code(&self, email: &str, used_for: i32) -> String {
        let answer =
            self.chat("/account/code/send", "", json!({ "usedFor": used_for, "email": email })).await;
        assert_eq!(answer["errCode"], 0, "{answer}");
        self.sent_code().unwrap()
    }

    /// Registers somebody with a mail address; the user's id and chat token.
    pub(crate) async fn register(&self, email: &str) -> (String, String) {
        let code = self.code(email, 1).await;
        let answer = self.chat("/account/register", "", registration(email, &code)).await;
        assert_eq!(answer["errCode"], 0, "{answer}");
        let text = |field: &str| answer["data"][field].as_str().unwrap().to_owned();
        (text("userID"), text("chatToken"))
    }
}

/// As an app registers.
pub(crate) fn registration(email: &str, code: &str) -> Value {
    json!({
        "verifyCode": code, "platform": 5, "autoLogin": true, "deviceID": null,
        "user": { "nickname": "Ann", "email": email, "password": as_sent(PASSWORD), "areaCode": null, "phoneNumber": null },
    })
}

/// As an app logs in.
pub(crate) fn login(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": as_sent(password), "platform": 5 })
}
