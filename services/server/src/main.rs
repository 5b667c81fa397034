//! `openim-server <service> --config <dir>`: one service per process, or `all` of them in one.

mod accounts;
mod backup;
mod helper;
mod host;
mod moving;
mod partitions;
mod people;
#[cfg(feature = "planted-commit-first")]
mod planted;
mod run;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Memory stays steady under many connections.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The OpenIM services.
#[derive(Debug, Parser)]
#[command(name = "openim-server", version)]
struct Arguments {
    /// The service to run.
    #[arg(value_enum)]
    role: Role,
    /// Directory with config.yaml.
    #[arg(short, long, env = "CONFIG_PATH", default_value = "config")]
    config: PathBuf,
}

/// The services, as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Every service in one process.
    All,
    /// Accounts, login and administration, for clients that expect OpenIM's ChatServer.
    Account,
    Api,
    Auth,
    Conversation,
    Cron,
    Gateway,
    Group,
    /// Creates topics, indexes and administrators, then exits.
    Migrate,
    Msg,
    Push,
    Relation,
    Third,
    Transfer,
    User,
}

impl Role {
    /// The services that run in this process. In [`Role::All`] the account service is one more if it is configured.
    pub(crate) fn components(self) -> Vec<String> {
        match self {
            Self::All => {
                let services = Self::value_variants().iter();
                services
                    .filter(|role| !matches!(role, Self::All | Self::Migrate | Self::Account))
                    .map(|role| role.name())
                    .collect()
            }
            one => vec![one.name()],
        }
    }

    /// Whether it reads or writes the database of the messages.
    pub(crate) fn has_store(self) -> bool {
        !matches!(self, Self::Account | Self::Api | Self::Gateway)
    }

    /// Whether it calls the integrator's back end.
    pub(crate) fn calls_hooks(self) -> bool {
        !matches!(self, Self::Account | Self::Api | Self::Auth | Self::Cron | Self::Migrate | Self::Third)
    }

    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

fn main() -> anyhow::Result<()> {
    if let Some(done) = helper::run(std::env::args()) {
        return done;
    }
    let arguments = Arguments::parse();
    let config = config::Live::load(&arguments.config)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run::run(arguments.role, config))
}
