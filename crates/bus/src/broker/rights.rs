//! Rights of the services' account in Kafka: read and write the cluster's topics, and read as members of its consumer groups. Write includes
//! idempotent produce. Only administrators create and change topics.

use std::borrow::Cow;

use config::Kafka;

use super::{
    Connection,
    connection::Request,
    wire::{Reader, Writer},
};
use crate::{BusError, topics};

/// Consumer groups of the services.
pub mod groups {
    /// Stores accepted messages.
    pub const TRANSFER: &str = "transfer";
    /// Pushes stored messages to connections.
    pub const PUSH: &str = "push";
    /// Delivers webhooks.
    pub const WEBHOOKS: &str = "webhooks";
    /// Sends notifications to push vendors.
    pub const OFFLINE_PUSH: &str = "offlinePush";
    /// The same for large groups.
    pub const OFFLINE_GROUPS: &str = "offlineGroups";
    /// All of them.
    pub const ALL: [&str; 5] = [TRANSFER, PUSH, WEBHOOKS, OFFLINE_PUSH, OFFLINE_GROUPS];
}

const CREATE_ACLS: Request = Request { key: 30, version: 1, name: "CreateAcls" };

// Codes of the protocol. Read and write include describe.
const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const LITERAL: i8 = 3;
const READ: i8 = 3;
const WRITE: i8 = 4;
const ALLOW: i8 = 3;

/// An operation allowed on a resource.
#[derive(Debug, PartialEq, Eq)]
struct Right<'a> {
    kind: i8,
    name: Cow<'a, str>,
    operation: i8,
}

fn rights(config: &Kafka) -> Vec<Right<'_>> {
    let of_topics = topics(config)
        .into_iter()
        .flat_map(|name| [READ, WRITE].map(|operation| Right { kind: TOPIC, name: name.into(), operation }));
    let of_groups = groups::ALL.into_iter().map(|name| Right {
        kind: GROUP,
        name: config.group(name).into(),
        operation: READ,
    });
    of_topics.chain(of_groups).collect()
}

/// Grants users the rights of the services, as the administrator in the configuration; repeating it changes nothing.
///
/// # Errors
/// When Kafka is unavailable or refuses: it has no authorizer, or the configured user is not an administrator.
pub async fn grant(config: &Kafka, users: &[&str]) -> Result<(), BusError> {
    let rights = rights(config);
    let all: Vec<(&str, &Right<'_>)> =
        users.iter().flat_map(|user| rights.iter().map(|right| (*user, right))).collect();
    let mut body = Writer::default();
    body.all(all.into_iter(), |body, (user, right)| {
        body.int8(right.kind).text(&right.name).int8(LITERAL).text(&format!("User:{user}"));
        body.text("*").int8(right.operation).int8(ALLOW);
    });
    let answer = Connection::to_any(config).await?.ask(&CREATE_ACLS, body).await?;
    let outcomes = CREATE_ACLS.read(answer, |reader| {
        let _throttled = reader.int32()?;
        reader.all(|reader| Ok((reader.int16()?, Reader::maybe_text(reader)?)))
    })?;
    CREATE_ACLS.first_refusal(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_can_use_their_topics_and_groups_and_nothing_else() {
        let config = Kafka { group_prefix: "chat.".into(), ..Default::default() };
        let rights = rights(&config);
        assert_eq!(rights.len(), 4 * 2 + 5);
        assert!(rights.iter().all(|right| match right.kind {
            TOPIC => topics(&config).contains(&&*right.name) && [READ, WRITE].contains(&right.operation),
            _ =>
                right.kind == GROUP
                    && groups::ALL.map(|name| config.group(name)).contains(&right.name.to_string())
                    && right.operation == READ,
        }));
    }
}
