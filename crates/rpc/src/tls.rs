//! TLS between services: both sides present a certificate of the cluster's own authority.

use std::fmt::Display;

use config::{INTERNAL_NAME, InternalTls, TlsTransition};
use tokio_rustls::TlsAcceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

use crate::{both, client::tuned};

/// How this process calls other services, and which calls it accepts; `None` where calls are not encrypted.
#[derive(Clone)]
pub struct Tls {
    /// Missing: its own calls are not encrypted yet.
    client: Option<ClientTlsConfig>,
    pub(crate) server: Accepted,
}

/// Which calls are accepted.
#[derive(Clone)]
pub(crate) enum Accepted {
    /// Only encrypted ones.
    Encrypted(Box<ServerTlsConfig>),
    /// Unencrypted ones too.
    Both(TlsAcceptor),
}

/// The text itself, or that of the file it names.
fn pem(value: &str) -> std::io::Result<String> {
    if value.contains("-----BEGIN") { Ok(value.to_owned()) } else { std::fs::read_to_string(value) }
}

impl Tls {
    /// As configured.
    ///
    /// # Errors
    /// When a file cannot be read, or what it contains.
    pub fn of(config: &InternalTls) -> std::io::Result<Option<Self>> {
        if !config.enable {
            return Ok(None);
        }
        let (authority, certificate, key) = (pem(&config.ca_crt)?, pem(&config.crt)?, pem(&config.key)?);
        let root = Certificate::from_pem(&authority);
        let identity = Identity::from_pem(&certificate, &key);
        let server = if config.transition == TlsTransition::None {
            let only = ServerTlsConfig::new().identity(identity.clone()).client_ca_root(root.clone());
            Accepted::Encrypted(Box::new(only))
        } else {
            Accepted::Both(both::acceptor(&authority, &certificate, &key)?)
        };
        let client =
            ClientTlsConfig::new().ca_certificate(root).identity(identity).domain_name(INTERNAL_NAME);
        Ok(Some(Self { client: (config.transition != TlsTransition::Accept).then_some(client), server }))
    }
}

/// A service's instance; `None` when the address or the certificates are malformed.
pub(crate) fn endpoint(address: impl Display, tls: Option<&Tls>) -> Option<Endpoint> {
    let client = tls.and_then(|tls| tls.client.as_ref());
    let scheme = if client.is_some() { "https" } else { "http" };
    let endpoint = tuned(Endpoint::from_shared(format!("{scheme}://{address}")).ok()?);
    match client {
        None => Some(endpoint),
        Some(client) => endpoint
            .tls_config(client.clone())
            .inspect_err(|error| tracing::error!(%error, "tls.malformed"))
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use config::{Config, DiscoveryKind};
    use protocol::msggateway::KickUserOfflineReq;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use tokio::net::TcpListener;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::*;
    use crate::{Context, InternalKey, Peers, RpcMetrics, client::tests::Kicker};

    fn issued() -> InternalTls {
        issued_by("an authority")
    }

    fn issued_by(name: &str) -> InternalTls {
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, name);
        let authority_key = KeyPair::generate().unwrap();
        let ca_crt = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![INTERNAL_NAME.to_owned()]).unwrap();
        let crt = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
        InternalTls { enable: true, ca_crt, crt, key: key.serialize_pem(), transition: TlsTransition::None }
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
            gateway.call(&Context::system("test"), &request).await.is_ok()
        };
        assert!(ask(ours).await);
        assert!(!ask(None).await, "in the clear");
        assert!(!ask(Tls::of(&issued()).unwrap()).await, "another authority");
        stop.cancel();
    }

    /// Whether a service with the first settings answers one with the second.
    async fn answers(serving: &InternalTls, asking: &InternalTls) -> bool {
        let mut config = Config { secret: "a secret of the cluster".into(), ..Default::default() };
        config.discovery.enable = DiscoveryKind::Static;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (key, budget) = (InternalKey::of(&config), budget::Budget::new(1 << 20));
        let (tls, metrics) = (Tls::of(serving).unwrap(), RpcMetrics::default());
        tasks.spawn(crate::serve(Arc::new(Kicker), listener, key, tls, metrics, budget, stop.clone()));
        let gateway =
            Peers::start(&config, Tls::of(asking).unwrap(), &tasks, &stop).gateway(&address).unwrap();
        let request = KickUserOfflineReq::default();
        let answer = gateway.call(&Context::system("test"), &request).await;
        stop.cancel();
        answer.is_ok()
    }

    #[tokio::test]
    async fn who_accepts_both_answers_everybody_while_tls_is_switched_on() {
        let issued = issued();
        let with =
            |enable: bool, transition: TlsTransition| InternalTls { enable, transition, ..issued.clone() };
        let steps = [
            with(false, TlsTransition::None),
            with(true, TlsTransition::Accept),
            with(true, TlsTransition::Call),
            with(true, TlsTransition::None),
        ];
        for (serving, by) in steps.iter().enumerate() {
            for (asking, of) in steps.iter().enumerate() {
                // Who accepts both answers everybody, the others only those that call in their way.
                let expected = match serving {
                    0 => asking < 2,
                    3 => asking >= 2,
                    _ => true,
                };
                assert_eq!(answers(by, of).await, expected, "step {asking} asks step {serving}");
            }
        }
    }

    #[tokio::test]
    async fn neighbouring_steps_of_a_new_authority_answer_each_other() {
        let (old, new) = (issued_by("old"), issued_by("new"));
        let trusting = |first: &str, second: &str, of: &InternalTls| InternalTls {
            ca_crt: format!("{first}{second}"),
            ..of.clone()
        };
        let steps = [
            old.clone(),
            trusting(&old.ca_crt, &new.ca_crt, &old),
            trusting(&new.ca_crt, &old.ca_crt, &new),
            new.clone(),
        ];
        for (serving, by) in steps.iter().enumerate() {
            for (asking, of) in steps.iter().enumerate() {
                let expected = serving.abs_diff(asking) < 2;
                assert_eq!(answers(by, of).await, expected, "step {asking} asks step {serving}");
            }
        }
    }

    #[tokio::test]
    async fn who_accepts_both_refuses_a_certificate_of_another_authority() {
        let both = InternalTls { transition: TlsTransition::Accept, ..issued() };
        assert!(!answers(&both, &issued()).await);
    }
}
