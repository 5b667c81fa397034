//! The services.

use std::fmt;

/// A service, in the order in which they are listed and rolled out. Those that read records come before [`Service::Msg`], which writes
/// them: what a version adds to a record is understood by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Tokens.
    Auth,
    /// Users.
    User,
    /// Friends and block lists.
    Relation,
    /// Conversations.
    Conversation,
    /// Groups.
    Group,
    /// Device tokens and object storage.
    Third,
    /// From Kafka to MongoDB.
    Transfer,
    /// Delivery to gateways and phones.
    Push,
    /// Accepts, reads and changes messages.
    Msg,
    /// WebSocket connections of clients.
    Gateway,
    /// REST.
    Api,
    /// Retention.
    Cron,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 12] = [
        Self::Auth,
        Self::User,
        Self::Relation,
        Self::Conversation,
        Self::Group,
        Self::Third,
        Self::Transfer,
        Self::Push,
        Self::Msg,
        Self::Gateway,
        Self::Api,
        Self::Cron,
    ];

    /// Those that other services call, in the order of their ports.
    pub const RPC: [Self; 9] = [
        Self::Gateway,
        Self::Push,
        Self::Auth,
        Self::Conversation,
        Self::Relation,
        Self::Group,
        Self::Msg,
        Self::Third,
        Self::User,
    ];

    /// Those that read from Kafka, in the direction in which records go: the other services write what the first reads, and it writes what the
    /// second reads.
    pub const CONSUMERS: [Self; 2] = [Self::Transfer, Self::Push];

    /// The name of the service in discovery, on the command line and in objects.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::User => "user",
            Self::Relation => "relation",
            Self::Conversation => "conversation",
            Self::Group => "group",
            Self::Third => "third",
            Self::Transfer => "transfer",
            Self::Push => "push",
            Self::Msg => "msg",
            Self::Gateway => "gateway",
            Self::Api => "api",
            Self::Cron => "cron",
        }
    }

    /// The service of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The offset of its RPC port from `rpcBasePort`. Services that nobody calls have one too, at which nothing listens.
    pub const fn rpc_offset(self) -> u16 {
        match self {
            Self::Gateway => 0,
            Self::Push => 1,
            Self::Auth => 2,
            Self::Conversation => 3,
            Self::Relation => 4,
            Self::Group => 5,
            Self::Msg => 6,
            Self::Third => 7,
            Self::User => 8,
            Self::Transfer => 9,
            Self::Api => 10,
            Self::Cron => 11,
        }
    }

    /// Whether it reads from Kafka.
    pub fn reads_kafka(self) -> bool {
        Self::CONSUMERS.contains(&self)
    }

    /// Whether other services call it.
    pub fn is_called(self) -> bool {
        Self::RPC.contains(&self)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_have_every_service_once_and_in_order() {
        assert!(Service::ALL.is_sorted() && Service::ALL.windows(2).all(|two| two[0] != two[1]));
        for service in Service::ALL {
            assert_eq!(Service::from_name(service.name()), Some(service));
            assert_eq!(service.to_string(), service.name());
        }
        assert_eq!(Service::from_name("redis"), None);
        for (place, service) in Service::RPC.into_iter().enumerate() {
            assert_eq!(usize::from(service.rpc_offset()), place, "{service}");
        }
        let mut offsets = Service::ALL.map(Service::rpc_offset);
        offsets.sort_unstable();
        assert_eq!(offsets.map(usize::from), std::array::from_fn(|place| place), "no two share a port");
    }

    #[test]
    fn readers_of_records_are_changed_before_their_writer() {
        assert!(Service::CONSUMERS.into_iter().all(|consumer| consumer < Service::Msg));
    }
}
