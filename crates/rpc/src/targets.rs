//! Where the admin ports of a service are: for Prometheus and for the console.

use config::{Config, DiscoveryKind};

/// The admin ports (`ip:port`) of a service's instances, sorted. A service without instances has none.
///
/// # Errors
/// When etcd does not answer.
pub async fn admin_ports(config: &Config, component: &str) -> protocol::Result<Vec<String>> {
    let resolve = async |host: String| {
        // A service without instances has no name: that is an empty list, not a failure.
        let found = tokio::net::lookup_host((host, config.admin_port)).await;
        found.map(|addresses| addresses.map(|address| address.to_string()).collect()).unwrap_or_default()
    };
    let mut ports: Vec<String> = match config.discovery.enable {
        DiscoveryKind::Static => resolve(config.discovery.host.clone()).await,
        DiscoveryKind::Kubernetes => resolve(format!("{}{component}", config.discovery.service_prefix)).await,
        DiscoveryKind::Etcd => crate::metrics_targets(&config.etcd, component).await?,
    };
    ports.sort_unstable();
    // One host, whichever of its addresses; IPv4 sorts first.
    if config.discovery.enable == DiscoveryKind::Static {
        ports.truncate(1);
    }
    Ok(ports)
}
