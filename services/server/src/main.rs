//! `openim-server <service> --config <dir>`: one service per process, or `all` of them in one; and the commands that run once.

mod accounts;
mod backup;
mod commands;
mod console;
mod import_export;
mod one_host;
mod partitions;
#[cfg(feature = "planted-commit-first")]
mod planted;
mod run;
mod user_data;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use commands::Helper;

/// Memory stays steady under many connections.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The OpenIM services, and commands for their operators.
#[derive(Debug, Parser)]
#[command(name = "openim-server", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Directory with config.yaml.
    #[arg(short, long, env = "CONFIG_PATH", default_value = "config", global = true)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Service(Role),
    #[command(flatten)]
    Helper(Helper),
}

/// The services, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Subcommand)]
pub(crate) enum Role {
    /// Run every service in one process.
    All,
    /// Run the service of accounts, login and administration, for clients that expect OpenIM's ChatServer.
    Account,
    /// Run the REST API.
    Api,
    /// Run the service that issues and revokes tokens.
    Auth,
    /// Run the console: pages for administrators in a browser.
    Console,
    /// Run the service of conversations and their settings.
    Conversation,
    /// Run the scheduled jobs: retention, expired files, erased users.
    Cron,
    /// Run the WebSocket gateway.
    Gateway,
    /// Run the service of groups and their members.
    Group,
    /// Create topics, indexes and administrators, then exit.
    Migrate,
    /// Run the service that accepts, reads and changes messages.
    Msg,
    /// Run the service that pushes stored messages to connections and phones.
    Push,
    /// Run the service of friends and blocked users.
    Relation,
    /// Run the service of files, push tokens and client logs.
    Third,
    /// Run the service that stores accepted messages.
    Transfer,
    /// Run the service of user profiles.
    User,
}

impl Role {
    /// The services that run in this process. In [`Role::All`] the account service and the console are two more if they are configured.
    pub(crate) fn components(self) -> Vec<String> {
        match self {
            Self::All => {
                let services = Self::value_variants().iter();
                services
                    .filter(|role| !matches!(role, Self::All | Self::Migrate | Self::Account | Self::Console))
                    .map(|role| role.name())
                    .collect()
            }
            one => vec![one.name()],
        }
    }

    /// Whether it reads or writes the database of the messages.
    pub(crate) fn has_store(self) -> bool {
        !matches!(self, Self::Account | Self::Api | Self::Console | Self::Gateway)
    }

    /// Whether it calls the integrator's back end.
    pub(crate) fn calls_hooks(self) -> bool {
        !matches!(
            self,
            Self::Account | Self::Api | Self::Auth | Self::Console | Self::Cron | Self::Migrate | Self::Third
        )
    }

    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let role = match arguments.command {
        Command::Service(role) => role,
        Command::Helper(helper) => return helper.run(&arguments.config),
    };
    let config = config::Live::load(&arguments.config)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run::run(role, config))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn all_services_of_a_cluster_run_in_one_process() {
        let mut services: Vec<String> =
            config::Service::ALL.into_iter().map(|service| service.name().to_owned()).collect();
        services.sort();
        assert_eq!(Role::All.components(), services);
        for service in config::Service::ALL {
            assert!(Role::from_str(service.name(), false).is_ok(), "{service}");
        }
    }

    #[test]
    fn help_lists_every_command_with_what_it_does() {
        let mut command = Arguments::command();
        command.clone().debug_assert();
        let help = command.render_help().to_string();
        let lists = |name: &str| help.lines().any(|line| line.split_whitespace().next() == Some(name));
        for role in Role::value_variants() {
            assert!(lists(&role.name()), "{}: {help}", role.name());
        }
        for name in [
            "copy-key",
            "redis-member",
            "host-files",
            "host-mongodb",
            "healthy",
            "api-secret",
            "backup",
            "restore",
            "kafka-rights",
            "kafka-room",
            "account-admin",
            "erase-user",
            "export-user",
            "import",
            "export",
        ] {
            assert!(lists(name), "{name}: {help}");
        }
        assert!(command.get_subcommands().all(|command| command.get_about().is_some()), "{help}");
    }

    fn parsed(words: &str) -> (String, PathBuf) {
        let arguments = Arguments::try_parse_from(words.split(' ')).unwrap();
        (format!("{:?}", arguments.command), arguments.config)
    }

    #[test]
    fn the_configuration_is_named_before_or_after_the_command() {
        for words in
            ["openim-server msg --config /c", "openim-server --config /c msg", "openim-server -c /c msg"]
        {
            assert_eq!(parsed(words), ("Service(Msg)".into(), "/c".into()), "{words}");
        }
        let (command, config) = parsed("openim-server kafka-rights ann ben --config /c");
        assert!(command.contains(r#"users: ["ann", "ben"]"#), "{command}");
        assert_eq!(config, PathBuf::from("/c"));
        let (command, _) = parsed("openim-server restore nightly --replace --advance 5");
        assert!(command.contains("replace: true, advance: 5"), "{command}");
        assert!(Arguments::try_parse_from(["openim-server"]).is_err());
        assert!(Arguments::try_parse_from(["openim-server", "restore"]).is_err());
    }
}
