//! Backups of a schedule: their names, and the removal of the old ones after a new one is whole.
//!
//! A backup exists while its manifest does, so the manifest is removed first: one that is half removed is not taken for a backup. What is
//! left of it has no manifest, as a backup that was interrupted has none; both are removed once nobody can be writing them any more. A run
//! can end anywhere: the next one finds the same state and goes on.

use std::collections::BTreeMap;

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use object_storage::Objects;

use super::manifest::{FOLDER, MANIFEST, key};

/// A scheduled backup is given up after this time.
pub(super) const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// What has no manifest and was begun before this time is not being written any more. The hour is for clocks that differ.
const ABANDONED: SignedDuration = SignedDuration::from_hours(25);
/// Backups that one run removes at most: the next one goes on.
const MOST_REMOVED: usize = 30;

const TIME: &str = "%Y-%m-%dt%H-%M-%S";
const TIME_LENGTH: usize = 19;
const MARK: &str = "-scheduled-";

/// The backups of one schedule. Its id is part of their names, so that several clusters can share a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Series(String);

impl Series {
    /// The schedule with an id.
    pub(crate) fn new(id: &str) -> anyhow::Result<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        ensure!(
            (1..=16).contains(&id.len()) && id.bytes().all(fits),
            "{id:?}: the id of a schedule has 1 to 16 lower-case letters and digits"
        );
        Ok(Self(id.to_owned()))
    }

    /// Name of a backup that begins now. Names sort by time, and nobody can guess them.
    pub(super) fn name(&self, now: Timestamp) -> String {
        let random = hex::encode(rand::random::<[u8; 8]>());
        format!("{}-{random}{MARK}{}", now.strftime(TIME), self.0)
    }

    /// When the backup with this name was begun; `None` if it is not one of this schedule.
    fn begun(&self, name: &str) -> Option<Timestamp> {
        parts(name).filter(|(_, id)| *id == self.0).map(|(begun, _)| begun)
    }
}

/// The time and the schedule in a name.
fn parts(name: &str) -> Option<(Timestamp, &str)> {
    let (time, rest) = name.split_at_checked(TIME_LENGTH)?;
    let (random, id) = rest.strip_prefix('-')?.split_once(MARK)?;
    let is_ours = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    let begun = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?;
    (is_ours && !id.is_empty()).then(|| (begun.timestamp(), id))
}

/// Whether only a schedule may use a name: its backups are removed after a while.
pub(super) fn is_reserved(name: &str) -> bool {
    parts(name).is_some()
}

/// What the removal needs of an object storage.
pub(super) trait Bucket {
    /// Hands over the keys that begin with a prefix.
    async fn for_each_key(&self, prefix: &str, take: impl FnMut(String)) -> anyhow::Result<()>;
    /// Removes an object; one that does not exist is already removed.
    async fn remove(&self, key: &str) -> anyhow::Result<()>;
}

impl Bucket for Objects {
    async fn for_each_key(&self, prefix: &str, take: impl FnMut(String)) -> anyhow::Result<()> {
        Ok(Self::for_each_key(self, prefix, take).await?)
    }

    async fn remove(&self, key: &str) -> anyhow::Result<()> {
        Ok(self.delete(key).await?)
    }
}

/// Removes all backups of a series but the newest `keep`, and what is left of interrupted ones. `newest` was just written and always stays.
/// Returns the number of removed backups.
pub(super) async fn remove_old(
    bucket: &impl Bucket,
    series: &Series,
    keep: usize,
    newest: &str,
    now: Timestamp,
) -> anyhow::Result<usize> {
    // By name, and so by time: whether it is whole.
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    let note = |key: String| {
        let Some((name, object)) = key.strip_prefix(FOLDER).and_then(|rest| rest.split_once('/')) else {
            return;
        };
        if name != newest && series.begun(name).is_some() {
            *found.entry(name.to_owned()).or_default() |= object == MANIFEST;
        }
    };
    bucket.for_each_key(FOLDER, note).await?;
    let whole = found.values().filter(|is_whole| **is_whole).count();
    // The newest one is one of those that are kept.
    let mut too_many = whole.saturating_sub(keep.saturating_sub(1));
    let mut doomed = Vec::new();
    for (name, is_whole) in &found {
        if *is_whole && too_many > 0 {
            too_many -= 1;
            doomed.push(name);
        } else if !is_whole && series.begun(name).is_some_and(|begun| now.duration_since(begun) > ABANDONED) {
            doomed.push(name);
        }
    }
    doomed.truncate(MOST_REMOVED);
    for name in &doomed {
        remove(bucket, name).await?;
    }
    Ok(doomed.len())
}

