//! A connection to one broker, with the configured login.

use std::{io, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use config::{ClientTls, Kafka, SaslMechanism};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use super::wire::{Malformed, Reader, Writer};
use crate::BusError;

/// Time limit of a request, including its response.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// Time limit for connecting: there are other brokers to ask.
const CONNECTS_WITHIN: Duration = Duration::from_secs(1);
/// The largest response: the disk usage of a broker with tens of thousands of partitions.
const LONGEST: i32 = 16 << 20;

const SASL_HANDSHAKE: Request = Request { key: 17, version: 1, name: "SaslHandshake" };
const SASL_AUTHENTICATE: Request = Request { key: 36, version: 1, name: "SaslAuthenticate" };

/// A request of the protocol and the version used.
pub(crate) struct Request {
    pub key: i16,
    pub version: i16,
    pub name: &'static str,
}

impl Request {
    /// The error for a refusal.
    pub fn refused(&self, code: i16, said: Option<String>) -> BusError {
        let said = said.filter(|said| !said.is_empty());
        let reason = said.map_or_else(|| format!("error code {code}"), |said| format!("{said} ({code})"));
        BusError::Broker { request: self.name, reason }
    }

    /// The error for the first refusal among the outcomes of a request about several things.
    ///
    /// # Errors
    /// The one whose code is not zero.
    pub fn first_refusal(
        &self,
        outcomes: impl IntoIterator<Item = (i16, Option<String>)>,
    ) -> Result<(), BusError> {
        let refusal = outcomes.into_iter().find(|(code, _)| *code != 0);
        refusal.map_or(Ok(()), |(code, said)| Err(self.refused(code, said)))
    }

    fn failed(&self, reason: impl ToString) -> BusError {
        BusError::Broker { request: self.name, reason: reason.to_string() }
    }

    /// Decodes a response.
    pub fn read<T>(
        &self,
        answer: Bytes,
        read: impl FnOnce(&mut Reader) -> Result<T, Malformed>,
    ) -> Result<T, BusError> {
        read(&mut Reader::new(answer)).map_err(|malformed| self.failed(malformed))
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection with one request at a time.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    sent: i32,
}

impl Connection {
    /// Connects to the first broker that responds.
    ///
    /// # Errors
    /// The error of the last one.
    pub async fn to_any(config: &Kafka) -> Result<Self, BusError> {
        let mut outcome = Err(SASL_HANDSHAKE.failed("kafka.address names no broker"));
        for address in &config.address {
            outcome = Self::to(config, address).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Connects to a broker, `host:port`, and logs in.
    ///
    /// # Errors
    /// When it does not respond, its certificate is not trusted or it refuses the login.
    pub async fn to(config: &Kafka, address: &str) -> Result<Self, BusError> {
        let opened = timeout(CONNECTS_WITHIN, open(&config.tls, address)).await;
        let stream =
            opened.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
                BusError::Broker { request: "connecting", reason: format!("{address}: {error}") }
            })?;
        let mut connection = Self { stream, sent: 0 };
        if !config.username.is_empty() {
            connection.log_in(config).await?;
        }
        Ok(connection)
    }

    async fn log_in(&mut self, config: &Kafka) -> Result<(), BusError> {
        if config.sasl_mechanism != SaslMechanism::Plain {
            return Err(
                SASL_HANDSHAKE.failed("kafka.saslMechanism: administrative commands support only PLAIN")
            );
        }
        let mut mechanism = Writer::default();
        mechanism.text("PLAIN");
        let answer = self.ask(&SASL_HANDSHAKE, mechanism).await?;
        let code = SASL_HANDSHAKE.read(answer, Reader::int16)?;
        if code != 0 {
            return Err(SASL_HANDSHAKE.refused(code, None));
        }
        let mut proof = Writer::default();
        proof.bytes(format!("\0{}\0{}", config.username, config.password).as_bytes());
        let answer = self.ask(&SASL_AUTHENTICATE, proof).await?;
        let (code, said) =
            SASL_AUTHENTICATE.read(answer, |reader| Ok((reader.int16()?, reader.maybe_text()?)))?;
        if code == 0 { Ok(()) } else { Err(SASL_AUTHENTICATE.refused(code, said)) }
    }

    /// Sends a request and waits for its response.
    ///
    /// # Errors
    /// When there is none in time; the connection must be dropped then.
    pub async fn ask(&mut self, request: &Request, body: Writer) -> Result<Bytes, BusError> {
        let answered = timeout(ANSWERS_WITHIN, self.exchange(request, &body.finish())).await;
        answered
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| request.failed(error))
    }

    async fn exchange(&mut self, request: &Request, body: &[u8]) -> io::Result<Bytes> {
        self.sent = self.sent.wrapping_add(1);
        let mut header = Writer::default();
        header.int16(request.key).int16(request.version).int32(self.sent).text("openim");
        let header = header.finish();
        let mut frame = BytesMut::with_capacity(4 + header.len() + body.len());
        frame.put_i32((header.len() + body.len()) as i32);
        frame.put_slice(&header);
        frame.put_slice(body);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await?;
        let length = self.stream.read_i32().await?;
        let answers = self.stream.read_i32().await?;
        if !(4..=LONGEST).contains(&length) || answers != self.sent {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Malformed));
        }
        let mut answer = vec![0; length as usize - 4];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer.into())
    }
}

async fn open(tls: &ClientTls, address: &str) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if !tls.enable_tls {
        return Ok(Box::new(stream));
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(trusting(tls)?));
    Ok(Box::new(connector.connect(name, stream).await?))
}

fn trusting(tls: &ClientTls) -> io::Result<ClientConfig> {
    if tls.insecure_skip_verify || tls.ca_crt.is_empty() {
        let remedy =
            "kafka.tls: administrative commands need the CA in caCrt, and do not support insecureSkipVerify";
        return Err(io::Error::other(remedy));
    }
    let certificates = |field: &str| {
        let pem = ClientTls::pem(field)?;
        CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(io::Error::other)
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca_crt)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    if tls.client_crt.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let key = PrivateKeyDer::from_pem_slice(&ClientTls::pem(&tls.client_key)?).map_err(io::Error::other)?;
    builder.with_client_auth_cert(certificates(&tls.client_crt)?, key).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_of_a_request_is_its_error() {
        assert!(SASL_HANDSHAKE.first_refusal([]).is_ok());
        assert!(SASL_HANDSHAKE.first_refusal([(0, None), (0, Some("fine".to_owned()))]).is_ok());
        let said = |text: &str| Some(text.to_owned());
        let refused = SASL_HANDSHAKE.first_refusal([(0, None), (31, said("no right")), (3, said("later"))]);
        assert!(refused.unwrap_err().to_string().contains("no right (31)"));
        let silent = SASL_HANDSHAKE.first_refusal([(7, Some(String::new()))]);
        assert!(silent.unwrap_err().to_string().contains("error code 7"));
    }
}
