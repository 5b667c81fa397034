//! When changes that restart pods can start: maintenance windows, and the approval of a plan. Pure.

use std::collections::BTreeMap;

use crds::{Approval, Day, Reason, Window};
use hex::encode;
use jiff::{SignedDuration, Timestamp, civil::Weekday, tz::TimeZone};
use k8s_openapi::api::apps::v1::Deployment;
use sha2::{Digest, Sha256};
use topology::{Extra, Server};

use crate::model::{
    asked::Asked,
    cluster::Cluster,
    names::APPROVED,
    plan::{Gate, Wanted},
    pod_template,
};

/// Hours and minutes of "HH:MM".
pub fn time_of_day(text: &str) -> Option<(i8, i8)> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str, below: i8| {
        let number: i8 = part.parse().ok()?;
        (part.len() == 2 && (0..below).contains(&number)).then_some(number)
    };
    Some((two(hours, 24)?, two(minutes, 60)?))
}

fn is_on(days: &[Day], weekday: Weekday) -> bool {
    let day = match weekday {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    };
    days.is_empty() || days.contains(&day)
}

/// When this window opens, from yesterday on (it may still be open) for a week.
fn openings(window: &Window, now: Timestamp) -> Vec<Timestamp> {
    let Some((hours, minutes)) = time_of_day(&window.start) else { return vec![] };
    let today = now.to_zoned(TimeZone::UTC).date();
    (-1_i64..=7)
        .filter_map(|days| today.checked_add(SignedDuration::from_hours(24 * days)).ok())
        .filter(|date| is_on(&window.days, date.weekday()))
        .filter_map(|date| date.at(hours, minutes, 0, 0).to_zoned(TimeZone::UTC).ok())
        .map(|opening| opening.timestamp())
        .collect()
}

/// `None` while a window is open or none is configured; otherwise when the next one opens.
pub fn next(windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    let open = windows.iter().any(|window| {
        let length = SignedDuration::from_mins(i64::from(window.minutes));
        openings(window, now).into_iter().any(|opening| opening <= now && now < opening + length)
    });
    if open {
        return None;
    }
    windows.iter().flat_map(|window| openings(window, now)).filter(|opening| *opening > now).min()
}

/// The id of the plan: a hash of the target revisions.
pub fn plan_id(wanted: &[Wanted], console: Option<&Deployment>, servers: &BTreeMap<Server, Asked>) -> String {
    let mut digest = Sha256::new();
    for item in wanted {
        digest.update(item.service.name());
        digest.update(pod_template::revision_of(pod_template::template_of(&item.deployment)));
    }
    if let Some(console) = console {
        digest.update(Extra::Console.name());
        digest.update(pod_template::revision_of(pod_template::template_of(console)));
    }
    let servers: BTreeMap<&str, &Asked> =
        servers.iter().map(|(server, asked)| (server.name(), asked)).collect();
    digest.update(serde_json::to_vec(&servers).unwrap_or_default());
    encode(digest.finalize())[..8].to_owned()
}

/// Why changes that restart pods may not begin now, if so.
pub fn closed(cluster: &Cluster, plan_id: &str, now: Timestamp) -> Option<Gate> {
    let policy = &cluster.spec.rollout;
    if policy.approval == Approval::Required && cluster.approved_plan != plan_id {
        return Some(Gate {
            reason: Reason::AwaitingApproval,
            message: format!(
                "plan {plan_id} waits for approval: kubectl openim approve {0}, or kubectl annotate openimcluster {0} {APPROVED}={plan_id} --overwrite",
                cluster.name
            ),
        });
    }
    next(&policy.windows, now).map(|opening| Gate {
        reason: Reason::OutsideWindow,
        message: format!("changes that restart pods wait for the maintenance window at {opening:.0}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(days: &[Day], start: &str, minutes: i32) -> Window {
        Window { days: days.to_vec(), start: start.into(), minutes }
    }

    #[test]
    fn a_window_opens_on_its_days_and_may_last_past_midnight() {
        // 2026-11-28 is a Saturday.
        let windows = [window(&[Day::Sat], "23:00", 120)];
        for (now, opens) in [
            ("2026-11-28T22:59:59Z", Some("2026-11-28T23:00:00Z")),
            ("2026-11-28T23:00:00Z", None),
            ("2026-11-29T00:59:59Z", None),
            ("2026-11-29T01:00:00Z", Some("2026-12-05T23:00:00Z")),
        ] {
            assert_eq!(next(&windows, at(now)), opens.map(at), "{now}");
        }
        assert_eq!(next(&[], at("2026-11-28T00:00:00Z")), None, "without windows it is always open");
        assert_eq!(next(&[window(&[], "00:00", 1440)], at("2026-11-28T12:00:00Z")), None);
    }

    #[test]
    fn times_of_day_have_four_digits() {
        assert_eq!(time_of_day("02:30"), Some((2, 30)));
        for wrong in ["2:30", "24:00", "12:60", "noon", "02:30:00", "-1:00"] {
            assert_eq!(time_of_day(wrong), None, "{wrong}");
        }
    }

    proptest! {
        /// What is said to open, opens then and not before.
        #[test]
        fn the_next_opening_is_open_and_everything_before_is_closed(
            now in 1_700_000_000_i64..1_900_000_000, hour in 0..24_u8, minutes in 10..1440_i32, days in prop::collection::vec(0..7_usize, 0..4)
        ) {
            let all = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];
            let days: Vec<Day> = days.into_iter().map(|day| all[day]).collect();
            let windows = [window(&days, &format!("{hour:02}:15"), minutes)];
            let now = Timestamp::from_second(now).unwrap();
            if let Some(opening) = next(&windows, now) {
                prop_assert!(opening > now);
                prop_assert_eq!(next(&windows, opening), None);
                let before = opening - SignedDuration::from_secs(1);
                prop_assert_eq!(next(&windows, before.max(now)), Some(opening));
            }
        }
    }
}
