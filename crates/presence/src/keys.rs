//! The keys and channels in Redis. They begin with the prefix of the cluster, so that several clusters can use one Redis. Channels are
//! among them because databases of one Redis have the same channels.

use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Names that begin with a prefix; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Keys(Arc<str>);

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.into())
    }

    /// The hash with the routes of a user.
    pub(crate) fn routes(&self, user: &str) -> String {
        format!("{}ROUTE:{user}", self.0)
    }

    /// The outcome of a REST send.
    pub(crate) fn send_status(&self, operation_id: &str) -> String {
        // Clients choose operation ids: whatever one holds, its key is short.
        format!("{}openim:sent:{}", self.0, hex::encode(&Sha256::digest(operation_id)[..16]))
    }

    /// A gateway's word that all its routes are in the table.
    pub(crate) fn ready(&self, gateway: &str) -> String {
        format!("{}GATEWAY_READY:{gateway}", self.0)
    }

    /// A gateway is writing its routes. It is on the same node of a Redis Cluster as [`Self::ready`].
    pub(crate) fn writing(&self, gateway: &str) -> String {
        format!("{{{}}}:writing", self.ready(gateway))
    }

    /// One life of a gateway.
    pub(crate) fn life(&self, incarnation: &str) -> String {
        format!("{}GATEWAY_LIFE:{incarnation}", self.0)
    }

    /// The address of each incarnation.
    pub(crate) fn lives(&self) -> String {
        format!("{}GATEWAY_LIVES", self.0)
    }

    /// The channel of users whose connections changed.
    pub(crate) fn presence_channel(&self) -> String {
        format!("{}presence", self.0)
    }

    /// The channel of scopes whose facts changed.
    pub(crate) fn facts_channel(&self) -> String {
        format!("{}facts_changed", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(keys: &Keys) -> [String; 8] {
        [
            keys.routes("u"),
            keys.send_status("o"),
            keys.ready("g"),
            keys.writing("g"),
            keys.life("i"),
            keys.lives(),
            keys.presence_channel(),
            keys.facts_channel(),
        ]
    }

    #[test]
    fn the_key_of_an_operation_is_short_whatever_its_id_holds() {
        let keys = ["", "1", &"x".repeat(30_000)].map(|id| Keys::default().send_status(id));
        assert!(keys.iter().all(|key| key.len() == 44), "{keys:?}");
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
    }

    #[test]
    fn two_prefixes_have_no_name_in_common() {
        let (one, two) = (all(&Keys::new("team.a:")), all(&Keys::new("team.b:")));
        assert!(one.iter().all(|name| !two.contains(name)));
        assert!(one.iter().all(|name| name.trim_start_matches('{').starts_with("team.a:")), "{one:?}");
    }

    #[test]
    fn without_a_prefix_the_names_are_those_of_earlier_versions() {
        let names = all(&Keys::default());
        let known = ["ROUTE:u", &names[1], "GATEWAY_READY:g", "{GATEWAY_READY:g}:writing", "GATEWAY_LIFE:i"];
        assert_eq!(names[..5], known);
        assert_eq!(names[5..], ["GATEWAY_LIVES", "presence", "facts_changed"]);
    }
}
