//! Codes on their way, by mail or SMS. A caller does not wait for the sending: how long it takes would tell whether somebody has an account.
//! What is under way when the process dies is lost; its recipient asks for another code.

use std::{sync::Arc, time::Duration};

use config::{Accounts as Settings, Mail, MailSecurity, Sms};
use futures::StreamExt;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::authentication::Credentials,
};
use protocol::Error as Refusal;
use serde_json::json;
use store::accounts::CredentialKind;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    AccountMetrics,
    answer::{Error, Result},
    codes::Purpose,
    names::Name,
};

/// Codes that wait to be sent.
const WAITING: usize = 1000;
/// Codes that are being sent at a time.
const AT_A_TIME: usize = 8;
/// How long sending one may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A code for somebody.
pub(crate) struct Letter {
    pub(crate) recipient: Name,
    pub(crate) code: String,
    pub(crate) purpose: Purpose,
    pub(crate) operation_id: String,
}

/// Where codes are handed in; cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox {
    letters: mpsc::Sender<Letter>,
    mails: bool,
    texts: bool,
}

/// A place in the outbox; free again when it is dropped.
pub(crate) struct Place(mpsc::OwnedPermit<Letter>);

impl Place {
    pub(crate) fn post(self, letter: Letter) {
        self.0.send(letter);
    }
}

/// The codes that were handed in, and who sends them.
pub(crate) struct Letters {
    letters: mpsc::Receiver<Letter>,
    senders: Arc<Senders>,
}

struct Senders {
    mail: Option<MailSender>,
    sms: Option<SmsSender>,
    minutes: u32,
    metrics: AccountMetrics,
}

struct MailSender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    subject: String,
}

struct SmsSender {
    client: reqwest::Client,
    settings: Sms,
}

/// An outbox and what sends from it.
pub(crate) fn new(settings: &Settings, metrics: AccountMetrics) -> protocol::Result<(Outbox, Letters)> {
    let mail = (!settings.mail.host.is_empty()).then(|| MailSender::new(&settings.mail)).transpose()?;
    let sms = (!settings.sms.url.is_empty()).then(|| SmsSender::new(&settings.sms)).transpose()?;
    let (sender, letters) = mpsc::channel(WAITING);
    let outbox = Outbox { letters: sender, mails: mail.is_some(), texts: sms.is_some() };
    let minutes = settings.codes.valid_seconds.div_ceil(60);
    Ok((outbox, Letters { letters, senders: Arc::new(Senders { mail, sms, minutes, metrics }) }))
}

impl Outbox {
    /// Whether codes of this kind are sent at all, for whoever asks.
    pub(crate) fn can_send(&self, kind: CredentialKind) -> Result<()> {
        let (can, what, key) = match kind {
            CredentialKind::Phone => (self.texts, "SMS", "accounts.sms.url"),
            _ => (self.mails, "mail", "accounts.mail.host"),
        };
        if can {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "this server cannot send codes by {what}; an administrator can set {key}"
        )))
    }

    /// A place for one letter. It is taken before anybody looks whether there is a recipient: a full outbox must not tell who has an account.
    pub(crate) fn place(&self) -> Result<Place> {
        self.letters
            .clone()
            .try_reserve_owned()
            .map(Place)
            .map_err(|_full| Refusal::busy("sending codes").into())
    }
}

impl Letters {
    /// Sends what is handed in until `stop`.
    pub(crate) async fn send_until(self, stop: CancellationToken) {
        let Self { letters, senders } = self;
        let letters = futures::stream::unfold(letters, async |mut letters| {
            letters.recv().await.map(|letter| (letter, letters))
        });
        let sending = letters.for_each_concurrent(AT_A_TIME, |letter| {
            let senders = senders.clone();
            async move { senders.send(letter).await }
        });
        let _stopped = stop.run_until_cancelled(sending).await;
    }
}

#[cfg(test)]
impl Letters {
    /// The code in the letter that was handed in last; the others are thrown away.
    pub(crate) fn take_last(&mut self) -> Option<String> {
        std::iter::from_fn(|| self.letters.try_recv().ok()).last().map(|letter| letter.code)
    }
}

impl Senders {
    async fn send(&self, letter: Letter) {
        // Its request has been answered.
        let span = tracing::error_span!("letter", operation_id = letter.operation_id);
        self.deliver(letter).instrument(span).await;
    }

    async fn deliver(&self, letter: Letter) {
        let outcome = timeout(PATIENCE, async {
            match letter.recipient.kind {
                CredentialKind::Phone => match &self.sms {
                    Some(sms) => sms.send(&letter).await,
                    None => Err("accounts.sms.url is not set".to_owned()),
                },
                _ => match &self.mail {
                    Some(mail) => mail.send(&letter, self.minutes).await,
                    None => Err("accounts.mail.host is not set".to_owned()),
                },
            }
        });
        match outcome.await.unwrap_or_else(|_late| Err(format!("no answer within {PATIENCE:?}"))) {
            Ok(()) => _ = self.metrics.codes_sent.inc(),
            Err(error) => {
                self.metrics.codes_failed.inc();
                tracing::warn!(kind = ?letter.recipient.kind, error, "account.code_not_sent");
            }
        }
    }
}

impl MailSender {
    fn new(settings: &Mail) -> protocol::Result<Self> {
        type Transport = AsyncSmtpTransport<Tokio1Executor>;
        let refused =
            |error: lettre::transport::smtp::Error| Refusal::args(format!("accounts.mail.host: {error}"));
        let builder = match settings.security {
            MailSecurity::Tls => Transport::relay(&settings.host).map_err(refused)?,
            MailSecurity::StartTls => Transport::starttls_relay(&settings.host).map_err(refused)?,
            MailSecurity::None => Transport::builder_dangerous(&settings.host),
        };
        let mut builder = builder.port(settings.port).timeout(Some(PATIENCE));
        if !settings.username.is_empty() {
            builder =
                builder.credentials(Credentials::new(settings.username.clone(), settings.password.clone()));
        }
        let from: Mailbox = settings
            .from
            .parse::<Mailbox>()
            .map_err(|error| Refusal::args(format!("accounts.mail.from: {error}")))?;
        Ok(Self { transport: builder.build(), from, subject: settings.subject.clone() })
    }

    async fn send(&self, letter: &Letter, minutes: u32) -> Result<(), String> {
        let text = format!(
            "Your verification code is {}. It is valid for {minutes} minutes.\n\nIf you did not ask for it, ignore this message and \
             give the code to nobody.\n",
            letter.code
        );
        let to: Mailbox =
            letter.recipient.text.parse::<Mailbox>().map_err(|error| format!("recipient: {error}"))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(self.subject.clone())
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| error.to_string())?;
        self.transport.send(message).await.map(|_taken| ()).map_err(|error| error.to_string())
    }
}

impl SmsSender {
    fn new(settings: &Sms) -> protocol::Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(Refusal::internal)?;
        Ok(Self { client, settings: settings.clone() })
    }

    async fn send(&self, letter: &Letter) -> Result<(), String> {
        let body = json!({
            "areaCode": letter.recipient.area_code, "phoneNumber": letter.recipient.number, "code": letter.code,
            "usedFor": letter.purpose.number(), "operationID": letter.operation_id,
        });
        let mut request = self.client.post(&self.settings.url).json(&body);
        if !self.settings.token.is_empty() {
            request = request.bearer_auth(&self.settings.token);
        }
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("HTTP {}", answer.status())) }
    }
}
