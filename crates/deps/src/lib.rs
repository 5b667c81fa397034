//! What each RPC service gets from its process. A service takes what it needs of it (`Groups::new(&deps)`), so a new connection is added here and
//! in that service, and nowhere between.

use std::sync::Arc;

use config::{Config, Live};
use model::Clock;
use presence::Routes;
use rpc::Peers;
use store::Store;
use webhooks::Webhooks;

/// Configuration, connections and clock of a process. Cheap to clone: all of it is shared.
#[derive(Clone)]
pub struct Deps {
    /// The configuration with which the process was started.
    pub config: Arc<Config>,
    /// The settings that can change while it runs.
    pub live: Live,
    /// MongoDB.
    pub store: Store,
    /// Redis: presence, announcements of changes.
    pub routes: Routes,
    /// The other services.
    pub peers: Peers,
    /// The integrator's back end.
    pub webhooks: Webhooks,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}
