//! The console: pages for administrators in a browser.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The console (docs/operate/console.md).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Console {
    /// Run it in `openim-server all` too; `openim-server console` always does.
    pub enable: bool,
    /// Its port.
    pub port: u16,
    /// Minutes without a request after which a session ends, 1 to 1440.
    pub idle_minutes: u32,
    /// Hours after which a session ends in any case, 1 to 24.
    pub session_hours: u32,
    /// Address of the account service's routes for administrators, such as `http://account:10009`; empty: this host and
    /// `accounts.adminPort` if `accounts.enable` is set, otherwise its administrators cannot sign in.
    pub account_url: String,
    /// Who may do what.
    pub roles: ConsoleRoles,
    /// Where the page about the cluster gets what it shows.
    pub kubernetes: ConsoleKubernetes,
}

/// The object of which the console shows the status, read with a service account that may `get` it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConsoleKubernetes {
    /// Name of the OpenIMCluster object, in the namespace of the service account; empty: there is no page about the cluster.
    pub cluster: String,
    /// Address of the API server.
    pub url: String,
    /// Directory of the service account: the files `token`, `namespace`, and `ca.crt` for an `https` address.
    pub service_account: String,
}

/// Names by role: an id of `adminUserIDs`, or `account:` and the name of an administrator of the account service. Who is not listed is an
/// administrator, except administrators of the account service below level 100: they can only look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConsoleRoles {
    /// They may do everything.
    pub administrators: Vec<String>,
    /// They may help and moderate: sessions, bans, members, messages; not dismiss groups or delete client logs.
    pub support: Vec<String>,
    /// They see users and groups, but no messages, and change nothing.
    pub read_only: Vec<String>,
}

impl Default for ConsoleKubernetes {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            url: "https://kubernetes.default.svc".into(),
            service_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
        }
    }
}

impl ConsoleKubernetes {
    /// The key that cannot work, and why.
    fn problem(&self) -> Option<(&'static str, String)> {
        let is_part = |part: char| part.is_ascii_lowercase() || part.is_ascii_digit() || "-.".contains(part);
        if self.cluster.len() > 253 || !self.cluster.chars().all(is_part) {
            let problem = "must be the name of an OpenIMCluster object: small letters, digits, `-` and `.`";
            return Some(("kubernetes.cluster", problem.into()));
        }
        let is_url = self.url.starts_with("http://") || self.url.starts_with("https://");
        (!is_url).then(|| ("kubernetes.url", "must begin with http:// or https://".into()))
    }
}

impl ConsoleRoles {
    /// Whether an administrator of the account service has a role by this name.
    pub fn names(&self, account: &str) -> bool {
        let lists = [&self.administrators, &self.support, &self.read_only];
        lists.into_iter().flatten().any(|name| name.strip_prefix("account:") == Some(account))
    }
}

impl Default for Console {
    fn default() -> Self {
        Self {
            enable: false,
            port: 10010,
            idle_minutes: 30,
            session_hours: 10,
            account_url: String::new(),
            roles: ConsoleRoles::default(),
            kubernetes: ConsoleKubernetes::default(),
        }
    }
}

impl Console {
    /// The key that cannot work, and why.
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        if !(1..=1440).contains(&self.idle_minutes) {
            return Some(("idleMinutes", "must be between 1 and 1440".into()));
        }
        if !(1..=24).contains(&self.session_hours) {
            return Some(("sessionHours", "must be between 1 and 24".into()));
        }
        let url = &self.account_url;
        if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
            return Some(("accountUrl", "must begin with http:// or https://".into()));
        }
        if let Some(problem) = self.kubernetes.problem() {
            return Some(problem);
        }
        let ConsoleRoles { administrators, support, read_only } = &self.roles;
        let mut names: Vec<&String> = administrators.iter().chain(support).chain(read_only).collect();
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        twice.map(|pair| ("roles", format!("name {} twice; everybody has one role", pair[0])))
    }
}

impl crate::Config {
    /// Where administrators of the account service log in, without a slash at its end; `None` where there is no account service.
    pub fn account_admin_url(&self) -> Option<String> {
        match self.console.account_url.trim_end_matches('/') {
            "" if self.accounts.enable => Some(format!("http://127.0.0.1:{}", self.accounts.admin_port)),
            "" => None,
            url => Some(url.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn what_cannot_work_is_named() {
        let refused = |change: fn(&mut Console)| {
            let mut console = Console::default();
            change(&mut console);
            console.problem()
        };
        assert_eq!(refused(|_| ()), None);
        type Change = fn(&mut Console);
        let cases: [(&str, Change); 6] = [
            ("idleMinutes", |c| c.idle_minutes = 0),
            ("sessionHours", |c| c.session_hours = 48),
            ("accountUrl", |c| c.account_url = "account:10009".into()),
            ("kubernetes.cluster", |c| c.kubernetes.cluster = "../secrets/other".into()),
            ("kubernetes.url", |c| c.kubernetes.url = "kubernetes.default.svc".into()),
            ("roles", |c| {
                c.roles.support = vec!["ann".into()];
                c.roles.read_only = vec!["ann".into()];
            }),
        ];
        for (expected, change) in cases {
            assert_eq!(refused(change).map(|(key, _)| key), Some(expected));
        }
    }

    #[test]
    fn administrators_of_the_account_service_log_in_where_it_is() {
        let mut config = Config::default();
        assert_eq!(config.account_admin_url(), None);
        config.accounts.enable = true;
        assert_eq!(config.account_admin_url().unwrap(), "http://127.0.0.1:10009");
        config.console.account_url = "https://accounts.example/".into();
        assert_eq!(config.account_admin_url().unwrap(), "https://accounts.example");
    }
}
