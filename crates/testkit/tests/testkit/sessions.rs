//! The auth and the third service: tokens, devices for offline push, client logs.

use protocol::{
    ErrorCode, Result,
    auth::GetUserTokenReq,
    internal::caller::Kind,
    push::DelUserPushTokenReq,
    sdkws::RequestPagination,
    third::{FcmUpdateTokenReq, SearchLogsReq, SetAppBadgeReq, UploadLogsReq},
};
use rpc::Context;
use store::tokens::KICKED;
use tokens::digest;

use crate::{handlers::world, mutants::in_jumping_time};
use testkit::{Handler, Plan, World, user_context};

const ANDROID: i32 = 2;
const WEB: i32 = 5;

fn admin() -> Context {
    Context::new(Kind::Admin, "imAdmin", 10, "test")
}

async fn log_in(world: &World, by: &Context, user: &str, platform: i32) -> Result<String> {
    let request = GetUserTokenReq { user_id: user.into(), platform_id: platform };
    Ok(world.call(by, &request).await?.token)
}

/// The digests of a user's good tokens, oldest first.
async fn good(world: &World, user: &str) -> Vec<String> {
    let rows = world.calm_store().good_tokens(user).await.unwrap();
    rows.into_iter().map(|row| row.digest).collect()
}

#[test]
fn a_login_ends_the_token_of_its_platform_and_no_other() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Auth]).await;
        let phone = log_in(&world, &admin(), "ann", ANDROID).await.unwrap();
        let web = log_in(&world, &admin(), "ann", WEB).await.unwrap();
        let newer = log_in(&world, &admin(), "ann", WEB).await.unwrap();
        assert_eq!(good(&world, "ann").await, [digest(&phone), digest(&newer)]);
        assert_eq!(world.calm_store().token_state(&digest(&web)).await.unwrap(), Some(KICKED));
    });
}

#[test]
fn tokens_are_issued_to_administrators_for_users_that_exist() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Auth]).await;
        for (by, user, code) in [
            (user_context("ann"), "ann", ErrorCode::NoPermission),
            (admin(), "nobody", ErrorCode::UserNotFound),
        ] {
            assert_eq!(log_in(&world, &by, user, WEB).await.unwrap_err().code, code, "{user}");
            assert!(good(&world, user).await.is_empty(), "{user}");
        }
    });
}

#[test]
fn who_logs_in_again_after_a_crash_has_one_good_token() {
    for step in 1.. {
        let survived = in_jumping_time(async {
            let (world, _process) = world(&[Handler::Auth]).await;
            let dies = world.process("dies", Plan { dies_at: Some(step), ..Plan::default() }, step);
            world.handle(Handler::Auth, &dies);
            let _may_fail = log_in(&world, &admin(), "ann", WEB).await;
            let again = world.process("again", Plan::default(), 2);
            world.handle(Handler::Auth, &again);
            let token = log_in(&world, &admin(), "ann", WEB).await.unwrap();
            assert_eq!(good(&world, "ann").await, [digest(&token)], "step {step}");
            dies.steps() < step
        });
        if survived {
            assert!(step > 4, "it died at {step} steps");
            return;
        }
    }
}

#[test]
fn devices_and_badges_are_set_by_their_user() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Third]).await;
        let token = FcmUpdateTokenReq {
            account: "ann".into(),
            platform_id: ANDROID,
            fcm_token: "a device".into(),
            expire_time: 0,
        };
        let badge = SetAppBadgeReq { user_id: "ann".into(), app_unread_count: 3 };
        let code = |error: protocol::Error| error.code;
        let ben = user_context("ben");
        assert_eq!(world.call(&ben, &token).await.map_err(code).err(), Some(ErrorCode::NoPermission));
        assert_eq!(world.call(&ben, &badge).await.map_err(code).err(), Some(ErrorCode::NoPermission));
        let (ann, users) = (user_context("ann"), ["ann".to_owned()]);
        let devices = async || world.calm_store().device_tokens(&users).await.unwrap();
        assert!(devices().await.is_empty());
        world.call(&ann, &token).await.unwrap();
        world.call(&ann, &badge).await.unwrap();
        assert_eq!(devices().await, [("ann".to_owned(), ANDROID, "a device".to_owned())]);
        assert_eq!(world.calm_store().raise_badge("ann").await.unwrap(), 4);
        let gone = DelUserPushTokenReq { user_id: "ann".into(), platform_id: ANDROID };
        assert_eq!(world.call(&ben, &gone).await.map_err(code).err(), Some(ErrorCode::NoPermission));
        world.call(&ann, &gone).await.unwrap();
        assert!(devices().await.is_empty());
    });
}

#[test]
fn uploaded_logs_are_found_by_administrators() {
    in_jumping_time(async {
        let (world, _process) = world(&[Handler::Third]).await;
        let mut upload = UploadLogsReq { file_urls: vec![Default::default()], ..Default::default() };
        upload.file_urls[0].filename = "app.log".into();
        upload.file_urls[0].url = "https://files.example/app.log".into();
        world.call(&user_context("ann"), &upload).await.unwrap();
        let pagination = Some(RequestPagination { page_number: 1, show_number: 10 });
        let search = SearchLogsReq { pagination, ..Default::default() };
        let refused = world.call(&user_context("ann"), &search).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NoPermission);
        let found = world.call(&admin(), &search).await.unwrap();
        assert_eq!((found.total, found.logs_infos.len()), (1, 1));
        assert_eq!(
            (found.logs_infos[0].user_id.as_str(), found.logs_infos[0].filename.as_str()),
            ("ann", "app.log")
        );
    });
}
