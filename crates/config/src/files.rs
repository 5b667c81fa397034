//! The configuration files, and their errors with file and line.

use std::path::Path;

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Format, Serialized, Yaml},
    value::{Dict, Map, Value},
};

use crate::{LIVE_FILE, LiveSettings, locate, secrets};

/// What stands in a file of its own, and the key that it may stand below in config.yaml.
const BESIDE: [(&str, &str); 2] = [("webhooks.yaml", "webhooks"), ("notification.yaml", "notification")];

/// Why the configuration was refused: not readable, not YAML, an unknown key, or a value that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {place}{problem}")]
pub struct ConfigError {
    /// `file, line N: ` as far as it is known.
    place: String,
    /// The key, the problem, and the allowed values.
    problem: String,
    /// The key, part by part.
    path: Vec<String>,
}

impl ConfigError {
    /// A value that parses but cannot work; the key is dotted.
    pub(crate) fn value(key: &str, problem: &str) -> Self {
        let path = key.split('.').map(str::to_owned).collect();
        Self { place: String::new(), problem: format!("{key}: {problem}"), path }
    }

    /// What figment found.
    pub(crate) fn parse(error: &Error) -> Self {
        let mut path = error.path.clone();
        if let Kind::UnknownField(field, _) = &error.kind
            && path.last() != Some(field)
        {
            path.push(field.clone());
        }
        let metadata = error.metadata.as_ref();
        let file =
            metadata.and_then(|metadata| metadata.source.as_ref()).and_then(|source| source.file_path());
        let place = match (file, metadata) {
            (Some(file), _) => place(file, find(file, &path).map(|found| found.line)),
            // The environment, for one.
            (None, Some(metadata)) => format!("{}: ", metadata.name),
            (None, None) => String::new(),
        };
        let problem = if secrets::touches(&path) {
            format!("{}: {}", path.join("."), without_value(&error.kind))
        } else if path.is_empty() {
            error.kind.to_string()
        } else {
            format!("{}: {}", path.join("."), error.kind)
        };
        Self { place, problem, path }
    }

    /// Finds the key in the files, unless its place is known.
    pub(crate) fn located(mut self, directory: &Path) -> Self {
        // What overrides others first.
        let files = [LIVE_FILE].into_iter().chain(BESIDE.map(|(file, _)| file)).chain(["config.yaml"]);
        if self.place.is_empty() {
            for name in files {
                let file = directory.join(name);
                let whole = below(&file, &self.path).len();
                if let Some(found) = find(&file, &self.path).filter(|found| found.depth == whole) {
                    self.place = place(&file, Some(found.line));
                    break;
                }
            }
        }
        self
    }
}

/// The error for a secret value, without the value.
fn without_value(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(..) | Kind::MissingField(_) => kind.to_string(),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("expected {expected}; quote text that looks like a number or a list")
        }
        _ => "has an invalid value".to_owned(),
    }
}

/// Where a file has a key, or the deepest part of it.
fn find(file: &Path, path: &[String]) -> Option<locate::Place> {
    let text = std::fs::read_to_string(file).ok()?;
    locate::find(&text, below(file, path).iter().map(String::as_str))
}

fn place(file: &Path, line: Option<usize>) -> String {
    let file = file.display();
    match line {
        Some(line) => format!("{file}, line {line}: "),
        None => format!("{file}: "),
    }
}

/// A key as a file has it: what has a file of its own stands at the top there.
fn below<'a>(file: &Path, path: &'a [String]) -> &'a [String] {
    let beside = BESIDE.iter().find(|(name, _)| file.file_name().is_some_and(|file| file == *name));
    match (beside, path.split_first()) {
        (Some((_, key)), Some((first, rest))) if first == key => rest,
        _ => path,
    }
}

/// A provider's values below a key.
struct Below<P>(&'static str, P);

impl<P: Provider> Provider for Below<P> {
    fn metadata(&self) -> Metadata {
        self.1.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let nested = |dict: Dict| Dict::from([(self.0.to_owned(), Value::from(dict))]);
        Ok(self.1.data()?.into_iter().map(|(profile, dict)| (profile, nested(dict))).collect())
    }
}

/// Merges the files over the defaults.
pub(crate) fn read(directory: &Path, defaults: Figment) -> Result<Figment, ConfigError> {
    let file = directory.join("config.yaml");
    if !file.is_file() {
        return Err(ConfigError::value("config.yaml", &format!("no such file in {}", directory.display())));
    }
    let mut figment = defaults.merge(Yaml::file_exact(file));
    for (name, key) in BESIDE {
        let file = directory.join(name);
        if file.is_file() {
            figment = figment.merge(Below(key, Yaml::file_exact(file)));
        }
    }
    let live = directory.join(LIVE_FILE);
    if live.is_file() {
        let settings: LiveSettings =
            Figment::from(Yaml::file_exact(live)).extract().map_err(|error| ConfigError::parse(&error))?;
        figment = figment.merge(Serialized::defaults(settings));
    }
    // Credentials of push vendors may be in a file of their own.
    let push_file = std::env::var("IMENV_PUSH_FILE")
        .unwrap_or_else(|_| figment.extract_inner("push.file").unwrap_or_default());
    if !push_file.is_empty() {
        figment = figment.merge(Below("push", Yaml::file_exact(push_file)));
    }
    Ok(figment)
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn a_mistake_is_told_with_its_file_and_line_and_what_may_stand_there() {
        let directory = std::env::temp_dir().join(format!("openim-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let good = "secret: 0123456789abcdef\nlog:\n  level: info\n";
        for (file, text, expected) in [
            (
                "config.yaml",
                "secret: 0123456789abcdef\nmongo:\n  url: x\n",
                "config.yaml, line 3: mongo.url: unknown field: found `url`, expected `one of `uri`, `database`, `maxPoolSize``",
            ),
            (
                "config.yaml",
                "secret: 0123456789abcdef\n\napi: {openImApiPort: many}\n",
                "config.yaml, line 3: api.openImApiPort: invalid type: found string \"many\"",
            ),
            (
                "config.yaml",
                "secret: 0123456789abcdef\nmultiLogin:\n  policy: 3\n",
                "config.yaml, line 3: multiLogin.policy: must be 0, 1, 4 or 5",
            ),
            (
                "config.yaml",
                "secret: 0123456789abcdef\nredis:\n  password: 12345678\n",
                "config.yaml, line 3: redis.password: expected a string",
            ),
            (
                "config.yaml",
                "secret: 0123456789abcdef\nredis: 12345678\n",
                "config.yaml, line 2: redis: expected struct Redis",
            ),
            ("config.yaml", "secret: 12345678\n", "config.yaml, line 1: secret: expected a string"),
            ("webhooks.yaml", "url: x\n", "webhooks.yaml, line 1"),
            (
                "notification.yaml",
                "groupCreated: {}\ngroupMade: {}\n",
                "notification.yaml, line 2: notification.groupMade",
            ),
            ("live.yaml", "retainDays: soon\n", "live.yaml, line 1: retainDays"),
            (
                "live.yaml",
                "log: {level: loud}\n",
                "live.yaml, line 1: log.level: \"loud\" is not one of off, error",
            ),
        ] {
            std::fs::write(directory.join("config.yaml"), good).unwrap();
            std::fs::write(directory.join(file), text).unwrap();
            let message = Config::load(&directory).unwrap_err().to_string();
            assert!(message.contains(expected), "{file}: {message}");
            assert!(!message.contains("12345678"), "{message}");
            std::fs::remove_file(directory.join(file)).unwrap();
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
