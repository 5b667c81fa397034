//! Commands that run once and exit: preparing the pods of managed servers, whose images need no shell for it, and backups.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use config::Config;
use store::Store;

use crate::{accounts, backup, import_export, one_host, user_data};

/// The commands that are not services.
#[derive(Debug, Subcommand)]
pub(crate) enum Helper {
    /// Copy a file so that only the current user can read it.
    CopyKey { from: PathBuf, to: PathBuf },
    /// Write redis.conf and sentinel.conf of a member of a set.
    RedisMember {
        /// Host of this member.
        #[arg(long)]
        host: String,
        /// Hosts of all members.
        #[arg(long, value_delimiter = ',')]
        hosts: Vec<String>,
        /// File with the password of servers and sentinels.
        #[arg(long)]
        password_file: PathBuf,
        /// File with the common part of redis.conf.
        #[arg(long)]
        base: PathBuf,
        /// Directory to write to.
        #[arg(long)]
        to: PathBuf,
    },
    /// Generate the files that the containers of one host share (compose.yaml).
    HostFiles {
        /// Directory to write to.
        #[arg(long)]
        to: PathBuf,
    },
    /// Wait for MongoDB and initiate a replica set of one member.
    HostMongodb,
    /// Exit with 0 if something listens on a port of this host.
    Healthy {
        /// The port.
        #[arg(long, default_value_t = 12000)]
        port: u16,
        /// The port is an admin port: the services must also be ready.
        #[arg(long)]
        ready: bool,
    },
    /// Print the secret that /auth/get_admin_token requires.
    ApiSecret,
    /// Back up MongoDB, encrypted, to backups/NAME/ in the object storage.
    Backup {
        /// Name of the backup.
        #[arg(required_unless_present = "scheduled")]
        name: Option<String>,
        /// Write a backup of the schedule with this id, named after the time, and then remove old ones of the same schedule. Run it on a schedule;
        /// each cluster that shares a bucket needs another id.
        #[arg(long, value_name = "ID", conflicts_with = "name")]
        scheduled: Option<String>,
        /// How many backups of the schedule to keep.
        #[arg(long, requires = "scheduled", value_parser = clap::value_parser!(u16).range(1..=366))]
        keep: Option<u16>,
        /// File to write the name and size of the backup to, as JSON.
        #[arg(long, requires = "scheduled")]
        report: Option<PathBuf>,
    },
    /// Restore MongoDB from a backup. Stop the services first.
    Restore {
        /// Name of the backup.
        name: String,
        /// Delete the content of the database.
        #[arg(long)]
        replace: bool,
        /// How many sequence numbers to skip in every conversation: at least as many as the messages any got after the backup.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
        advance: i64,
        /// Also restore unencrypted, unsigned backups of earlier versions.
        #[arg(long)]
        unsealed: bool,
    },
    /// Grant users of a Kafka with an authorizer the rights that the services need, as the administrator in the configuration.
    KafkaRights {
        /// Names of the users.
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Free disk space in a Kafka that only these services use: delete records that all consumers have read from partitions above their share of the
    /// volume. Run it every minute, as an administrator of Kafka; the operator does this itself.
    KafkaRoom {
        /// Size of the smallest volume in bytes.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        volume: u64,
    },
    /// Create an administrator of the account service, or give one a new password, and print the password. It is shown this once.
    AccountAdmin {
        /// The name to log in with.
        #[arg(default_value = "admin")]
        account: String,
    },
    /// Erase a user permanently, or show the progress.
    EraseUser {
        /// Id of the user.
        user: String,
    },
    /// Import the database of an upstream OpenIM 3.8 server; repeated, bring over what has changed. The services must not run yet.
    Import {
        #[command(flatten)]
        wanted: import_export::Wanted,
    },
    /// Export the database to that of an upstream OpenIM 3.8 server. Stop the services first.
    Export {
        /// Connection string of the MongoDB to write to.
        #[arg(long, env = "OPENIM_EXPORT_TO", hide_env_values = true)]
        to: String,
        /// Name of an empty database there.
        #[arg(long, default_value = "openim_v3")]
        database: String,
    },
    /// Export a user's data to standard output, one JSON object per line.
    ExportUser {
        /// Id of the user.
        user: String,
    },
}

/// Backups of a schedule that are kept unless asked otherwise.
const KEPT: u16 = 7;

impl Helper {
    /// Runs the command; `directory` has the configuration.
    pub(crate) fn run(self, directory: &Path) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match self {
            Self::CopyKey { from, to } => copy_key(&from, &to),
            Self::RedisMember { host, hosts, password_file, base, to } => {
                let password = std::fs::read_to_string(password_file)?.trim().to_owned();
                let member = presence::sentinel_set::Member { host, hosts, password, base };
                Ok(runtime.block_on(member.prepare(&to))?)
            }
            Self::KafkaRights { users } => runtime.block_on(kafka_rights(directory, &users)),
            Self::KafkaRoom { volume } => runtime.block_on(kafka_room(directory, volume)),
            Self::HostFiles { to } => one_host::write_files(&to),
            Self::HostMongodb => runtime.block_on(one_host::initiate_replica_set(directory)),
            Self::Healthy { port, ready } => one_host::check(port, ready),
            Self::ApiSecret => {
                println!("{}", config::Live::load(directory)?.now().api_secrets().next().unwrap_or_default());
                Ok(())
            }
            Self::AccountAdmin { account } => runtime.block_on(accounts::set_admin(directory, &account)),
            Self::EraseUser { user } => runtime.block_on(user_data::erase(directory, &user)),
            Self::Import { wanted } => runtime.block_on(import_export::import(directory, wanted)),
            Self::Export { to, database } => {
                runtime.block_on(import_export::write_upstream(directory, &to, &database))
            }
            Self::ExportUser { user } => runtime.block_on(user_data::export(directory, &user)),
            Self::Backup { name, scheduled: None, .. } => {
                runtime.block_on(backup::backup(directory, &name.unwrap_or_default()))
            }
            Self::Backup { scheduled: Some(id), keep, report, .. } => {
                let (series, keep) = (backup::Series::new(&id)?, usize::from(keep.unwrap_or(KEPT)));
                runtime.block_on(backup::scheduled(directory, &series, keep, report.as_deref()))
            }
            Self::Restore { name, replace, advance, unsealed } => {
                let wanted = backup::Wanted { replace, advance, unsealed };
                runtime.block_on(backup::restore(directory, &name, wanted))
            }
        }
    }
}

