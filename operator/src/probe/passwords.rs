//! The users of the managed MongoDB while passwords change: other servers read theirs from the Secret.

use std::collections::BTreeMap;

use planner::{
    credentials::{replica_set, replica_set_as},
    model::{cluster::Cluster, secret::Account},
    rotation_steps::Step,
};

use crate::probe::replica_set::Members;

/// What MongoDB must be told before the Secret has the step: its users are made and removed by word.
///
/// # Errors
/// What it rejected.
pub async fn prepare(cluster: &Cluster, data: &BTreeMap<String, String>, step: Step) -> Result<(), String> {
    if !cluster.mongodb.is_managed() {
        return Ok(());
    }
    let set = replica_set(cluster, data);
    let set = Members(&set);
    let other = Account::in_use(data).other();
    match step {
        Step::Begin | Step::End => Ok(()),
        // The probe creates the services' users.
        Step::Switch => {
            let password = data.get(other.mongo_password).map_or("", String::as_str);
            Box::pin(set.admit(&replica_set_as(other, cluster, data), other.user, password)).await
        }
        Step::Finish => {
            Box::pin(set.dismiss(other.app.user)).await?;
            Box::pin(set.dismiss(other.user)).await
        }
    }
}
