//! System accounts: those from which everybody, or some, get notifications.

use std::collections::BTreeSet;

use maud::{Markup, html};
use protocol::{
    Error, Result, check,
    content_type::{FROM_SYSTEM, OA_NOTIFICATION, session},
    go_json,
    sdkws::{MsgData, NotificationElem, OfflinePushInfo, UserInfo},
    user::{AddNotificationAccountReq, NotificationAccountInfo},
};
use serde_json::json;

use crate::{
    broadcast::{self, Progress, State},
    fields::{Fields, link},
    formatting::{number, said},
    http::{Done, Visit},
    page,
    roles::Role,
    texts::Text,
};

/// Accounts in a page.
const ROWS: i32 = 50;
/// Last page that is shown.
const LAST_PAGE: i32 = 200;
/// appMangerLevel of an account that notifies, and of the lowest system account.
const NOTIFICATIONS: i32 = 3;
/// Longest text and link, in characters: the audit log keeps them.
const TEXT: usize = 500;
/// Receivers of a form. Larger circles are reached through the REST API.
const RECEIVERS: usize = 100;
/// Longest id of a broadcast, in characters.
const BROADCAST: usize = 64;

fn to_account(id: &str) -> String {
    link("/notification", &[("id", id)])
}

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let keyword = visit.query().trimmed("prefix");
    let page_number = visit.page_number(LAST_PAGE);
    let found = visit.app().im.system_accounts(&visit.context, keyword, page_number, ROWS).await?;
    let rows: Vec<Vec<Markup>> =
        found.notification_accounts.iter().map(|account| row(&visit, account)).collect();
    let columns = [Text::UserId, Text::Nickname, Text::State].map(|text| visit.text(text));
    let at = |number: i32| link("/notifications", &[("prefix", keyword), ("page", &number.to_string())]);
    let first = (page_number > 1).then(|| at(1));
    let next = page::following(page_number, ROWS, LAST_PAGE, found.total).map(at);
    let body = html! {
        (page::search(&visit, "/notifications", visit.text(Text::AccountIdOrName)))
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::Notifications), &columns, &rows))
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
        @if visit.may(Role::Administrator) { div.actions { (page::action(&visit, "/notifications/create", Text::CreateAccount, &[], &new_account(&visit))) } }
    };
    Ok(page::shown(&visit, visit.text(Text::Notifications), &body))
}

fn row(visit: &Visit, account: &NotificationAccountInfo) -> Vec<Markup> {
    let kind =
        if account.app_manger_level == NOTIFICATIONS { Text::StateNotifications } else { Text::StateRobot };
    vec![
        html! { a href=(to_account(&account.user_id)) { (said(&account.user_id)) } },
        said(&account.nick_name),
        html! { (visit.text(kind)) },
    ]
}

fn new_account(visit: &Visit) -> Markup {
    html! {
        label { (visit.text(Text::Nickname)) input name="name" required maxlength="64" autocomplete="off"; }
        label { (visit.text(Text::IdOrNone)) input name="id" maxlength="64" autocomplete="off" spellcheck="false"; }
        label { (visit.text(Text::Portrait)) input name="portrait" type="url" maxlength="500" autocomplete="off"; }
    }
}

pub(crate) async fn create(visit: Visit, form: Fields) -> Result<Done> {
    let request = AddNotificationAccountReq {
        user_id: form.trimmed("id").to_owned(),
        nick_name: form.required("name")?,
        face_url: web_address("portrait", form.trimmed("portrait"))?,
        app_manger_level: NOTIFICATIONS,
    };
    let id = visit.app().im.add_system_account(&visit.context, request).await?;
    Ok(Done { to: to_account(&id), notice: Text::DoneAccountCreated })
}

/// An address for browsers, or nothing.
fn web_address(field: &str, given: &str) -> Result<String> {
    let is_web = given.is_empty() || given.starts_with("https://") || given.starts_with("http://");
    if is_web && given.chars().count() <= TEXT {
        return Ok(given.to_owned());
    }
    Err(Error::args(format!("{field} must begin with https:// or http:// and have up to {TEXT} characters")))
}