/// What is configured, and the database.
pub(crate) async fn open(directory: &Path) -> anyhow::Result<(Store, Config)> {
    let config = (*config::Live::load(directory)?.now()).clone();
    let reads = budget::Budget::new(budget::share_of_process());
    Ok((Store::connect(&config.mongo, reads).await.context("mongo.uri")?, config))
}

async fn kafka_rights(directory: &Path, users: &[String]) -> anyhow::Result<()> {
    let live = config::Live::load(directory)?;
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    Ok(bus::grant(&live.now().kafka, &users).await?)
}

async fn kafka_room(directory: &Path, volume: u64) -> anyhow::Result<()> {
    let live = config::Live::load(directory)?;
    let room = bus::keep_room(&live.now().kafka, volume).await?;
    let percent = room.percent(volume);
    println!("{} holds the most: {} bytes, {percent} % of the volume", room.broker, room.bytes);
    if !room.awaited.is_empty() {
        println!("partitions above their share are read by: {}", room.awaited.join(", "));
    }
    Ok(())
}

fn copy_key(from: &Path, to: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // A restarted pod finds its read-only copy.
    if std::fs::exists(to)? {
        std::fs::remove_file(to)?;
    }
    std::fs::write(to, std::fs::read(from)?)?;
    Ok(std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o400))?)
}
