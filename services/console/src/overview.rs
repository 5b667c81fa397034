//! The overview: how many people and messages, and what fails.

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
    let body = match visit.app().samples.last() {
        Some(sample) => numbers(&visit, &sample),
        None => html! { p { (visit.text(Text::NoNumbersYet)) } },
    };
    let version = page::facts(&[(visit.text(Text::Version), html! { (visit.app().version) })]);
    let body = html! { (body) (live::switch(&visit)) (version) };
    Ok(page::shown(&visit, visit.text(Text::Overview), &body))
}

fn numbers(visit: &Visit, sample: &Sample) -> Markup {
    let numbers = &sample.numbers;
    let rates = sample.rates;
    let rate = |of: Option<f64>| html! { @match of { Some(rate) => (format!("{rate:.1}")), None => "–" } };
    let rows = [
        (Text::UsersOnline, html! { (number(numbers.online)) }),
        (Text::Connections, html! { (number(numbers.connections)) }),
        (Text::MessagesPerSecond, rate(rates.map(|rates| rates.accepted))),
        (Text::StoredPerSecond, rate(rates.map(|rates| rates.stored))),
        (Text::MessagesAccepted, html! { (number(numbers.accepted)) }),
        (Text::MessagesStored, html! { (number(numbers.stored)) }),
        (Text::FailuresPerSecond, rate(rates.map(|rates| rates.failed))),
        (Text::Failures, html! { (number(numbers.failed)) }),
        (Text::Delay, html! { (delay(rates.and_then(|rates| rates.delay))) }),
        (Text::Lag, html! { (number(numbers.lag)) }),
    ];
    html! {
        @if sample.silent > 0 {
            p.problem role="alert" { (visit.text(Text::SilentProcesses)) ": " (sample.silent) }
        }
        dl.tiles {
            @for (text, value) in rows { div { dt { (visit.text(text)) } dd { (value) } } }
        }
        p.small {
            (visit.text(Text::SumsOf)) ": " (sample.answered) " · " (visit.text(Text::AsOf)) " " (time(sample.at_ms))
        }
    }
}

/// In the units that somebody would say it in.
fn delay(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds.is_infinite() => "> 32 s".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("≤ {:.0} ms", seconds * 1000.0),
        Some(seconds) => format!("≤ {seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        samples::{Hooks, Numbers, Rates},
        testing::World,
    };

    #[tokio::test]
    async fn the_overview_has_the_numbers_of_the_last_sample() {
        let world = World::new().await;
        let before = world.signed_in("imAdmin").await.page("/").await;
        assert!(before.contains("No numbers yet"), "{before}");
        world.app.samples.put(Sample {
            at_ms: 1_700_000_000_000,
            numbers: Numbers {
                online: 12_345,
                connections: 2,
                accepted: 3,
                stored: 4,
                failed: 5,
                lag: 6_789,
                hooks: Hooks::default(),
                ..Default::default()
            },
            rates: Some(Rates { accepted: 7.25, stored: 1.0, failed: 0.0, delay: Some(0.064) }),
            answered: 4,
            silent: 1,
        });
        let page = world.signed_in("imAdmin").await.page("/").await;
        for expected in [
            "12\u{202f}345",
            "6\u{202f}789",
            "≤ 64 ms",
            "7.2",
            "2023-11-14 22:13:20 UTC",
            "did not answer: 1",
            "9.9.9",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
    }

    #[test]
    fn a_delay_is_said_in_its_unit() {
        assert_eq!(delay(Some(0.002)), "≤ 2 ms");
        assert_eq!(delay(Some(2.048)), "≤ 2 s");
        assert_eq!((delay(Some(f64::INFINITY)).as_str(), delay(None).as_str()), ("> 32 s", "–"));
    }
}
