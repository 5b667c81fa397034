//! The environment as a source of keys: `IMENV_REDIS_PASSWORD` is `redis.password`.

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    util::nest,
    value::{Dict, Map, Value},
};

use crate::{Config, key_paths};

const PREFIX: &str = "IMENV_";

/// One variable.
struct Variable {
    name: String,
    path: String,
    value: Value,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let dict = nest(&self.path, self.value.clone()).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

/// Whether a key's value is text. Such a value is not parsed: a password that looks like a number, a list or a quotation is a password.
fn is_text(defaults: &serde_json::Value, path: &str) -> bool {
    defaults.pointer(&format!("/{}", path.replace('.', "/"))).is_some_and(serde_json::Value::is_string)
}

/// Merges variables over what there is; the case of their names does not matter.
pub(crate) fn merge(figment: Figment, variables: impl Iterator<Item = (String, String)>) -> Figment {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let paths = key_paths(&defaults, "");
    let mut figment = figment;
    for (name, text) in variables {
        let Some(key) = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX)) else {
            continue;
        };
        let wanted = name[key.len()..].trim().to_ascii_lowercase();
        if wanted.split('.').any(str::is_empty) {
            continue;
        }
        let known = paths.iter().find(|path| path.replace('.', "_").to_ascii_lowercase() == wanted);
        let path = known.cloned().unwrap_or(wanted);
        let value = if is_text(&defaults, &path) {
            // A Secret made from a file often ends with the end of the file's last line.
            Value::from(text.trim_end_matches(['\r', '\n']))
        } else {
            text.parse().unwrap_or_else(|_| Value::from(text.as_str()))
        };
        figment = figment.merge(Variable { name, path, value });
    }
    figment
}

/// The variables of this process.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, text)| (name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use figment::providers::Serialized;

    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Config, crate::ConfigError> {
        let figment = Figment::from(Serialized::defaults(Config::default()));
        let secret = ("IMENV_SECRET".to_owned(), "0123456789abcdef".to_owned());
        let given = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Config::with_variables(figment, [secret].into_iter().chain(given))
    }

    #[test]
    fn a_password_is_taken_character_by_character() {
        for password in ["12345678", "\"x\"", "[a]", "{a: b}", " x ", "true", "1e9", "'", "~", ""] {
            let config = load(&[
                ("IMENV_REDIS_PASSWORD", password),
                ("imenv_kafka_password", password),
                ("IMENV_REDIS_SENTINELMODE_PASSWORD", password),
                ("IMENV_KAFKA_USERNAME", password),
            ])
            .unwrap();
            let taken = [
                &config.redis.password,
                &config.kafka.password,
                &config.redis.sentinel_mode.password,
                &config.kafka.username,
            ];
            assert!(taken.iter().all(|taken| *taken == password), "{password:?}: {taken:?}");
        }
        assert_eq!(load(&[("IMENV_SECRET", "1234567890123456")]).unwrap().secret, "1234567890123456");
        // From a file that ends with a line.
        assert_eq!(load(&[("IMENV_REDIS_PASSWORD", "x y\n")]).unwrap().redis.password, "x y");
    }

    #[test]
    fn what_is_no_text_is_read_as_such() {
        let config = load(&[
            ("IMENV_KAFKA_ADDRESS", "[a:1, b:2]"),
            ("IMENV_API_OPENIMAPIPORT", "8080"),
            ("IMENV_FRIENDVERIFY", "true"),
            ("IMENV_DISCOVERY_ENABLE", "kubernetes"),
            ("OTHER_SECRET", "not ours"),
        ])
        .unwrap();
        assert_eq!(config.kafka.address, ["a:1", "b:2"]);
        assert_eq!((config.api.open_im_api_port, config.friend_verify), (8080, true));
        assert_eq!(config.discovery.enable, crate::DiscoveryKind::Kubernetes);
        let message = load(&[("IMENV_API_OPENIMAPIPORT", "many")]).unwrap_err().to_string();
        assert!(message.contains("IMENV_API_OPENIMAPIPORT") && message.contains("many"), "{message}");
    }
}
