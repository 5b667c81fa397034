//! Where calls come from, and limits per origin: `proxies` finds a client's address, `places` limits its concurrent connections,
//! `buckets` its requests per second. Shared by REST, WebSocket and the audit log.

mod buckets;
mod places;
mod proxies;

pub use buckets::{Bucket, Buckets, Exhausted};
pub use places::{Place, Places};
pub use proxies::{Client, Proxies, is_forwarded};