async fn remove(bucket: &impl Bucket, name: &str) -> anyhow::Result<()> {
    bucket.remove(&key(name, MANIFEST)).await?;
    let mut left = Vec::new();
    bucket.for_each_key(&key(name, ""), |key| left.push(key)).await?;
    for key in left {
        bucket.remove(&key).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::BTreeSet,
    };

    use anyhow::bail;

    use super::*;

    /// A bucket in memory that dies when it was asked for more than it may do.
    #[derive(Default)]
    struct Fake {
        keys: RefCell<BTreeSet<String>>,
        left: Cell<usize>,
    }

    impl Fake {
        fn step(&self) -> anyhow::Result<()> {
            if self.left.get() == 0 {
                bail!("it died");
            }
            self.left.set(self.left.get() - 1);
            Ok(())
        }

        fn put(&self, name: &str, objects: &[&str]) {
            self.keys.borrow_mut().extend(objects.iter().map(|object| key(name, object)));
        }

        /// The objects of a backup.
        fn of(&self, name: &str) -> Vec<String> {
            let folder = key(name, "");
            self.keys.borrow().iter().filter_map(|key| key.strip_prefix(&folder)).map(str::to_owned).collect()
        }
    }

    impl Bucket for Fake {
        async fn for_each_key(&self, prefix: &str, take: impl FnMut(String)) -> anyhow::Result<()> {
            self.step()?;
            let keys = self.keys.borrow().clone();
            keys.into_iter().filter(|key| key.starts_with(prefix)).for_each(take);
            Ok(())
        }

        async fn remove(&self, key: &str) -> anyhow::Result<()> {
            self.step()?;
            self.keys.borrow_mut().remove(key);
            Ok(())
        }
    }

    const WHOLE: [&str; 4] =
        ["messages/000000.bson.gz.aes", "messages/000001.bson.gz.aes", "user/0", MANIFEST];
    const PART: [&str; 2] = ["messages/000000.bson.gz.aes", "messages/000001.bson.gz.aes"];
    const PLENTY: usize = 1_000_000;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
    }

    fn series() -> Series {
        Series::new("0a1b2c3d").unwrap()
    }

    fn run(bucket: &Fake, keep: usize, newest: &str, steps: usize, now: Timestamp) -> anyhow::Result<usize> {
        bucket.left.set(steps);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(remove_old(bucket, &series(), keep, newest, now))
    }

    /// One a day for five days, the last of which was just written; one day was interrupted.
    fn bucket() -> (Fake, Vec<String>, String) {
        let bucket = Fake::default();
        let names: Vec<String> = (0..5).map(|day| series().name(at(24 * day))).collect();
        names.iter().for_each(|name| bucket.put(name, &WHOLE));
        let interrupted = series().name(at(30));
        bucket.put(&interrupted, &PART);
        (bucket, names, interrupted)
    }

    #[test]
    fn the_newest_are_kept_and_the_rest_is_removed_with_what_was_interrupted() {
        let (bucket, names, interrupted) = bucket();
        assert_eq!(run(&bucket, 2, &names[4], PLENTY, at(97)).unwrap(), 4);
        let left: Vec<usize> = names.iter().map(|name| bucket.of(name).len()).collect();
        assert_eq!(left, [0, 0, 0, 4, 4]);
        assert!(bucket.of(&interrupted).is_empty());
        assert_eq!(run(&bucket, 2, &names[4], PLENTY, at(97)).unwrap(), 0, "nothing is left to do");
    }

    #[test]
    fn the_one_that_was_just_written_stays_whatever_is_asked_and_whatever_the_clocks_say() {
        for keep in [0, 1] {
            let (bucket, names, _) = bucket();
            // Written by a clock that was behind: by name it is the oldest.
            run(&bucket, keep, &names[0], PLENTY, at(97)).unwrap();
            let left: Vec<usize> = names.iter().map(|name| bucket.of(name).len()).collect();
            assert_eq!(left, [4, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn what_others_made_is_not_touched() {
        let (bucket, names, _) = bucket();
        let others = [
            "2026-01-01t00-00-00-0123456789abcdef".to_owned(),
            "nightly-1".to_owned(),
            "a-scheduled-0a1b2c3d".to_owned(),
            Series::new("ffffffff").unwrap().name(at(0)),
        ];
        others.iter().for_each(|name| bucket.put(name, &WHOLE));
        bucket.put("half", &PART);
        run(&bucket, 1, &names[4], PLENTY, at(970)).unwrap();
        assert!(others.iter().all(|name| bucket.of(name).len() == WHOLE.len()));
        assert_eq!(bucket.of("half").len(), PART.len());
    }

    #[test]
    fn one_that_is_still_being_written_is_not_touched() {
        let (bucket, names, _) = bucket();
        let (young, old) = (series().name(at(96 - 24)), series().name(at(96 - 26)));
        bucket.put(&young, &PART);
        bucket.put(&old, &PART);
        run(&bucket, 9, &names[4], PLENTY, at(96)).unwrap();
        assert_eq!((bucket.of(&young).len(), bucket.of(&old).len()), (PART.len(), 0));
    }

    #[test]
    fn a_run_that_dies_anywhere_leaves_no_half_backup_and_a_later_one_goes_on() {
        let done = |bucket: &Fake, names: &[String]| {
            names.iter().map(|name| bucket.of(name).len()).collect::<Vec<_>>() == [0, 0, 0, 4, 4]
        };
        let mut steps = 0;
        loop {
            let (bucket, names, interrupted) = bucket();
            let outcome = run(&bucket, 2, &names[4], steps, at(97));
            for name in &names {
                let objects = bucket.of(name);
                let has_manifest = objects.iter().any(|object| object == MANIFEST);
                assert!(!has_manifest || objects.len() == WHOLE.len(), "{steps}: {objects:?}");
            }
            assert!(names[3..].iter().all(|name| bucket.of(name).len() == WHOLE.len()), "{steps}");
            let is_done = outcome.is_ok();
            run(&bucket, 2, &names[4], PLENTY, at(97)).unwrap();
            assert!(done(&bucket, &names) && bucket.of(&interrupted).is_empty(), "{steps}");
            if is_done {
                // A listing, and for each of four: the manifest, a listing and what is left.
                assert_eq!(steps, 1 + 3 * 5 + 4);
                return;
            }
            steps += 1;
        }
    }

    #[test]
    fn a_run_removes_no_more_than_it_may() {
        let bucket = Fake::default();
        let names: Vec<String> = (0..100).map(|hour| series().name(at(hour))).collect();
        names.iter().for_each(|name| bucket.put(name, &WHOLE));
        assert_eq!(run(&bucket, 1, &names[99], PLENTY, at(100)).unwrap(), MOST_REMOVED);
        assert!(bucket.of(&names[29]).is_empty() && !bucket.of(&names[30]).is_empty(), "the oldest first");
    }

    #[test]
    fn names_sort_by_time_and_tell_whose_they_are() {
        let (first, second) = (series().name(at(0)), series().name(at(1)));
        assert!(first < second && super::super::manifest::is_name(&first), "{first}");
        assert_eq!((series().begun(&first), series().begun(&second)), (Some(at(0)), Some(at(1))));
        assert!(is_reserved(&first) && Series::new("other").unwrap().begun(&first).is_none());
        let longest = Series::new("0123456789abcdef").unwrap();
        assert!(super::super::manifest::is_name(&longest.name(at(0))));
        for name in [
            "nightly",
            "2026-01-01t00-00-00-0123456789abcdef",
            "2026-13-01t00-00-00-0123456789abcdef-scheduled-a",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
        for id in ["", "A", "a-b", "0123456789abcdef0"] {
            assert!(Series::new(id).is_err(), "{id}");
        }
    }
}