/// The system account of an id.
async fn account(visit: &Visit, id: &str) -> Result<UserInfo> {
    let user = visit.app().im.user(&visit.context, id).await?.user.unwrap_or_default();
    if user.app_manger_level < NOTIFICATIONS {
        return Err(Error::args(format!("{id} is not a notification account")));
    }
    Ok(user)
}

pub(crate) async fn one(visit: Visit) -> Result<Markup> {
    let id = visit.query().required("id")?;
    let account = account(&visit, &id).await?;
    let facts = page::facts(&[
        (visit.text(Text::UserId), said(&account.user_id)),
        (visit.text(Text::Nickname), said(&account.nickname)),
        (visit.text(Text::Portrait), said(&account.face_url)),
    ]);
    let last = visit.app().broadcasts.last().filter(|progress| progress.account == id);
    let body = html! {
        (facts)
        @if let Some(progress) = last { (shown(&visit, &progress)) }
        @if visit.may(Role::Administrator) {
            div.actions {
                (page::action(&visit, "/notifications/send", Text::SendToSome, &[("broadcast", &model::random_id()), ("account", &id)], &to_some(&visit)))
                (page::action(&visit, "/notifications/broadcast", Text::SendToAll, &[("account", &id)], &to_all(&visit)))
            }
        }
    };
    Ok(page::shown(&visit, &format!("{} {id}", visit.text(Text::StateNotifications)), &body))
}

fn content(visit: &Visit) -> Markup {
    html! {
        label { (visit.text(Text::NotificationContent)) textarea name="text" required maxlength=(TEXT) rows="4" {} }
        label { (visit.text(Text::NotificationLink)) input name="link" type="url" maxlength=(TEXT) autocomplete="off"; }
    }
}

fn to_some(visit: &Visit) -> Markup {
    html! {
        label { (visit.text(Text::Receivers)) textarea name="receivers" required rows="3" spellcheck="false" {} }
        (content(visit))
    }
}

fn to_all(visit: &Visit) -> Markup {
    html! {
        (content(visit))
        label {
            (visit.text(Text::BroadcastId))
            input name="broadcast" required maxlength=(BROADCAST) value=(model::random_id()) autocomplete="off" spellcheck="false";
        }
        label { (visit.text(Text::BroadcastAfter)) input name="after" maxlength="64" autocomplete="off" spellcheck="false"; }
    }
}

fn shown(visit: &Visit, progress: &Progress) -> Markup {
    let Progress { id, account, state, sent, failed, after } = progress;
    let facts = page::facts(&[
        (visit.text(Text::BroadcastId), said(id)),
        (visit.text(Text::State), html! { (visit.text(state.text())) }),
        (visit.text(Text::Sent), html! { (number(*sent)) }),
        (visit.text(Text::NotSent), html! { (number(*failed)) }),
        (visit.text(Text::BroadcastAfter), said(after)),
    ]);
    let hidden = [("account", account.as_str()), ("broadcast", id.as_str())];
    html! {
        h2 { (visit.text(Text::Broadcast)) }
        (facts)
        nav.pages aria-label=(visit.text(Text::Refresh)) { a href=(to_account(account)) { (visit.text(Text::Refresh)) } }
        @if *state == State::Sending && visit.may(Role::Administrator) {
            div.actions { (page::action(visit, "/notifications/stop", Text::StopBroadcast, &hidden, &html! {})) }
        }
    }
}

/// The notification as apps of OpenIM show it.
fn message(account: &UserInfo, form: &Fields, client_msg_id: String) -> Result<MsgData> {
    let text = form.trimmed("text");
    if !(1..=TEXT).contains(&text.chars().count()) {
        return Err(Error::args(format!("text is required, up to {TEXT} characters")));
    }
    let detail = json!({
        "notificationName": account.nickname, "notificationFaceURL": account.face_url, "notificationType": 1, "text": text,
        "externalUrl": web_address("link", form.trimmed("link"))?, "mixType": 0, "ex": "",
    });
    let push =
        OfflinePushInfo { title: account.nickname.clone(), desc: text.to_owned(), ..Default::default() };
    Ok(MsgData {
        send_id: account.user_id.clone(),
        client_msg_id,
        sender_nickname: account.nickname.clone(),
        sender_face_url: account.face_url.clone(),
        session_type: session::NOTIFICATION,
        msg_from: FROM_SYSTEM,
        content_type: OA_NOTIFICATION,
        content: go_json::to_text(&NotificationElem { detail: detail.to_string() }).into(),
        offline_push_info: Some(push),
        ..Default::default()
    })
}

