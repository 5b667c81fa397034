//! The managed MongoDB as a replica set: who its members are and how services reach it.

use std::time::Duration;

/// Time limit of a question to a backing server.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// The name of the set.
pub const SET: &str = "rs0";

/// What a service needs to know of TLS.
const SERVICES_TLS: &str = "&tls=true&tlsCAFile=/config/ca.crt";

/// A set as it should be.
pub struct ReplicaSet {
    /// host:port of the members, in the order of their pods.
    pub hosts: Vec<String>,
    /// Those that are to leave it, if they are in it still.
    pub leaving: Vec<String>,
    /// `user:password@`, or empty.
    pub login: String,
    /// Certificate of the members' authority; empty: they do not use TLS.
    pub authority: String,
    /// Timeout of a member's answer.
    pub patience: Duration,
}

impl ReplicaSet {
    /// The hosts of all members, those that leave among them.
    pub fn all_hosts(&self) -> Vec<String> {
        self.hosts.iter().chain(&self.leaving).cloned().collect()
    }

    /// The connection string of the services, which find the authority's certificate beside their configuration.
    pub fn uri(&self) -> String {
        format!("{}{}", self.plain_uri(), if self.authority.is_empty() { "" } else { SERVICES_TLS })
    }

    /// The connection string without TLS.
    pub fn plain_uri(&self) -> String {
        let hosts = self.all_hosts();
        let way =
            if hosts.len() == 1 { "directConnection=true".to_owned() } else { format!("replicaSet={SET}") };
        format!("mongodb://{}{}/?authSource=admin&{way}", self.login, hosts.join(","))
    }
}
