//! Who may do what. Roles come from the configuration; an action names the least role that may do it.

use config::Config;

use crate::texts::Text;

/// Level of an administrator of the account service who may manage the others.
const SUPER: i32 = 100;
/// What stands before the names of administrators of the account service.
const ACCOUNT: &str = "account:";

/// A role; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Sees users and groups.
    ReadOnly,
    /// Helps and moderates; reads messages.
    Support,
    /// Everything.
    Administrator,
}

impl Role {
    pub(crate) fn text(self) -> Text {
        match self {
            Self::ReadOnly => Text::RoleReadOnly,
            Self::Support => Text::RoleSupport,
            Self::Administrator => Text::RoleAdministrator,
        }
    }

    /// As the audit log has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::Support => "support",
            Self::Administrator => "administrator",
        }
    }
}

/// An administrator, as the configuration and the audit log name him.
pub(crate) fn account_name(account: &str) -> String {
    format!("{ACCOUNT}{account}")
}

/// The role of somebody; `level` is that of an administrator of the account service.
pub(crate) fn role_of(config: &Config, name: &str, level: Option<i32>) -> Role {
    let roles = &config.console.roles;
    for (names, role) in [
        (&roles.read_only, Role::ReadOnly),
        (&roles.support, Role::Support),
        (&roles.administrators, Role::Administrator),
    ] {
        if names.iter().any(|listed| listed == name) {
            return role;
        }
    }
    if level.is_some_and(|level| level < SUPER) { Role::ReadOnly } else { Role::Administrator }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_decides_and_the_level_where_it_says_nothing() {
        let mut config = Config::default();
        config.console.roles.support = vec!["imAdmin".into(), "account:ann".into()];
        config.console.roles.read_only = vec!["account:root".into()];
        for (name, level, role) in [
            ("imAdmin", None, Role::Support),
            ("other", None, Role::Administrator),
            ("account:ann", Some(80), Role::Support),
            ("account:root", Some(100), Role::ReadOnly),
            ("account:ben", Some(100), Role::Administrator),
            ("account:ben", Some(80), Role::ReadOnly),
            // The account service's imAdmin is somebody else.
            ("account:imAdmin", Some(80), Role::ReadOnly),
        ] {
            assert_eq!(role_of(&config, name, level), role, "{name}");
        }
        assert!(Role::ReadOnly < Role::Support && Role::Support < Role::Administrator);
    }
}