/// By which a second message with the same content is known as the first.
fn broadcast_id(form: &Fields) -> Result<String> {
    let id = form.required("broadcast")?;
    if id.len() > BROADCAST || !id.chars().all(|part| part.is_ascii_alphanumeric() || part == '-') {
        return Err(Error::args(format!("broadcast must be up to {BROADCAST} letters, digits and `-`")));
    }
    Ok(id)
}

/// Ids between blanks, commas or semicolons, each once.
fn receivers(given: &str) -> Result<Vec<String>> {
    let parts = given.split(|between: char| between.is_whitespace() || ",;，；".contains(between));
    let ids: BTreeSet<&str> = parts.filter(|id| !id.is_empty()).collect();
    if !(1..=RECEIVERS).contains(&ids.len()) {
        return Err(Error::args(format!("receivers must be between 1 and {RECEIVERS} user ids")));
    }
    Ok(ids.into_iter().map(str::to_owned).collect())
}

pub(crate) async fn send(visit: Visit, form: Fields) -> Result<Done> {
    let id = form.required("account")?;
    let receivers = receivers(form.get("receivers"))?;
    let account = account(&visit, &id).await?;
    // A form that is sent twice is one notification.
    let message = message(&account, &form, broadcast_id(&form)?)?;
    let outcomes = broadcast::to_each(&visit, &message, receivers).await;
    let total = outcomes.len();
    let failed: Vec<(String, Error)> =
        outcomes.into_iter().filter_map(|(user, outcome)| Some((user, outcome.err()?))).collect();
    let Some((_, first)) = failed.first() else {
        return Ok(Done { to: to_account(&id), notice: Text::DoneNotified });
    };
    let users: Vec<&str> = failed.iter().map(|(user, _)| user.as_str()).collect();
    let detail = format!(
        "sent to {} of {total}, not to {}: {}",
        total - failed.len(),
        users.join(", "),
        first.shown()
    );
    Err(Error { detail, ..first.clone() })
}

pub(crate) async fn broadcast(visit: Visit, form: Fields) -> Result<Done> {
    let id = form.required("account")?;
    let after = form.trimmed("after");
    check::at_most("after", after, check::MAX_ID_BYTES)?;
    let account = account(&visit, &id).await?;
    broadcast::begin(&visit, message(&account, &form, broadcast_id(&form)?)?, after)?;
    Ok(Done { to: to_account(&id), notice: Text::DoneBroadcastBegun })
}

