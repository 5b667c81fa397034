//! The files of a user in object storage: their names, and how much of the day's quota is used.

use maud::{Markup, html};
use protocol::{
    Result,
    extension::{ListObjectsResp, ListedObject},
};

use crate::{
    audit,
    fields::{Fields, link},
    formatting::{number, said, time},
    http::{Done, Visit},
    page,
    roles::Role,
    texts::Text,
    users::{ROWS, to_user},
};

pub(crate) fn to_files(user: &str, after: &str) -> String {
    link("/files", &[("user", user), ("after", after)])
}

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let user = visit.query().required("user")?;
    let after = visit.query().get("after");
    let found = visit.app().im.files(&visit.context, &user, after, ROWS).await?;
    audit::listed(&visit, &user);
    let rows: Vec<Vec<Markup>> = found.objects.iter().map(|file| row(&visit, &user, file)).collect();
    let columns = [Text::Name, Text::Size, Text::Type, Text::Purpose, Text::Created, Text::Action]
        .map(|text| visit.text(text));
    let first = (!after.is_empty()).then(|| to_files(&user, ""));
    let last = found.objects.last().filter(|_| rows.len() == ROWS as usize);
    let next = last.map(|last| to_files(&user, &last.name));
    let body = html! {
        p { (visit.text(Text::User)) ": " a href=(to_user(&user)) { (said(&user)) } }
        (usage(&visit, &found))
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::Files), &columns, &rows))
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, &format!("{} {user}", visit.text(Text::Files)), &body))
}

/// Bytes are shown whole: limits are configured so.
fn bytes(count: i64) -> String {
    format!("{} B", number(count.max(0).unsigned_abs()))
}

fn usage(visit: &Visit, found: &ListObjectsResp) -> Markup {
    let limit = match found.max_bytes_per_day {
        0 => visit.text(Text::NoLimit).to_owned(),
        most => bytes(most),
    };
    page::facts(&[
        (visit.text(Text::UploadedToday), html! { (bytes(found.bytes_today)) }),
        (visit.text(Text::DailyLimit), html! { (limit) }),
    ])
}

fn row(visit: &Visit, user: &str, file: &ListedObject) -> Vec<Markup> {
    let hidden = [("user", user), ("name", file.name.as_str())];
    vec![
        said(&file.name),
        html! { (bytes(file.size)) },
        said(&file.content_type),
        said(&file.group),
        time(file.create_time),
        html! {
            @if visit.may(Role::Administrator) {
                (page::action(visit, "/files/delete", Text::DeleteFile, &hidden, &html! {}))
            } @else { "–" }
        },
    ]
}

pub(crate) async fn delete(visit: Visit, form: Fields) -> Result<Done> {
    let (user, name) = (form.required("user")?, form.required("name")?);
    let is_shared = visit.app().im.delete_file(&visit.context, &name).await?;
    let notice = if is_shared { Text::DoneNameDeleted } else { Text::DoneFileDeleted };
    Ok(Done { to: to_files(&user, ""), notice })
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn files_are_listed_by_key_with_the_quota_and_deleted_with_a_reason() {
        let world = World::new().await;
        for number in 0..60 {
            world.im.store_file("ann", &format!("ann/{number:02}.png"));
        }
        let helper = world.signed_in("helper").await;
        let page = helper.page("/files?user=ann").await;
        assert!(page.contains("ann/49.png") && !page.contains("ann/50.png"), "{page}");
        assert!(page.contains("5\u{202f}000 B") && page.contains("1\u{202f}000\u{202f}000 B"), "{page}");
        assert!(
            page.contains("/files?user=ann&amp;after=ann%2F49.png") && !page.contains("/files/delete"),
            "{page}"
        );
        let page = helper.page("/files?user=ann&after=ann%2F49.png").await;
        assert!(page.contains("ann/59.png") && !page.contains("rel=\"next\""), "{page}");

        let admin = world.signed_in("imAdmin").await;
        let fields = [("user", "ann"), ("name", "ann/07.png"), ("reason", "illegal")];
        assert_eq!(helper.post("/files/delete", &fields).await.status(), 403);
        let to = admin.done("/files/delete", &fields).await;
        assert_eq!(to, "/files?done=file-deleted&user=ann");
        assert!(!admin.page(&to).await.contains("ann/07.png"));
        assert_eq!(admin.post("/files/delete", &fields).await.status(), 404, "it is gone");
        assert_eq!(world.signed_in("reader").await.get("/files?user=ann").await.status(), 403);
    }
}
