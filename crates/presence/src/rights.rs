//! The Redis rights of the services' account. The Redis of the tests refuses everything else, so tests fail when a new command or
//! key is missing here.

use crate::Routes;

impl Routes {
    /// The rights as words of `ACL SETUSER`: no keys and channels but those of the services, no commands that administer, read or empty a
    /// whole database. `INFO` and `ROLE` tell servers that took over from those that were there before.
    pub const RIGHTS: &str = "resetkeys ~ROUTE:* ~GATEWAY_* ~{GATEWAY_READY:* ~openim:* resetchannels &presence &facts_changed \
        -@all +@connection -@dangerous +get +mget +set +setex +del +rename +expire +hset +hdel +hvals +hgetall +hexists \
        +publish +subscribe +unsubscribe +info +role";
}
