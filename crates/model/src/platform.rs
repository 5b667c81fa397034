//! Platforms and their classes (docs/protocol/numbers.md).

/// A client platform, 1 to 12.
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
    Bot,
}

const NAMES: [&str; 12] = [
    "IOS",
    "Android",
    "Windows",
    "OSX",
    "Web",
    "MiniWeb",
    "Linux",
    "APad",
    "IPad",
    "Admin",
    "HarmonyOS",
    "Bot",
];

impl Platform {
    /// The numbers of all of them.
    pub const NUMBERS: std::ops::RangeInclusive<i32> = 1..=12;
    /// iOS devices do not get frames while in background.
    pub const IOS: Self = Self(1);
    /// Android.
    pub const ANDROID: Self = Self(2);
    /// Browsers: the server pings them.
    pub const WEB: Self = Self(5);
    /// Administration tokens.
    pub const ADMIN: Self = Self(10);

    /// Parses a number; `None` outside 1..=12.
    pub fn parse(number: i32) -> Option<Self> {
        Self::NUMBERS.contains(&number).then_some(number).and_then(|n| u8::try_from(n).ok()).map(Self)
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
            11 => Class::HarmonyOs,
            _ => Class::Bot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_platform_with_a_name_of_its_own() {
        let all: Vec<Platform> = Platform::NUMBERS.filter_map(Platform::parse).collect();
        assert_eq!(all.len(), NAMES.len());
        assert!(all.iter().zip(NAMES).all(|(platform, name)| platform.name() == name));
        for outside in [i32::MIN, -1, 0, 13, 256 + 1, i32::MAX] {
            assert_eq!(Platform::parse(outside), None, "{outside}");
        }
    }

    #[test]
    fn bots_compete_with_bots_alone() {
        let bot = Platform::parse(12).unwrap();
        assert_eq!((bot.name(), bot.class()), ("Bot", Class::Bot));
        let others = Platform::NUMBERS.filter_map(Platform::parse).filter(|platform| *platform != bot);
        assert!(others.into_iter().all(|platform| platform.class() != Class::Bot));
    }
}
