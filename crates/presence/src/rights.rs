//! What Redis must let the services do, for a user of theirs. The Redis of the tests refuses everything else, so a command or a key that is
//! new is missed there first.

use crate::Routes;

impl Routes {
    /// The rights as words of `ACL SETUSER`: no keys and channels but those of the services, no commands that administer, read or empty a
    /// whole database. `INFO` and `ROLE` tell servers that took over from those that were there before.
    pub const RIGHTS: &str = "resetkeys ~ROUTE:* ~GATEWAY_* ~{GATEWAY_READY:* ~openim:* resetchannels &presence &facts_changed \
        -@all +@connection -@dangerous +get +mget +set +setex +del +rename +expire +hset +hdel +hvals +hgetall +hexists \
        +publish +subscribe +unsubscribe +info +role";
}
