//! Pages that reload themselves: by a header, because there are no scripts, and only where somebody has asked for it. Watching is no use of
//! a session: it ends as if nobody were there.

use axum::{
    http::{HeaderValue, header::HeaderName},
    response::Response,
};
use maud::{Markup, html};

use crate::{fields::link, http::Visit, texts::Text};

/// Pages that can.
const PAGES: [&str; 3] = ["/", "/cluster", "/webhooks"];
const REFRESH: HeaderName = HeaderName::from_static("refresh");
/// Seconds between two samples.
const EVERY: &str = "15";

/// Whether this page was asked to reload itself.
pub(crate) fn is_live(visit: &Visit) -> bool {
    PAGES.contains(&visit.path) && visit.query().get("live") == "on"
}

/// The answer, which the browser asks for again after a while.
pub(crate) fn again(mut answer: Response) -> Response {
    answer.headers_mut().insert(REFRESH, HeaderValue::from_static(EVERY));
    answer
}

/// A link to reload once, and one to begin or to end it.
pub(crate) fn switch(visit: &Visit) -> Markup {
    let is_live = is_live(visit);
    let (to, text) = match is_live {
        true => (visit.path.to_owned(), Text::LiveOff),
        false => (link(visit.path, &[("live", "on")]), Text::LiveOn),
    };
    html! {
        @if is_live { p.small { (visit.text(Text::LiveNow)) } }
        nav.pages aria-label=(visit.text(Text::Refresh)) {
            @if !is_live { a href=(visit.path) { (visit.text(Text::Refresh)) } }
            a href=(to) { (visit.text(text)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn a_page_reloads_itself_only_when_asked_and_that_keeps_no_session() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        assert!(!admin.get("/").await.headers().contains_key("refresh"));
        assert!(!admin.get("/users?live=on").await.headers().contains_key("refresh"), "not every page can");
        let page = admin.page("/").await;
        assert!(page.contains("/?live=on") && page.contains("Refresh"), "{page}");
        let answer = admin.get("/?live=on").await;
        assert_eq!(answer.headers()["refresh"], "15");
        // Whoever only watches is signed out after half an hour, as the configuration says.
        for _ in 0..7 {
            world.clock.pass(5 * 60_000);
            let answer = admin.get("/?live=on").await;
            assert!(!answer.headers().contains_key("set-cookie"));
        }
        let answer = admin.get("/?live=on").await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()),
            (303, "/sign-in")
        );
    }
}
