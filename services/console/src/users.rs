//! Users: found by the beginning of their id, their connections, groups and what can be done.

use maud::{Markup, html};
use model::platform::Platform;
use protocol::{Error, Result, sdkws::UserInfo};

use crate::{
    erasure,
    fields::{Fields, link},
    files,
    formatting::{said, time},
    http::{Done, Visit},
    im::Connection,
    page,
    roles::Role,
    texts::Text,
};

/// Users and groups in a page.
pub(crate) const ROWS: i32 = 50;
/// Groups of a user in a page.
const JOINED: i32 = 50;
/// Last page of them that is shown.
const LAST_PAGE: i32 = 200;

pub(crate) fn to_user(id: &str) -> String {
    link("/user", &[("id", id)])
}

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let (prefix, after) = (visit.query().trimmed("prefix"), visit.query().get("after"));
    let users = visit.app().im.users(&visit.context, prefix, after, ROWS).await?;
    let last = users.last().and_then(|listed| listed.user.as_ref()).map(|user| user.user_id.clone());
    let is_full = users.len() == ROWS as usize;
    let rows: Vec<Vec<Markup>> = users
        .iter()
        .filter_map(|listed| listed.user.as_ref().map(|user| row(&visit, user, listed.banned)))
        .collect();
    let columns = [Text::UserId, Text::Nickname, Text::Registered, Text::State].map(|text| visit.text(text));
    let first = (!after.is_empty()).then(|| link("/users", &[("prefix", prefix)]));
    let next = last.filter(|_| is_full).map(|last| link("/users", &[("prefix", prefix), ("after", &last)]));
    let body = html! {
        (page::search(&visit, "/users", visit.text(Text::UserIdBegins)))
        p { a href="/disabled" { (visit.text(Text::BannedUsers)) } }
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::Users), &columns, &rows))
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, visit.text(Text::Users), &body))
}

fn row(visit: &Visit, user: &UserInfo, is_banned: bool) -> Vec<Markup> {
    vec![
        html! { a href=(to_user(&user.user_id)) { (said(&user.user_id)) } },
        said(&user.nickname),
        time(user.create_time),
        html! { (visit.text(state(user, is_banned))) },
    ]
}

fn state(user: &UserInfo, is_banned: bool) -> Text {
    match user.app_manger_level {
        _ if is_banned => Text::StateBanned,
        2 => Text::StateAdministrator,
        3 => Text::StateNotifications,
        4 => Text::StateRobot,
        _ => Text::StateOrdinary,
    }
}

pub(crate) async fn one(visit: Visit) -> Result<Markup> {
    let id = visit.query().required("id")?;
    let im = &visit.app().im;
    let listed = im.user(&visit.context, &id).await?;
    let user = listed.user.clone().unwrap_or_default();
    let number = visit.page_number(LAST_PAGE);
    let ((open, is_complete), joined) =
        tokio::join!(im.connections(&visit.context, &id), im.joined(&visit.context, &id, number, JOINED));
    let joined = joined?;
    let at = |number: i32| link("/user", &[("id", &id), ("page", &number.to_string())]);
    let next = page::following(number, JOINED, LAST_PAGE, joined.total).map(at);
    let first = (number > 1).then(|| to_user(&id));
    let facts = page::facts(&[
        (visit.text(Text::UserId), said(&user.user_id)),
        (visit.text(Text::Nickname), said(&user.nickname)),
        (visit.text(Text::Registered), time(user.create_time)),
        (visit.text(Text::State), html! { (visit.text(state(&user, listed.banned))) }),
        (visit.text(Text::Portrait), said(&user.face_url)),
        (visit.text(Text::Extra), said(&user.ex)),
    ]);
    let body = html! {
        (facts)
        @if visit.may(Role::Support) {
            nav.pages aria-label=(visit.text(Text::User)) {
                a href=(link("/chats", &[("user", &id)])) { (visit.text(Text::Conversations)) }
                a href=(files::to_files(&id, "")) { (visit.text(Text::Files)) }
            }
            (actions(&visit, &id, listed.banned))
        }
        h2 { (visit.text(Text::Devices)) }
        (devices(&visit, &id, &open, is_complete))
        h2 { (visit.text(Text::Groups)) " (" (joined.total) ")" }
        @if joined.groups.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            ul.links {
                @for group in &joined.groups {
                    li {
                        a href=(link("/group", &[("id", &group.group_id)])) { (said(&group.group_id)) }
                        " " (said(&group.group_name))
                    }
                }
            }
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, &format!("{} {id}", visit.text(Text::User)), &body))
}

fn actions(visit: &Visit, id: &str, is_banned: bool) -> Markup {
    let nothing = html! {};
    html! {
        div.actions {
            @if may_force_out(visit, id) {
                (page::action(visit, "/user/force-out", Text::ForceOut, &[("user", id)], &nothing))
            }
            @if is_banned {
                (page::action(visit, "/user/unban", Text::Unban, &[("user", id)], &nothing))
            } @else {
                (page::action(visit, "/user/ban", Text::Ban, &[("user", id)], &nothing))
            }
            (erasure::actions(visit, id))
        }
    }
}

