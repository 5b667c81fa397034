//! Users who are banned, and those who were erased; and erasing one, which nobody takes back.

use maud::{Markup, html};
use protocol::{Error, Result, extension::DisabledUser};

use crate::{
    fields::{Fields, link},
    formatting::said,
    http::{Done, Visit},
    page,
    roles::Role,
    texts::Text,
    users::{ROWS, to_user},
};

/// Last page that is shown.
const LAST_PAGE: i32 = 200;
const BANNED: i32 = 1;
const ERASED: i32 = 2;

fn to_list(status: i32, number: i32) -> String {
    link("/disabled", &[("status", &status.to_string()), ("page", &number.to_string())])
}

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let status = if visit.query().number("status") == Some(ERASED.into()) { ERASED } else { BANNED };
    let (title, other) = match status {
        ERASED => (Text::ErasedUsers, (BANNED, Text::BannedUsers)),
        _ => (Text::BannedUsers, (ERASED, Text::ErasedUsers)),
    };
    let number = visit.page_number(LAST_PAGE);
    let found = visit.app().im.disabled(&visit.context, status, number, ROWS).await?;
    let rows: Vec<Vec<Markup>> = found.users.iter().map(row).collect();
    let columns = [Text::UserId, Text::Nickname].map(|text| visit.text(text));
    let first = (number > 1).then(|| to_list(status, 1));
    let next = page::following(number, ROWS, LAST_PAGE, found.total).map(|number| to_list(status, number));
    let body = html! {
        nav.pages aria-label=(visit.text(Text::Users)) {
            a href="/users" { (visit.text(Text::Users)) }
            a href=(to_list(other.0, 1)) { (visit.text(other.1)) }
        }
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(title), &columns, &rows))
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, visit.text(title), &body))
}

/// One who is gone has no page.
fn row(user: &DisabledUser) -> Vec<Markup> {
    let id = said(&user.user_id);
    let id = if user.status == BANNED {
        html! { a href=(to_user(&user.user_id)) { (id) } }
    } else {
        id
    };
    vec![id, said(&user.nickname)]
}

/// For administrators: the erasure with the id to be typed, and how to keep the data of the user before that.
pub(crate) fn actions(visit: &Visit, id: &str) -> Markup {
    if !visit.may(Role::Administrator) || visit.app().config.is_admin(id) {
        return html! {};
    }
    let more = html! {
        p.small { (visit.text(Text::EraseIsFinal)) }
        p.small { (visit.text(Text::ExportFirst)) " " code { "openim-server export-user" } }
        label {
            (visit.text(Text::TypeUserId))
            input name="confirm" required maxlength="64" autocomplete="off" spellcheck="false";
        }
    };
    page::action(visit, "/user/erase", Text::Erase, &[("user", id)], &more)
}

pub(crate) async fn erase(visit: Visit, form: Fields) -> Result<Done> {
    let user = form.required("user")?;
    if form.get("confirm") != user {
        return Err(Error::args("confirm must be the id of the user, as it is written there"));
    }
    visit.app().im.erase(&visit.context, &user).await?;
    Ok(Done { to: to_list(ERASED, 1), notice: Text::DoneErased })
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn a_user_is_erased_by_an_administrator_who_has_typed_the_id() {
        let world = World::new().await;
        world.im.add_user("ann", "Ann");
        let helper = world.signed_in("helper").await;
        assert!(!helper.page("/user?id=ann").await.contains("/user/erase"));
        let fields = |confirm| [("user", "ann"), ("confirm", confirm), ("reason", "asked for it")];
        assert_eq!(helper.post("/user/erase", &fields("ann")).await.status(), 403);
        let admin = world.signed_in("imAdmin").await;
        let page = admin.page("/user?id=ann").await;
        assert!(page.contains("/user/erase") && page.contains("openim-server export-user"), "{page}");
        for wrong in ["", "Ann", "ann "] {
            assert_eq!(admin.post("/user/erase", &fields(wrong)).await.status(), 400, "{wrong}");
        }
        assert_eq!(admin.get("/user?id=ann").await.status(), 200, "nothing has happened");
        let to = admin.done("/user/erase", &fields("ann")).await;
        assert_eq!(to, "/disabled?done=erased&page=1&status=2");
        let page = admin.page(&to).await;
        assert!(page.contains("Erasure has begun") && page.contains("<bdi>ann</bdi>"), "{page}");
        assert_eq!(admin.get("/user?id=ann").await.status(), 404);
    }

    #[tokio::test]
    async fn banned_users_are_listed_page_by_page() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        for number in 0..60 {
            let id = format!("u{number:02}");
            world.im.add_user(&id, "Ann");
            admin.done("/user/ban", &[("user", &id), ("reason", "spam")]).await;
        }
        let page = admin.page("/disabled").await;
        assert!(page.contains("/user?id=u49") && !page.contains("/user?id=u50"), "{page}");
        assert!(page.contains("/disabled?status=1&amp;page=2"), "{page}");
        let page = admin.page("/disabled?status=1&page=2").await;
        assert!(page.contains("/user?id=u59") && !page.contains("rel=\"next\""), "{page}");
    }
}
