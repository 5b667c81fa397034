//! Platforms and their classes (docs/protocol/numbers.md).

/// A client platform, 1 to 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(u8);

/// What a platform competes with at multi-login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Class {
    Mobile,
    Pc,
    Web,
    MiniWeb,
    Pad,
    Admin,
    HarmonyOs,
}

const NAMES: [&str; 11] =
    ["IOS", "Android", "Windows", "OSX", "Web", "MiniWeb", "Linux", "APad", "IPad", "Admin", "HarmonyOS"];

impl Platform {
    /// The numbers of all of them.
    pub const NUMBERS: std::ops::RangeInclusive<i32> = 1..=11;
    /// iOS devices do not get frames while in background.
    pub const IOS: Self = Self(1);
    /// Android.
    pub const ANDROID: Self = Self(2);
    /// Browsers: the server pings them.
    pub const WEB: Self = Self(5);
    /// Administration tokens.
    pub const ADMIN: Self = Self(10);

    /// Parses a number; `None` outside 1..=11.
    pub fn parse(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|n| (1..=11).contains(n)).map(Self)
    }

    /// The number on the wire.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// The name in keys and webhooks.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0) - 1]
    }

    /// The class for multi-login policies 4 and 5.
    pub fn class(self) -> Class {
        match self.0 {
            1 | 2 => Class::Mobile,
            3 | 4 | 7 => Class::Pc,
            5 => Class::Web,
            6 => Class::MiniWeb,
            8 | 9 => Class::Pad,
            10 => Class::Admin,
            _ => Class::HarmonyOs,
        }
    }
}