pub(crate) async fn stop(visit: Visit, form: Fields) -> Result<Done> {
    let id = form.required("account")?;
    visit.app().broadcasts.stop(&form.required("broadcast")?)?;
    Ok(Done { to: to_account(&id), notice: Text::DoneBroadcastStopping })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    async fn with_news() -> World {
        let world = World::new().await;
        world.im.add_system_account("news", "News");
        for user in ["ann", "ben", "cat"] {
            world.im.add_user(user, user);
        }
        world
    }

    #[tokio::test]
    async fn an_account_is_created_and_found() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        let fields =
            |portrait| [("name", "News"), ("id", "news"), ("portrait", portrait), ("reason", "campaign")];
        let refused = admin.post("/notifications/create", &fields("javascript:alert(1)")).await;
        assert_eq!(refused.status(), 400);
        let to = admin.done("/notifications/create", &fields("https://cdn.example/news.png")).await;
        assert_eq!(to, "/notification?done=account-created&id=news");
        assert!(admin.page(&to).await.contains("https://cdn.example/news.png"));
        let list = admin.page("/notifications?prefix=New").await;
        assert!(list.contains("/notification?id=news"), "{list}");
        assert!(admin.page("/notifications?prefix=other").await.contains("Nothing found"));
        let helper = world.signed_in("helper").await;
        for path in ["/notifications", "/notification?id=news"] {
            assert!(!helper.page(path).await.contains("<details"), "only administrators send: {path}");
        }
    }

    #[tokio::test]
    async fn some_are_notified_once_however_often_the_form_is_sent() {
        let world = with_news().await;
        let admin = world.signed_in("imAdmin").await;
        let fields = |users| {
            [
                ("account", "news"),
                ("broadcast", "b1"),
                ("receivers", users),
                ("text", "Hello"),
                ("link", ""),
                ("reason", "campaign"),
            ]
        };
        for _ in 0..2 {
            let to = admin.done("/notifications/send", &fields("ann, ben\nann")).await;
            assert_eq!(to, "/notification?done=notified&id=news");
        }
        assert_eq!(
            world.im.notified(),
            [("ann".to_owned(), "b1".to_owned()), ("ben".to_owned(), "b1".to_owned())]
        );
        world.im.refuse("cat");
        let refused = admin.post("/notifications/send", &fields("ann cat")).await;
        let page = crate::testing::text(refused).await;
        assert!(page.contains("sent to 1 of 2, not to cat: blocked"), "{page}");
        for wrong in ["", " , "] {
            assert_eq!(admin.post("/notifications/send", &fields(wrong)).await.status(), 400);
        }
        let from_a_user = [
            ("account", "ann"),
            ("broadcast", "b2"),
            ("receivers", "ben"),
            ("text", "Hello"),
            ("reason", "x"),
        ];
        assert_eq!(admin.post("/notifications/send", &from_a_user).await.status(), 400, "ann is a person");
    }

    #[tokio::test]
    async fn all_are_notified_in_the_background_and_an_interrupted_broadcast_continues() {
        let world = with_news().await;
        for number in 0..230 {
            world.im.add_user(&format!("u{number:03}"), "U");
        }
        let admin = world.signed_in("imAdmin").await;
        let fields = |after| {
            [
                ("account", "news"),
                ("broadcast", "b7"),
                ("after", after),
                ("text", "Hello"),
                ("reason", "campaign"),
            ]
        };
        let (written, until) = telemetry::Written::start();
        let to = admin.done("/notifications/broadcast", &fields("")).await;
        assert_eq!(to, "/notification?done=broadcast-begun&id=news");
        world.settled().await;
        let line = written.only("console.broadcast");
        assert_eq!(
            (&line["state"], &line["sent"], &line["after"]),
            (&"sent".into(), &233.into(), &"u229".into()),
            "{line}"
        );
        drop(until);
        let page = admin.page("/notification?id=news").await;
        assert!(
            page.contains("Sent to all users") && page.contains("<dd>233</dd>") && page.contains("u229"),
            "{page}"
        );
        assert_eq!(world.im.notified().len(), 233, "nobody is left out, and the account itself gets none");

        // The services do not answer: those behind the last page are sent when somebody continues.
        world.im.unreachable_from("u150");
        let again = [
            ("account", "news"),
            ("broadcast", "b8"),
            ("after", ""),
            ("text", "Hello"),
            ("reason", "campaign"),
        ];
        admin.done("/notifications/broadcast", &again).await;
        world.settled().await;
        let page = admin.page("/notification?id=news").await;
        assert!(page.contains("did not answer") && page.contains("u095"), "{page}");
        world.im.unreachable_from("");
        let behind = [
            ("account", "news"),
            ("broadcast", "b8"),
            ("after", "u095"),
            ("text", "Hello"),
            ("reason", "campaign"),
        ];
        admin.done("/notifications/broadcast", &behind).await;
        world.settled().await;
        assert_eq!(world.im.notified().len(), 2 * 233);
        assert_eq!(admin.post("/notifications/stop", &again).await.status(), 400, "nothing is being sent");
    }

    #[test]
    fn receivers_are_ids_each_once() {
        assert_eq!(receivers("ben ann;ann，cat\n").unwrap(), ["ann", "ben", "cat"]);
        let many: String = (0..=RECEIVERS).map(|number| format!("u{number} ")).collect();
        assert!(receivers(&many).is_err() && receivers(" ,").is_err());
    }
}