fn devices(visit: &Visit, id: &str, open: &[Connection], is_complete: bool) -> Markup {
    let columns = [Text::Platform, Text::Connection, Text::State, Text::Action].map(|text| visit.text(text));
    let rows: Vec<Vec<Markup>> = open.iter().map(|connection| device(visit, id, connection)).collect();
    html! {
        @if !is_complete { p.problem role="alert" { (visit.text(Text::GatewaysSilent)) } }
        @if rows.is_empty() {
            p { (visit.text(Text::NotConnected)) }
        } @else {
            (page::table(visit.text(Text::Devices), &columns, &rows))
        }
    }
}

fn device(visit: &Visit, id: &str, connection: &Connection) -> Vec<Markup> {
    let platform = connection.platform.to_string();
    let name = Platform::parse(connection.platform).map_or("?", Platform::name);
    let state = if connection.is_background { Text::Background } else { Text::Foreground };
    let hidden = [("user", id), ("platform", platform.as_str())];
    vec![
        html! { (name) },
        said(&connection.id),
        html! { (visit.text(state)) },
        html! {
            @if may_force_out(visit, id) {
                (page::action(visit, "/user/force-out", Text::ForceOutPlatform, &hidden, &html! {}))
            } @else { "–" }
        },
    ]
}

/// Administrators' tokens are also those of back ends and of this console: only administrators end them.
fn may_force_out(visit: &Visit, user: &str) -> bool {
    visit.may(Role::Administrator) || visit.may(Role::Support) && !visit.app().config.is_admin(user)
}

pub(crate) async fn force_out(visit: Visit, form: Fields) -> Result<Done> {
    let user = form.required("user")?;
    if !may_force_out(&visit, &user) {
        return Err(Error::no_permission("only administrators can log administrators out"));
    }
    let platform = match form.get("platform") {
        "" => None,
        _ => {
            let number = form.number("platform").and_then(|number| i32::try_from(number).ok());
            let known = number.filter(|number| Platform::NUMBERS.contains(number));
            Some(known.ok_or_else(|| Error::args("platform must be between 1 and 12"))?)
        }
    };
    visit.app().im.force_out(&visit.context, &user, platform).await?;
    Ok(Done { to: to_user(&user), notice: Text::DoneForcedOut })
}

pub(crate) async fn ban(visit: Visit, form: Fields) -> Result<Done> {
    let user = form.required("user")?;
    visit.app().im.ban(&visit.context, &user).await?;
    Ok(Done { to: to_user(&user), notice: Text::DoneBanned })
}

pub(crate) async fn unban(visit: Visit, form: Fields) -> Result<Done> {
    let user = form.required("user")?;
    visit.app().im.unban(&visit.context, &user).await?;
    Ok(Done { to: to_user(&user), notice: Text::DoneUnbanned })
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn support_ends_no_sessions_of_administrators() {
        let world = World::new().await;
        let support = world.signed_in("helper").await;
        for platform in ["", "10"] {
            let fields = [("user", "imAdmin"), ("platform", platform), ("reason", "mischief")];
            assert_eq!(support.post("/user/force-out", &fields).await.status(), 403, "{platform}");
        }
        assert!(world.im.forced_out().is_empty());
    }

    #[tokio::test]
    async fn users_are_listed_by_key_page_by_page() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        for number in 0..70 {
            world.im.add_user(&format!("u{number:02}"), "Ann");
        }
        let page = admin.page("/users?prefix=u").await;
        assert!(page.contains("/user?id=u49") && !page.contains("/user?id=u50"), "{page}");
        assert!(page.contains("/users?prefix=u&amp;after=u49"), "{page}");
        let page = admin.page("/users?prefix=u&after=u49").await;
        assert!(page.contains("/user?id=u50") && page.contains("/user?id=u69"), "{page}");
        assert!(!page.contains("rel=\"next\""), "{page}");
        let page = admin.page("/users?prefix=nobody").await;
        assert!(page.contains("Nothing found"), "{page}");
    }

    #[tokio::test]
    async fn a_user_is_shown_as_text_and_forced_out_and_banned_with_a_reason() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        world.im.add_user("ann", "<script>alert(1)</script>\"'\u{202e}");
        world.im.connect("ann", 2);
        let page = admin.page("/user?id=ann").await;
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;'[U+202E]"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("Android"), "{page}");

        let to = admin
            .done("/user/force-out", &[("user", "ann"), ("platform", "2"), ("reason", "lost phone")])
            .await;
        assert_eq!(to, "/user?done=forced-out&id=ann");
        assert_eq!(world.im.forced_out(), [("ann".to_owned(), 2)]);
        assert!(admin.page(&to).await.contains("has been logged out"));
        admin.done("/user/force-out", &[("user", "ann"), ("reason", "stolen")]).await;
        assert_eq!(world.im.forced_out().len(), 13, "on every platform");

        admin.done("/user/ban", &[("user", "ann"), ("reason", "spam")]).await;
        assert!(admin.page("/user?id=ann").await.contains("Banned"));
        admin.done("/user/unban", &[("user", "ann"), ("reason", "appeal")]).await;
        assert!(!admin.page("/user?id=ann").await.contains("Banned"));
        assert_eq!(admin.get("/user?id=nobody").await.status(), 404);
        assert_eq!(admin.get("/user").await.status(), 400);
    }
}
