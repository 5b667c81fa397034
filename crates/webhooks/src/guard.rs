//! Where webhooks must not go: link-local addresses and other cloud metadata services, and unspecified addresses. The name is
//! resolved once and the connection goes to the checked address. URLs with a forbidden address instead of a name are refused at
//! start.

use std::net::SocketAddr;

use config::is_forbidden;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Looks names up and leaves out what is forbidden.
pub(crate) struct Resolver {
    /// Link-local addresses too.
    pub(crate) allowed: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.allowed;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept: Vec<SocketAddr> =
                found.filter(|address| allowed || !is_forbidden(address.ip())).collect();
            if kept.is_empty() {
                return Err(
                    format!("{} resolves to addresses that webhooks must not call", name.as_str()).into()
                );
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}
