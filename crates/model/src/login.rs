//! The multi-login arbiter (docs/protocol/sessions.md#logging-in-on-several-devices): which connections a new one replaces. It never names the new connection nor
//! one that carries the same token, so a reconnect cannot kick itself.

use crate::platform::{Class, Platform};

/// `multiLogin.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// 0: nobody is kicked.
    Any,
    /// 1: one token per platform.
    OnePerPlatform,
    /// 4: one token per platform class.
    OnePerClass,
    /// 5: PC is free, of the others only one.
    PcAndOne,
}

impl Policy {
    /// Parses the configured number.
    pub fn parse(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Any,
            1 => Self::OnePerPlatform,
            4 => Self::OnePerClass,
            5 => Self::PcAndOne,
            _ => return None,
        })
    }

    /// Whether a login (platform, token) replaces an existing one.
    pub fn replaces(self, new: (Platform, &str), old: (Platform, &str)) -> bool {
        if new.1 == old.1 {
            return false;
        }
        match self {
            Self::Any => false,
            Self::OnePerPlatform => new.0 == old.0,
            Self::OnePerClass => new.0.class() == old.0.class(),
            Self::PcAndOne => new.0.class() != Class::Pc && old.0.class() != Class::Pc,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn platform(number: i32) -> Platform {
        Platform::parse(number).unwrap()
    }

    #[test]
    fn the_default_policy_replaces_only_the_same_platform() {
        let policy = Policy::OnePerPlatform;
        assert!(policy.replaces((platform(5), "new"), (platform(5), "old")));
        assert!(!policy.replaces((platform(5), "new"), (platform(1), "old")));
    }

    #[test]
    fn a_pc_login_kicks_nobody_under_policy_5() {
        assert!(!Policy::PcAndOne.replaces((platform(3), "new"), (platform(4), "old")));
        assert!(Policy::PcAndOne.replaces((platform(1), "new"), (platform(5), "old")));
    }

    proptest! {
        #[test]
        fn no_policy_replaces_the_same_token(policy in prop::sample::select(vec![0, 1, 4, 5]), a in 1..13_i32, b in 1..13_i32) {
            let policy = Policy::parse(policy).unwrap();
            prop_assert!(!policy.replaces((platform(a), "token"), (platform(b), "token")));
        }
    }
}
