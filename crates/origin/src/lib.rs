//! Where calls come from, and how much may come from one place: `proxies` finds a client's address, `places` bounds what it holds at a time,
//! `buckets` what it asks in a second. The same for REST and the WebSocket, and for the audit log.

mod buckets;
mod places;
mod proxies;

pub use buckets::{Bucket, Buckets, Exhausted};
pub use places::{Place, Places};
pub use proxies::{Client, Proxies, is_forwarded};
