//! What all pages have: their frame, and the parts they are made of.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};
use protocol::Error;

use crate::{
    fields::link,
    formatting::{plain, said},
    http::{Seen, Visit},
    notices,
    roles::Role,
    texts::Text,
};

pub(crate) const STYLE_PATH: &str = "/style.css";
const STYLE: &str = include_str!("style.css");
pub(crate) const ICON_PATH: &str = "/icon.svg";
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0b57a4"/><path d="M4 4h8v6H8l-2 2v-2H4z" fill="#fff"/></svg>"##;
/// Pages name the style sheet by its version: browsers may keep it.
const KEEP: &str = "public, max-age=86400";

/// The style sheet.
pub(crate) async fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, KEEP)];
    (headers, STYLE).into_response()
}

/// The icon of a tab: without one, browsers ask for another and report that the policy forbids it.
pub(crate) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, KEEP)], ICON).into_response()
}

/// The response of a page.
pub(crate) fn answer(markup: Markup) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

/// A page of somebody who has signed in.
pub(crate) fn shown(visit: &Visit, title: &str, body: &Markup) -> Markup {
    frame(&visit.seen, Some(visit), title, body)
}

/// Any page.
pub(crate) fn frame(seen: &Seen, visit: Option<&Visit>, title: &str, body: &Markup) -> Markup {
    let style = format!("{STYLE_PATH}?v={}", seen.app.version);
    let notice = notices::text(seen.query.get("done"));
    html! {
        (DOCTYPE)
        html lang=(seen.language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (plain(title)) " – OpenIM" }
                link rel="stylesheet" href=(style);
                link rel="icon" type="image/svg+xml" href=(ICON_PATH);
            }
            body {
                a.skip href="#main" { (seen.text(Text::SkipToContent)) }
                (header(seen, visit))
                main #main tabindex="-1" {
                    h1 { (said(title)) }
                    @if let Some(notice) = notice { p.notice role="status" { (seen.text(notice)) } }
                    (body)
                }
            }
        }
    }
}

fn header(seen: &Seen, visit: Option<&Visit>) -> Markup {
    let cluster = seen.app.kubernetes.as_ref().map(|_| ("/cluster", Text::Cluster, Role::ReadOnly));
    let sections = [
        ("/", Text::Overview, Role::ReadOnly),
        ("/users", Text::Users, Role::ReadOnly),
        ("/groups", Text::Groups, Role::ReadOnly),
        ("/notifications", Text::Notifications, Role::ReadOnly),
        ("/webhooks", Text::Webhooks, Role::ReadOnly),
        ("/logs", Text::ClientLogs, Role::Support),
    ];
    html! {
        header {
            @if let Some(visit) = visit {
                nav aria-label=(seen.text(Text::Sections)) {
                    @for (path, text, role) in sections.into_iter().chain(cluster) {
                        @if visit.may(role) {
                            a href=(path) aria-current=[(visit.path == path).then_some("page")] { (seen.text(text)) }
                        }
                    }
                }
                div.who {
                    span { (said(&visit.signed.session.who())) " · " (seen.text(visit.signed.role.text())) }
                    form method="post" action="/sign-out" {
                        (token(visit))
                        button.plain { (seen.text(Text::SignOut)) }
                    }
                }
            }
            (switch(seen))
        }
    }
}

/// The same page in the other language.
fn switch(seen: &Seen) -> Markup {
    let other = seen.language.other();
    let (path, rest) = match seen.is_page {
        true => (seen.path, seen.query.without(&["lang", "done"])),
        // The answer to an action has no address of its own.
        false => ("/", String::new()),
    };
    let address = link(path, &[("lang", other.key())]);
    let address = if rest.is_empty() { address } else { format!("{address}&{rest}") };
    html! { a.language href=(address) lang=(other.tag()) hreflang=(other.tag()) { (other.name()) } }
}

/// What every form has.
pub(crate) fn token(visit: &Visit) -> Markup {
    html! { input type="hidden" name="form" value=(visit.signed.session.form); }
}

/// Something that is not shown or not done, and why.
pub(crate) fn refused(seen: &Seen, visit: Option<&Visit>, what: Text, error: Option<&Error>) -> Markup {
    let body = html! {
        p.problem role="alert" {
            @match error {
                Some(error) => { (said(error.shown())) " (" (error.code.number()) ")" }
                None => { (seen.text(what)) }
            }
        }
        p { a href="/" { (seen.text(Text::BackToOverview)) } }
        p.small { (seen.text(Text::OperationId)) ": " code { (seen.operation_id) } }
    };
    frame(seen, visit, seen.text(Text::NotDone), &body)
}

/// A list of terms and what they are.
pub(crate) fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (term, value) in rows { div { dt { (term) } dd { (value) } } } } }
}

/// A table whose rows stand on narrow screens as lists: each cell names its column.
pub(crate) fn table(caption: &str, columns: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" { @for column in columns { th scope="col" role="columnheader" { (column) } } }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (cell, column) in row.iter().zip(columns) { td role="cell" data-label=(column) { (cell) } }
                    }
                }
            }
        }
    }
}

/// A search by the beginning of an id.
pub(crate) fn search(visit: &Visit, action: &str, label: &str) -> Markup {
    html! {
        form.search method="get" action=(action) role="search" {
            label for="search" { (label) }
            input #search type="search" name="prefix" value=(visit.query().get("prefix")) maxlength="64" autocomplete="off" spellcheck="false";
            button { (visit.text(Text::Search)) }
        }
    }
}

/// The number of the page behind one of a list of `total` rows, unless it is the last that is shown.
pub(crate) fn following(number: i32, rows: i32, last: i32, total: impl Into<i64>) -> Option<i32> {
    let is_more = total.into() > i64::from(number) * i64::from(rows);
    (is_more && number < last).then_some(number + 1)
}

/// Where a list begins and goes on.
pub(crate) fn pages(visit: &Visit, first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        @if first.is_some() || next.is_some() {
            nav.pages aria-label=(visit.text(Text::Pages)) {
                @if let Some(first) = first { a href=(first) { (visit.text(Text::FirstPage)) } }
                @if let Some(next) = next { a href=(next) rel="next" { (visit.text(Text::NextPage)) } }
            }
        }
    }
}

/// An action with its reason, folded until it is wanted.
pub(crate) fn action(
    visit: &Visit,
    path: &str,
    title: Text,
    hidden: &[(&str, &str)],
    more: &Markup,
) -> Markup {
    // Whom or what it is about, for those who hear a list of controls.
    let subject = hidden.last().map_or("", |(_, value)| value);
    html! {
        details {
            summary aria-label=(format!("{} {subject}", visit.text(title))) { (visit.text(title)) }
            form method="post" action=(path) {
                (token(visit))
                @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
                (more)
                label {
                    (visit.text(Text::Reason))
                    input name="reason" required maxlength="500" autocomplete="off";
                }
                button.act { (visit.text(title)) }
            }
        }
    }
}
