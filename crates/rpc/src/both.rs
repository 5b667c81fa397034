//! Accepts encrypted and unencrypted connections on one port, while the services of a cluster change from one to the other.

use std::{
    future::ready,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};
use tonic::transport::server::Connected;

/// The first byte of a TLS connection; HTTP/2 begins with a letter.
const HANDSHAKE: u8 = 0x16;
/// A caller that has not begun by then is dropped.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// Connections that are being opened at the same time; the others wait.
const AT_A_TIME: usize = 256;

/// A connection of a caller.
pub(crate) enum Connection {
    /// Unencrypted.
    Plain(TcpStream),
    /// Encrypted; the caller has presented a certificate of the authority.
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// What encrypted callers are accepted with: certificates of the same authority on both sides.
pub(crate) fn acceptor(authority: &str, certificate: &str, key: &str) -> io::Result<TlsAcceptor> {
    let read = |pem: &str| {
        let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        all.map_err(io::Error::other)
    };
    let mut roots = RootCertStore::empty();
    for authority in read(authority)? {
        roots.add(authority).map_err(io::Error::other)?;
    }
    let provider = Arc::new(ring::default_provider());
    let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(callers)
        .with_single_cert(read(certificate)?, key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn open(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<Connection> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first[0] == HANDSHAKE {
        let encrypted = acceptor.accept(stream).await?;
        return Ok(Connection::Encrypted(Box::new(encrypted)));
    }
    Ok(Connection::Plain(stream))
}

/// The connections of all callers that open one as they should.
pub(crate) fn accept(
    incoming: impl Stream<Item = io::Result<TcpStream>>,
    acceptor: TlsAcceptor,
) -> impl Stream<Item = io::Result<Connection>> {
    incoming
        .map(move |stream| {
            let acceptor = acceptor.clone();
            async move { timeout(BEGINS_WITHIN, open(stream?, acceptor)).await.map_err(io::Error::from)? }
        })
        .buffer_unordered(AT_A_TIME)
        .filter_map(|opened| {
            ready(opened.inspect_err(|error| tracing::debug!(%error, "rpc.not_opened")).ok().map(Ok))
        })
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
