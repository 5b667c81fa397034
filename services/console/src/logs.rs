//! Log files that clients have uploaded: those of a day, newest first.

use jiff::{ToSpan, civil::Date, tz::TimeZone};
use maud::{Markup, html};
use protocol::{Error, Result, third::LogInfo};

use crate::{
    fields::{Fields, link},
    formatting::{said, time},
    http::{Done, Visit},
    page,
    roles::Role,
    texts::Text,
    users::to_user,
};

/// Files in a page.
const ROWS: i32 = 50;
/// Last page of a day that is shown.
const LAST_PAGE: i32 = 200;
const DAY_MS: i64 = 86_400_000;

/// The first millisecond of a day in UTC.
fn start(day: Date) -> Result<i64> {
    let start = day.to_zoned(TimeZone::UTC).map_err(|_| Error::args("day is out of range"))?;
    Ok(start.timestamp().as_millisecond())
}

fn day_of(visit: &Visit) -> Result<Date> {
    match visit.query().trimmed("day") {
        "" => {
            let now = jiff::Timestamp::from_millisecond(visit.app().clock.now_ms());
            Ok(now.map_err(Error::internal)?.to_zoned(TimeZone::UTC).date())
        }
        day => day.parse().map_err(|_| Error::args("day must be a date such as 2026-11-30")),
    }
}

pub(crate) async fn list(visit: Visit) -> Result<Markup> {
    let day = day_of(&visit)?;
    let start = start(day)?;
    let number = visit.page_number(LAST_PAGE);
    let keyword = visit.query().trimmed("text");
    let im = &visit.app().im;
    let found = im.logs(&visit.context, keyword, start..start + DAY_MS, number, ROWS).await?;
    crate::audit::listed(&visit, &format!("{day} {keyword}"));
    let rows: Vec<Vec<Markup>> = found.logs_infos.iter().map(|log| row(&visit, day, log)).collect();
    let columns =
        [Text::Time, Text::User, Text::Platform, Text::File, Text::Action].map(|text| visit.text(text));
    let following = page::following(number, ROWS, LAST_PAGE, found.total);
    let at = |day: Date, number: i32| {
        let (day, number) = (day.to_string(), number.to_string());
        link("/logs", &[("day", &day), ("text", keyword), ("page", &number)])
    };
    let (first, next) = ((number > 1).then(|| at(day, 1)), following.map(|number| at(day, number)));
    let body = html! {
        (search(&visit, day))
        nav.pages aria-label=(visit.text(Text::Days)) {
            @if let Ok(before) = day.checked_sub(1.day()) { a href=(at(before, 1)) { (visit.text(Text::DayBefore)) } }
            @if let Ok(after) = day.checked_add(1.day()) { a href=(at(after, 1)) { (visit.text(Text::DayAfter)) } }
        }
        @if rows.is_empty() {
            p { (visit.text(Text::NothingFound)) }
        } @else {
            (page::table(visit.text(Text::ClientLogs), &columns, &rows))
        }
        (page::pages(&visit, first.as_deref(), next.as_deref()))
    };
    Ok(page::shown(&visit, &format!("{} {day}", visit.text(Text::ClientLogs)), &body))
}

fn search(visit: &Visit, day: Date) -> Markup {
    html! {
        form.search method="get" action="/logs" role="search" {
            input type="hidden" name="day" value=(day.to_string());
            label for="search" { (visit.text(Text::UserOrFile)) }
            input #search type="search" name="text" value=(visit.query().get("text")) maxlength="200" autocomplete="off";
            button { (visit.text(Text::Search)) }
        }
    }
}

fn row(visit: &Visit, day: Date, log: &LogInfo) -> Vec<Markup> {
    let day = day.to_string();
    let hidden = [("log", log.log_id.as_str()), ("day", day.as_str())];
    vec![
        time(log.create_time),
        html! { a href=(to_user(&log.user_id)) { (said(&log.user_id)) } " " (said(&log.nickname)) },
        html! { (said(&log.platform)) " " (said(&log.system_type)) " " (said(&log.version)) },
        // Its address is a client's text: nobody is led there by a click.
        html! { (said(&log.filename)) br; span.small { (said(&log.url)) } },
        html! {
            @if visit.may(Role::Administrator) {
                (page::action(visit, "/logs/delete", Text::DeleteLog, &hidden, &html! {}))
            } @else { "–" }
        },
    ]
}

pub(crate) async fn delete(visit: Visit, form: Fields) -> Result<Done> {
    let log = form.required("log")?;
    visit.app().im.delete_log(&visit.context, &log).await?;
    Ok(Done { to: link("/logs", &[("day", form.get("day"))]), notice: Text::DoneLogDeleted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn logs_are_listed_by_day_and_deleted() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        world.im.upload("7", "ann", "javascript:alert(1)");
        let page = admin.page("/logs").await;
        assert!(page.contains("2023-11-14") && page.contains("javascript:alert(1)"), "{page}");
        assert!(!page.contains("href=\"javascript"), "an address of a client is no link: {page}");
        assert!(page.contains("day=2023-11-13") && page.contains("day=2023-11-15"), "{page}");
        assert!(admin.page("/logs?day=2023-11-13").await.contains("Nothing found"));
        assert_eq!(admin.get("/logs?day=yesterday").await.status(), 400);
        assert_eq!(admin.get("/logs?day=9999-12-30").await.status(), 200);

        let support = world.signed_in("helper").await;
        assert!(!support.page("/logs").await.contains("/logs/delete"));
        let to =
            admin.done("/logs/delete", &[("log", "7"), ("day", "2023-11-14"), ("reason", "private")]).await;
        assert_eq!(to, "/logs?done=log-deleted&day=2023-11-14");
        assert!(admin.page(&to).await.contains("Nothing found"));
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(start("2023-11-14".parse().unwrap()).unwrap(), 1_699_920_000_000);
    }
}
