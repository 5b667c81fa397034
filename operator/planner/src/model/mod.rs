//! Facts that all floors share: the checked cluster, its observed state, the plan. Data and questions about them, no decisions.

pub mod asked;
pub mod assessment;
pub mod backup_run;
pub mod blocker;
pub mod certificates;
pub mod cluster;
pub mod door;
pub mod manual_scale;
pub mod measured;
pub mod names;
pub mod observed;
pub mod plan;
pub mod pod_template;
pub mod quantity;
pub mod replica_set;
pub mod secret;
pub mod volume;
pub mod workload;
