//! Everything of a cluster that has pods.

use std::fmt;

use crate::{Extra, Server, Service};

/// What runs once and ends; it answers nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Creates topics, indexes and administrators.
    Migrate,
    /// Copies the permanent data to the object storage.
    Backup,
    /// Copies it back.
    Restore,
}

impl Job {
    /// All jobs.
    pub const ALL: [Self; 3] = [Self::Migrate, Self::Backup, Self::Restore];

    /// The name of the job in objects and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A part of a cluster that has pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// A service.
    Service(Service),
    /// A service that is there if it is asked for.
    Extra(Extra),
    /// A managed server.
    Server(Server),
    /// What runs once.
    Job(Job),
}

impl Component {
    /// The name of the component in objects and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service(service) => service.name(),
            Self::Extra(extra) => extra.name(),
            Self::Server(server) => server.name(),
            Self::Job(job) => job.name(),
        }
    }
}

impl From<Service> for Component {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}

impl From<Extra> for Component {
    fn from(extra: Extra) -> Self {
        Self::Extra(extra)
    }
}

impl From<Server> for Component {
    fn from(server: Server) -> Self {
        Self::Server(server)
    }
}

impl From<Job> for Component {
    fn from(job: Job) -> Self {
        Self::Job(job)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
