//! Services that a cluster has only if it is asked for them.

use std::fmt;

/// A service that a cluster has only if it is asked for it. No other service calls it, so it is changed after all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extra {
    /// Pages for administrators.
    Console,
}

impl Extra {
    /// The name of the service on the command line and in objects.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
        }
    }
}

impl fmt::Display for Extra {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
