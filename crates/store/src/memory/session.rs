//! Transactions: they see what was there when they began and what they did, and are refused when somebody else changed what they change.

use std::{collections::BTreeMap, sync::Arc};

use bson::Bson;
use faults::fate::{Fate, Kind, dies};
use mongodb::error::Result;

use super::{
    Link, Reply, Row, State, execute,
    request::{Op, away, conflict},
};

/// See the module.
pub(crate) struct Session {
    link: Link,
    began: State,
    now: State,
}

/// Documents that a transaction added, changed (with what they became) or removed, by collection and id.
type Changes = Vec<(String, Bson, Option<Row>)>;

impl Session {
    pub(crate) fn begin(link: &Link) -> Self {
        let began = link.memory.state().clone();
        Self { link: link.clone(), now: began.clone(), began }
    }

    pub(super) fn execute(&mut self, collection: &str, op: Op) -> Result<Reply> {
        let reply = execute::run(&self.link.memory, &mut self.now, collection, op)?;
        // Whoever writes what another has written meanwhile is told at once.
        self.check(&self.link.memory.state()).map(|()| reply)
    }

    pub(crate) fn abort(&mut self) {
        self.now = self.began.clone();
    }

    pub(crate) async fn commit(&mut self) -> Result<()> {
        match self.link.fates.step(Kind::Write, "commit").await {
            Fate::Refused | Fate::Half => Err(away()),
            Fate::Conflict => Err(conflict()),
            Fate::Done | Fate::Twice => self.publish(),
            Fate::Lost => self.publish().and(Err(away())),
            Fate::DiesBefore => dies(self.link.fates.as_ref()).await,
            Fate::DiesAfter => {
                let _unseen = self.publish();
                dies(self.link.fates.as_ref()).await
            }
        }
    }

    fn changes(&self) -> Changes {
        let mut changes = Changes::new();
        for (name, rows) in &self.now.0 {
            let before = self.began.0.get(name);
            if before.is_some_and(|before| Arc::ptr_eq(before, rows)) {
                continue;
            }
            let mut old: BTreeMap<String, (Bson, u64)> = BTreeMap::new();
            for row in before.into_iter().flat_map(|before| &before.rows) {
                let id = row.document.get("_id").cloned().unwrap_or(Bson::Null);
                old.insert(id.to_string(), (id, row.version));
            }
            for row in &rows.rows {
                let id = row.document.get("_id").cloned().unwrap_or(Bson::Null);
                if old.remove(&id.to_string()).is_none_or(|(_, version)| version != row.version) {
                    changes.push((name.clone(), id, Some(row.clone())));
                }
            }
            changes.extend(old.into_values().map(|(id, _)| (name.clone(), id, None)));
        }
        changes
    }

    /// Nobody changed meanwhile what this transaction changes.
    fn check(&self, state: &State) -> Result<()> {
        let version = |state: &State, name: &str, id: &Bson| {
            let rows = state.0.get(name)?;
            rows.position(id).map(|place| rows.rows[place].version)
        };
        let same = |(name, id, _): &(String, Bson, Option<Row>)| {
            version(state, name, id) == version(&self.began, name, id)
        };
        if self.changes().iter().all(same) { Ok(()) } else { Err(conflict()) }
    }

    fn publish(&mut self) -> Result<()> {
        let memory = self.link.memory.clone();
        let mut state = memory.state();
        self.check(&state)?;
        let mut next = state.clone();
        let mut changes = self.changes();
        // What it removed first: it may have added another row under the same key.
        changes.sort_by_key(|(_, _, row)| row.is_some());
        for (name, id, row) in changes {
            let rows = next.of(&name);
            match (rows.position(&id), row) {
                (Some(place), Some(row)) => rows.rows[place] = row,
                (Some(place), None) => _ = rows.rows.remove(place),
                (None, Some(row)) => {
                    // A row that somebody else added meanwhile under the same key.
                    let taken = rows.unique.iter().any(|fields| {
                        let key = |row: &Row| {
                            fields.iter().map(|field| row.document.get(field).cloned()).collect::<Vec<_>>()
                        };
                        rows.rows.iter().any(|other| key(other) == key(&row))
                    });
                    if taken {
                        return Err(conflict());
                    }
                    rows.rows.push(row);
                }
                (None, None) => {}
            }
        }
        *state = next;
        self.began = state.clone();
        self.now = self.began.clone();
        Ok(())
    }
}
