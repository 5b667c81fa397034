//! Time as the runtime has it: when nothing can happen, it jumps to when something can.

use model::Clock;
use tokio::time::Instant;

/// When every world begins, in milliseconds since 1970.
const BEGINNING_MS: i64 = 1_800_000_000_000;

/// The wall clock of a world.
#[derive(Debug, Clone, Copy)]
pub struct JumpingClock(Instant);

impl JumpingClock {
    /// It is the beginning now.
    pub fn begin() -> Self {
        Self(Instant::now())
    }
}

impl Clock for JumpingClock {
    fn now_ms(&self) -> i64 {
        BEGINNING_MS + i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
