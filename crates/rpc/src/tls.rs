//! TLS between services: both sides present a certificate of the cluster's own authority.

use std::fmt::Display;

use config::{INTERNAL_NAME, InternalTls};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

use crate::client::tuned;

/// Both sides; `None` where calls are not encrypted.
#[derive(Clone)]
pub struct Tls {
    client: ClientTlsConfig,
    pub(crate) server: ServerTlsConfig,
}

/// The text itself, or that of the file it names.
fn pem(value: &str) -> std::io::Result<String> {
    if value.contains("-----BEGIN") { Ok(value.to_owned()) } else { std::fs::read_to_string(value) }
}

impl Tls {
    /// As configured.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(config: &InternalTls) -> std::io::Result<Option<Self>> {
        if !config.enable {
            return Ok(None);
        }
        let authority = Certificate::from_pem(pem(&config.ca_crt)?);
        let identity = Identity::from_pem(pem(&config.crt)?, pem(&config.key)?);
        Ok(Some(Self {
            client: ClientTlsConfig::new()
                .ca_certificate(authority.clone())
                .identity(identity.clone())
                .domain_name(INTERNAL_NAME),
            server: ServerTlsConfig::new().identity(identity).client_ca_root(authority),
        }))
    }
}

/// A service's instance; `None` when the address or the certificates are malformed.
pub(crate) fn endpoint(address: impl Display, tls: Option<&Tls>) -> Option<Endpoint> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = tuned(Endpoint::from_shared(format!("{scheme}://{address}")).ok()?);
    match tls {
        None => Some(endpoint),
        Some(tls) => endpoint
            .tls_config(tls.client.clone())
            .inspect_err(|error| tracing::error!(%error, "tls.malformed"))
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use config::{Config, DiscoveryKind};
    use protocol::msggateway::{KickUserOfflineReq, KickUserOfflineResp};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::net::TcpListener;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::*;
    use crate::{Context, InternalKey, Peers, RpcMetrics, client::tests::Kicker};

    fn issued() -> InternalTls {
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let ca_crt = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![INTERNAL_NAME.to_owned()]).unwrap();
        let crt = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
        InternalTls { enable: true, ca_crt, crt, key: key.serialize_pem() }
    }

    #[tokio::test]
    async fn only_who_has_a_certificate_of_the_authority_is_heard_and_believed() {
        let secret = "a secret of the cluster";
        let mut config = Config { secret: secret.into(), ..Default::default() };
        config.discovery.enable = DiscoveryKind::Static;
        let ours = Tls::of(&issued()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let key = InternalKey::of(&config);
        let (metrics, stopped) = (RpcMetrics::default(), stop.clone());
        tasks.spawn(crate::serve(
            Arc::new(Kicker),
            listener,
            key,
            ours.clone(),
            metrics,
            budget::Budget::new(1 << 20),
            stopped,
        ));
        let ask = async |tls: Option<Tls>| {
            let gateway = Peers::start(&config, tls, &tasks, &stop).gateway(&address).unwrap();
            let request = KickUserOfflineReq::default();
            gateway
                .call::<_, KickUserOfflineResp>(&Context::system("test"), "kickUserOffline", &request)
                .await
                .is_ok()
        };
        assert!(ask(ours).await);
        assert!(!ask(None).await, "in the clear");
        assert!(!ask(Tls::of(&issued()).unwrap()).await, "another authority");
        stop.cancel();
    }
}
