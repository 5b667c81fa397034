//! What prepares the pods of managed servers: their images need no shell for it.

use std::path::{Path, PathBuf};

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "openim-server")]
enum Helper {
    /// A copy of a file that only the current user can read.
    CopyKey { from: PathBuf, to: PathBuf },
    /// Writes redis.conf and sentinel.conf of a member of a set.
    RedisMember {
        /// Its own host.
        #[arg(long)]
        host: String,
        /// The hosts of all members.
        #[arg(long, value_delimiter = ',')]
        hosts: Vec<String>,
        /// A file with the password of servers and sentinels.
        #[arg(long)]
        password_file: PathBuf,
        /// What redis.conf has in any case.
        #[arg(long)]
        base: PathBuf,
        /// Directory of the files.
        #[arg(long)]
        to: PathBuf,
    },
}

/// Runs a helper, if the words name one.
pub(crate) fn run(words: impl IntoIterator<Item = String>) -> Option<anyhow::Result<()>> {
    let words: Vec<String> = words.into_iter().collect();
    let helpers = ["copy-key", "redis-member"];
    helpers.contains(&words.get(1)?.as_str()).then(|| match Helper::parse_from(words) {
        Helper::CopyKey { from, to } => copy_key(&from, &to),
        Helper::RedisMember { host, hosts, password_file, base, to } => {
            let password = std::fs::read_to_string(password_file)?.trim().to_owned();
            let member = routes::set::Member { host, hosts, password, base };
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(member.prepare(&to))?;
            Ok(())
        }
    })
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
