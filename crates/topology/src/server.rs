//! The backing servers that the operator can run.

use std::fmt;

/// A backing server, in the order in which they are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// What is on its way.
    Kafka,
    /// The permanent data.
    MongoDb,
    /// Who is connected.
    Redis,
}

impl Server {
    /// All servers, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::MongoDb, Self::Redis, Self::Kafka];

    /// The name of the server in objects and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::MongoDb => "mongodb",
            Self::Redis => "redis",
        }
    }

    /// The server of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|server| server.name() == name)
    }

    /// The port that clients use.
    pub const fn port(self) -> u16 {
        match self {
            Self::Kafka => 9092,
            Self::MongoDb => 27017,
            Self::Redis => crate::redis::PORT,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_ordered_and_found_by_name() {
        let mut sorted = Server::ALL;
        sorted.sort_unstable();
        assert_eq!(sorted.map(Server::name), ["kafka", "mongodb", "redis"]);
        assert!(Server::ALL.into_iter().all(|server| Server::from_name(server.name()) == Some(server)));
        assert_eq!(Server::from_name("msg"), None);
    }
}
