//! Facts that several decisions need, derived once per reconcile from what was observed (`assessment.rs` of the planner).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use topology::{Server, Service};

use crate::model::{
    asked::Asked,
    blocker::{Blocker, Gate},
    certificates::Certificates,
    door,
};

/// The facts about a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assessment {
    /// The lowest running version; empty: none yet.
    pub running: String,
    /// The number of pods of each service.
    pub(crate) scales: BTreeMap<Service, Scale>,
    /// The pod settings of each managed server of the spec.
    pub servers: BTreeMap<Server, Drift>,
    /// What is on its way to other servers.
    pub moves: Moves,
    /// Why no service may be changed: it would run without the data of another MongoDB.
    pub without_data: Option<Gate>,
    /// Hosts that the spec asks for and that other objects have.
    pub taken: BTreeMap<door::Kind, Blocker>,
    /// The certificates of the cluster's own authority.
    pub certificates: Certificates,
}

impl Assessment {
    /// The number of pods that a service is to have.
    pub fn scale(&self, service: Service) -> Scale {
        self.scales.get(&service).copied().unwrap_or_default()
    }

    /// The desired settings of each managed server.
    pub fn desired_settings(&self) -> BTreeMap<Server, Asked> {
        self.servers.iter().map(|(server, drift)| (*server, drift.wanted.clone())).collect()
    }
}

/// The number of pods, and when it was last changed by load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scale {
    /// Pods.
    pub replicas: i32,
    /// `None`: never.
    pub changed: Option<Timestamp>,
}

/// The pod settings of a managed server.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Those that it was made with; `None`: it does not exist yet.
    pub had: Option<Asked>,
    /// Those desired by the spec, defaults filled in.
    pub wanted: Asked,
}

/// A server that is there and that the spec no longer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) server: Server,
    /// Whether pods are made from a template that refers to it.
    pub(crate) is_used: bool,
}

/// What of a cluster is on its way to other servers. Reads the settings of every service, so it is computed once per reconcile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Services whose pods are made from a template that uses another Kafka than the spec asks for.
    pub(crate) behind: BTreeSet<Service>,
    pub(crate) left: Vec<Left>,
}

impl Moves {
    /// Whether services are on their way from one Kafka to another.
    pub fn between_kafkas(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Whether anything is to be moved, or was moved and the server is still there.
    pub fn any(&self) -> bool {
        !self.left.is_empty() || self.between_kafkas()
    }
}
