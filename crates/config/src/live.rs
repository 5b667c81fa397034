//! Live settings: the files are reloaded when they change. Everything else needs a restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Config, ConfigError};

/// The file that holds them in Kubernetes; outside, they may as well stand in `config.yaml`.
pub const LIVE_FILE: &str = "live.yaml";

/// The settings that `live.yaml` may hold; each is optional there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LiveSettings {
    /// Log settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LiveLog>,
    /// Validity of tokens that are issued from now on, in days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expire_days: Option<u32>,
    /// Only friends of the receiver can send to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub friend_verify: Option<bool>,
    /// Days after which messages are removed; 0 keeps them forever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_days: Option<u32>,
    /// Whether new group members see older messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_for_new_members: Option<bool>,
    /// See [`Config::allow_ambiguous_ids`].
    #[serde(rename = "allowAmbiguousIDs", skip_serializing_if = "Option::is_none")]
    pub allow_ambiguous_ids: Option<bool>,
    /// See [`Config::signed_calls_only`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_calls_only: Option<bool>,
}

/// What of the logs changes while a process runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveLog {
    /// See [`crate::Log::level`].
    pub level: String,
}

/// Names the content of `live.yaml`.
pub fn revision(text: &str) -> String {
    hex::encode(Sha256::digest(text))[..16].to_owned()
}

/// What became of the files as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// See [`revision`]; of the file that is in force, empty without one.
    pub revision: String,
    /// Why a newer file was refused; empty when it was not.
    pub problem: String,
    /// Whether this process signs its calls, for the operator. Older versions do not report it.
    pub signs_calls: bool,
}

impl Taken {
    fn new(revision: String, problem: String) -> Self {
        Self { revision, problem, signs_calls: true }
    }
}

/// The configuration in force; cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    config: ArcSwap<Config>,
    taken: ArcSwap<Taken>,
    /// The files as last seen.
    seen: ArcSwap<[Option<String>; 2]>,
}

fn read(directory: &Path) -> [Option<String>; 2] {
    [LIVE_FILE, "config.yaml"].map(|name| std::fs::read_to_string(directory.join(name)).ok())
}

impl Live {
    /// Reads the files, see [`Config::load`].
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(directory: &Path) -> Result<Self, ConfigError> {
        let seen = read(directory);
        let config = Config::load(directory)?;
        let revision = seen[0].as_deref().map(revision).unwrap_or_default();
        Ok(Self(Arc::new(Inner {
            directory: directory.to_owned(),
            config: ArcSwap::from_pointee(config),
            taken: ArcSwap::from_pointee(Taken::new(revision, String::new())),
            seen: ArcSwap::from_pointee(seen),
        })))
    }

    /// A configuration that never changes, for tests.
    #[cfg(debug_assertions)]
    pub fn fixed(config: Config) -> Self {
        Self(Arc::new(Inner {
            directory: PathBuf::new(),
            config: ArcSwap::from_pointee(config),
            taken: ArcSwap::from_pointee(Taken::new(String::new(), String::new())),
            seen: ArcSwap::from_pointee([None, None]),
        }))
    }

    /// The configuration now.
    pub fn now(&self) -> Arc<Config> {
        self.0.config.load_full()
    }

    /// What became of the files.
    pub fn taken(&self) -> Arc<Taken> {
        self.0.taken.load_full()
    }

    /// Reads the files when they changed since the last time. A file that is wrong leaves everything as it was. Whether anything changed.
    ///
    /// # Errors
    /// As [`Config::load`]; also told by [`Live::taken`].
    pub fn refresh(&self) -> Result<bool, ConfigError> {
        let files = read(&self.0.directory);
        if **self.0.seen.load() == files {
            return Ok(false);
        }
        let loaded = Config::load(&self.0.directory);
        let revision = files[0].as_deref().map(revision).unwrap_or_default();
        self.0.seen.store(Arc::new(files));
        match loaded {
            Ok(loaded) => {
                let before = self.now();
                let mut config = (*before).clone();
                config.log.level = loaded.log.level;
                config.token_expire_days = loaded.token_expire_days;
                config.friend_verify = loaded.friend_verify;
                config.retain_days = loaded.retain_days;
                config.history_for_new_members = loaded.history_for_new_members;
                config.allow_ambiguous_ids = loaded.allow_ambiguous_ids;
                config.signed_calls_only = loaded.signed_calls_only;
                self.0.config.store(Arc::new(config));
                self.0.taken.store(Arc::new(Taken::new(revision, String::new())));
                Ok(true)
            }
            Err(error) => {
                let taken = Taken::new(self.taken().revision.clone(), error.to_string());
                self.0.taken.store(Arc::new(taken));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_taken_over_and_wrong_ones_are_not() {
        let directory = std::env::temp_dir().join(format!("openim-live-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write("config.yaml", "secret: 0123456789abcdef\nretainDays: 5\n");
        let live = Live::load(&directory).unwrap();
        assert_eq!((live.now().retain_days, live.taken().revision.as_str()), (5, ""));
        assert!(!live.refresh().unwrap());

        let text = "retainDays: 7\nlog: {level: debug}\nallowAmbiguousIDs: true\nsignedCallsOnly: true\n";
        write(LIVE_FILE, text);
        assert!(live.refresh().unwrap());
        assert_eq!((live.now().retain_days, live.now().log.level.as_str()), (7, "debug"));
        assert!(live.now().allow_ambiguous_ids);
        assert_eq!(live.now().signed_calls_only, Some(true));
        assert_eq!(*live.taken(), Taken::new(revision(text), String::new()));

        for (wrong, named) in [
            ("retainDays: soon", "retainDays"),
            ("mongo: {uri: x}", "mongo"),
            ("tokenExpireDays: 0", "tokenExpireDays"),
        ] {
            write(LIVE_FILE, wrong);
            assert!(live.refresh().unwrap_err().to_string().contains(named), "{wrong}");
            assert!(live.taken().problem.contains(named));
            assert_eq!((live.now().retain_days, live.taken().revision.clone()), (7, revision(text)));
        }
        // What cannot change while it runs does not.
        write(LIVE_FILE, text);
        write("config.yaml", "secret: another-secret-of-sixteen\n");
        live.refresh().unwrap();
        assert_eq!(live.now().secret, "0123456789abcdef");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
