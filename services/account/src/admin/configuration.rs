//! `/config/…` and `/restart`: the configuration is a file, or in Kubernetes a part of the cluster's object. It is not read here either: the
//! ChatServer answers every secret in it.

use std::sync::Arc;

use crate::{
    App,
    answer::{Answer, Error, Result},
    call::Call,
    chat::apps::Nothing,
};

pub(crate) async fn refuse(_: Arc<App>, _: Call, _: Nothing) -> Result<Answer> {
    Err(Error::unavailable(
        "the configuration is not read, changed or restarted here: change config.yaml, or spec of the OpenIMCluster object",
    ))
}
