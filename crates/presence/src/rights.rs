//! The Redis rights of the services' account.

use crate::Routes;

impl Routes {
    /// The rights as words of `ACL SETUSER`.
    pub const RIGHTS: &str = topology::redis::RIGHTS;
}
