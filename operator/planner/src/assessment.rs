//! Derives the facts that several decisions need. Pure.

use topology::Service;

use crate::{
    certificates, doors,
    model::{
        assessment::{Assessment, Moves},
        cluster::Cluster,
        observed::Observed,
    },
    moves, scaling, servers, version,
};

impl Assessment {
    /// The facts about a cluster.
    pub fn of(cluster: &Cluster, observed: &Observed) -> Self {
        Self::with_moves(cluster, observed, Moves::of(cluster, observed))
    }

    /// [`Assessment::of`] for moves that are already known.
    pub fn with_moves(cluster: &Cluster, observed: &Observed, moves: Moves) -> Self {
        let scale = |service| (service, scaling::scale(cluster, service, observed));
        Self {
            running: version::running(cluster, observed),
            scales: Service::ALL.into_iter().map(scale).collect(),
            servers: servers::drifts(cluster, observed),
            moves,
            without_data: moves::held(cluster, observed),
            taken: doors::taken(cluster, observed),
            certificates: certificates::assess(cluster, observed),
        }
    }
}

#[cfg(test)]
mod tests {
    use topology::Server;

    use super::*;
    use crate::{
        model::workload::Rollout,
        validate::{tests::object, validate},
    };

    #[test]
    fn a_cluster_is_assessed_as_it_is_observed() {
        let cluster = validate(&object(
            "{services: {msg: {replicas: 3}}, kafka: {managed: {image: 'mirror/kafka:4'}}}",
        ))
        .unwrap();
        let mut observed = Observed::default();
        let new = Assessment::of(&cluster, &observed);
        assert_eq!(
            (new.running.as_str(), new.scale(Service::Msg).replicas, new.scale(Service::Auth).replicas),
            ("", 3, 1)
        );
        assert!(new.servers.values().all(|server| server.had.is_none()) && !new.moves.any());
        assert_eq!(new.desired_settings()[&Server::Kafka].image, "mirror/kafka:4");

        let asked = servers::all_asked(&validate(&object("{}")).unwrap(), &observed)[&Server::Kafka].clone();
        let live = Rollout { asked: Some(asked.clone()), ..Default::default() };
        observed.stateful_sets.insert("chat-kafka".into(), live);
        let drifted = Assessment::of(&cluster, &observed);
        assert_eq!(drifted.servers[&Server::Kafka].had, Some(asked));
        assert!(drifted.servers[&Server::Redis].had.is_none());
    }
}
