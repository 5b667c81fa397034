//! Webhooks: what became of those that are delivered later, and which hooks are on.

use config::HookConfig;
use maud::{Markup, html};
use protocol::Result;

use crate::{
    formatting::{number, time},
    http::Visit,
    live, page,
    samples::Sample,
    texts::Text,
};

pub(crate) async fn page(visit: Visit) -> Result<Markup> {
    let counts = match visit.app().samples.last() {
        Some(sample) => counts(&visit, &sample),
        None => html! { p { (visit.text(Text::NoNumbersYet)) } },
    };
    let rows: Vec<Vec<Markup>> = visit
        .app()
        .config
        .webhooks
        .hooks
        .iter()
        .filter(|(_, hook)| hook.enable)
        .map(|(key, hook)| row(&visit, key, hook))
        .collect();
    let columns = [Text::Hook, Text::Timeout, Text::Unanswered].map(|text| visit.text(text));
    let body = html! {
        (counts)
        p { a href="/webhooks/set-aside" { (visit.text(Text::HooksSetAside)) } }
        (live::switch(&visit))
        h2 { (visit.text(Text::HooksOn)) }
        @if rows.is_empty() { p { (visit.text(Text::Empty)) } } @else { (page::table(visit.text(Text::HooksOn), &columns, &rows)) }
    };
    Ok(page::shown(&visit, visit.text(Text::Webhooks), &body))
}

fn counts(visit: &Visit, sample: &Sample) -> Markup {
    let hooks = sample.numbers.hooks;
    let tiles = [
        (Text::HooksDelivered, hooks.delivered),
        (Text::HooksRetried, hooks.retried),
        (Text::HooksSetAside, hooks.set_aside),
        (Text::HooksGivenUp, hooks.given_up),
    ];
    html! {
        dl.tiles { @for (text, count) in tiles { div { dt { (visit.text(text)) } dd { (number(count)) } } } }
        p.small { (visit.text(Text::SinceProcesses)) " · " (visit.text(Text::AsOf)) " " (time(sample.at_ms)) }
        @if hooks.given_up > 0 { p.problem role="status" { (visit.text(Text::HooksLost)) } }
    }
}

/// What happens without an answer: hooks before something let it happen or not, those after it are delivered later.
fn row(visit: &Visit, key: &str, hook: &HookConfig) -> Vec<Markup> {
    let unanswered = match (key.starts_with("after"), hook.failed_continue) {
        (true, _) => Text::DeliveredLater,
        (false, true) => Text::ActionContinues,
        (false, false) => Text::ActionFails,
    };
    vec![html! { (key) }, html! { (hook.timeout) " s" }, html! { (visit.text(unanswered)) }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        samples::{Hooks, Numbers},
        testing::World,
    };

    #[tokio::test]
    async fn webhooks_are_counted_and_those_that_are_on_are_listed() {
        let hook = |enable, failed_continue| HookConfig {
            enable,
            failed_continue,
            timeout: 7,
            ..Default::default()
        };
        let world = World::configured(|config| {
            let hooks = [
                ("afterSendGroupMsg", hook(true, true)),
                ("beforeSendGroupMsg", hook(true, false)),
                ("afterAddFriend", hook(false, true)),
            ];
            config.webhooks.hooks = hooks.map(|(key, hook)| (key.to_owned(), hook)).into();
            config.webhooks.url = "https://somebody:password@hooks.example".into();
        })
        .await;
        let admin = world.signed_in("reader").await;
        assert!(admin.page("/webhooks").await.contains("No numbers yet"));
        let hooks = Hooks { delivered: 1_234, retried: 5, set_aside: 6, given_up: 7 };
        let numbers = Numbers { hooks, ..Default::default() };
        world.app.samples.put(Sample {
            at_ms: 1_700_000_000_000,
            numbers,
            rates: None,
            answered: 1,
            silent: 0,
        });
        let page = admin.page("/webhooks").await;
        for expected in
            ["1\u{202f}234", "afterSendGroupMsg", "7 s", "delivered later", "the action fails", "audit log"]
        {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("afterAddFriend") && !page.contains("password"), "{page}");
    }
}
