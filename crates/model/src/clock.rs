//! The only place that reads the wall clock.

/// Tells the time; injected wherever a decision depends on it.
pub trait Clock: Send + Sync + 'static {
    /// Unix time in milliseconds.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now_ms(&self) -> i64 {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX).saturating_add(steps::ahead_ms())
    }
}

/// Lets tests step the clock of a process, which is linked statically and cannot be given another one. Programs that are shipped have no such thing.
#[cfg(debug_assertions)]
mod steps {
    use std::{fs::File, os::unix::fs::FileExt, sync::OnceLock};

    /// How far the clock is ahead: what the file says that `OPENIM_CLOCK_FILE` names. It may change at any time.
    pub(super) fn ahead_ms() -> i64 {
        static FILE: OnceLock<Option<File>> = OnceLock::new();
        let file = FILE.get_or_init(|| File::open(std::env::var_os("OPENIM_CLOCK_FILE")?).ok());
        file.as_ref().map_or(0, read)
    }

    /// A file has eight bytes, a signed number in the order of this machine: seconds.
    fn read(file: &File) -> i64 {
        let mut seconds = [0; 8];
        file.read_exact_at(&mut seconds, 0).map_or(0, |()| i64::from_ne_bytes(seconds).saturating_mul(1000))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_clock_is_as_far_ahead_or_back_as_its_file_says_now() {
            let path = std::env::temp_dir().join(format!("clock-{}", crate::random_id()));
            std::fs::write(&path, []).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(read(&file), 0, "one that is empty says nothing");
            for seconds in [3600_i64, -3600, 0] {
                std::fs::write(&path, seconds.to_ne_bytes()).unwrap();
                assert_eq!(read(&file), seconds * 1000);
            }
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[cfg(not(debug_assertions))]
mod steps {
    pub(super) const fn ahead_ms() -> i64 {
        0
    }
}
