//! The managed Redis: what its redis.conf, which the operator writes, and its members, which read it, agree on.

/// Rights of whoever has one of the passwords that follow, where there are several of them: what `requirepass` gives with one.
pub const EVERYTHING: &str = "user default on ~* &* +@all";
/// Before a line of redis.conf that Redis does not read: another password that the sentinels beside it take.
pub const FOR_SENTINELS: &str = "# sentinels take ";
/// Port of the servers.
pub const PORT: u16 = 6379;
/// Port of the sentinels.
pub const SENTINEL_PORT: u16 = 26379;
/// Name of the master among the sentinels.
pub const MASTER_NAME: &str = "openim";
/// The rights of the services' account as words of `ACL SETUSER`: no keys and channels but those of the services, no commands that
/// administer, read or empty a whole database. `INFO` and `ROLE` tell servers that took over from those that were there before. The
/// Redis of the tests refuses everything else, so tests fail when a new command or key is missing here.
pub const RIGHTS: &str = "resetkeys ~ROUTE:* ~GATEWAY_* ~{GATEWAY_READY:* ~openim:* resetchannels &presence &facts_changed \
    -@all +@connection -@dangerous +get +mget +set +setex +del +rename +expire +hset +hdel +hvals +hgetall +hexists \
    +publish +subscribe +unsubscribe +info +role";
