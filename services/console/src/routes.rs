//! Every page and action, and the least role that may have it.

use crate::{
    chats, cluster, erasure, files, groups,
    http::{Route, act, view},
    logs, members, notifications, overview,
    roles::Role,
    users, waiting_hooks, webhooks,
};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        view("/", Role::ReadOnly, overview::page),
        view("/users", Role::ReadOnly, users::list),
        view("/user", Role::ReadOnly, users::one),
        act("/user/force-out", Role::Support, users::force_out),
        act("/user/ban", Role::Support, users::ban),
        act("/user/unban", Role::Support, users::unban),
        act("/user/erase", Role::Administrator, erasure::erase),
        view("/disabled", Role::ReadOnly, erasure::list),
        view("/groups", Role::ReadOnly, groups::list),
        view("/group", Role::ReadOnly, groups::one),
        act("/group/mute", Role::Support, groups::mute),
        act("/group/unmute", Role::Support, groups::unmute),
        act("/group/dismiss", Role::Administrator, groups::dismiss),
        act("/group/member/mute", Role::Support, members::mute),
        act("/group/member/unmute", Role::Support, members::unmute),
        act("/group/member/remove", Role::Support, members::remove),
        view("/chats", Role::Support, chats::list),
        view("/chat", Role::Support, chats::one),
        act("/chat/revoke", Role::Support, chats::revoke),
        view("/notifications", Role::ReadOnly, notifications::list),
        view("/notification", Role::ReadOnly, notifications::one),
        act("/notifications/create", Role::Administrator, notifications::create),
        act("/notifications/send", Role::Administrator, notifications::send),
        act("/notifications/broadcast", Role::Administrator, notifications::broadcast),
        act("/notifications/stop", Role::Administrator, notifications::stop),
        view("/files", Role::Support, files::list),
        act("/files/delete", Role::Administrator, files::delete),
        view("/webhooks", Role::ReadOnly, webhooks::page),
        view("/webhooks/set-aside", Role::ReadOnly, waiting_hooks::list),
        act("/webhooks/replay", Role::Administrator, waiting_hooks::replay),
        view("/cluster", Role::ReadOnly, cluster::page),
        view("/logs", Role::Support, logs::list),
        act("/logs/delete", Role::Administrator, logs::delete),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, text};

    #[tokio::test]
    async fn nothing_is_done_that_the_audit_log_would_cut() {
        let world = World::new().await;
        world.im.add_user("ann", "Ann");
        let (admin, long) = (world.signed_in("imAdmin").await, "x".repeat(2001));
        let fields = [("a", long.as_str()), ("user", "ann"), ("reason", "spam")];
        let refused = admin.post("/user/ban", &fields).await;
        let banned = world.im.calls::<protocol::extension::BanUserReq>();
        assert_eq!((refused.status().as_u16(), banned), (400, 0));
    }

    #[tokio::test]
    async fn who_may_only_look_can_act_nowhere() {
        let world = World::new().await;
        world.im.add_user("ann", "Ann");
        world.im.add_group("g1", "Team", &["ann", "ben"]);
        let reader = world.signed_in("reader").await;
        let acts: Vec<Route> = routes().into_iter().filter(|route| route.is_act).collect();
        assert!(acts.len() >= 10 && acts.iter().all(|route| route.needs > Role::ReadOnly));
        let fields = [
            ("user", "ann"),
            ("group", "g1"),
            ("conversation", "si_ann_ben"),
            ("seq", "1"),
            ("minutes", "10"),
            ("reason", "because"),
        ];
        for act in acts {
            assert_eq!(reader.post(act.path, &fields).await.status(), 403, "{}", act.path);
        }
        for path in ["/user?id=ann", "/group?id=g1"] {
            let page = reader.page(path).await;
            assert!(!page.contains("<details"), "no form is offered: {page}");
        }
    }

    #[tokio::test]
    async fn every_answer_forbids_scripts_and_is_kept_by_nobody() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        for path in ["/", "/users", "/groups", "/user?id=nobody", "/nothing", "/sign-in", "/style.css?v=1"] {
            let answer = admin.get(path).await;
            let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            let policy = header("content-security-policy");
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(header("x-frame-options"), "DENY");
            assert_eq!(header("x-content-type-options"), "nosniff");
            let kept = header("cache-control");
            assert_eq!(kept == "no-store", !path.starts_with("/style"), "{path}: {kept}");
            let page = text(answer).await;
            assert!(
                !page.contains("<script") && !page.contains("style=\"") && !page.contains(" on"),
                "{path}"
            );
        }
        assert_eq!(admin.get("/nothing").await.status(), 404);
        assert_eq!(admin.get("/user/ban").await.status(), 404);
    }

    #[tokio::test]
    async fn pages_speak_the_language_of_the_browser_until_another_is_chosen() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        let chinese =
            text(admin.get_with("/users?prefix=x", "accept-language", "zh-CN,zh;q=0.9").await).await;
        assert!(chinese.contains("lang=\"zh-CN\"") && chinese.contains("未找到任何内容"), "{chinese}");
        assert!(chinese.contains("/users?lang=en&amp;prefix=x"), "{chinese}");
        assert!(admin.page("/users").await.contains("Nothing found"));
        assert!(admin.page("/users?lang=zh").await.contains("退出登录"));
        assert!(admin.page("/groups").await.contains("退出登录"), "it stays chosen");
    }
}
