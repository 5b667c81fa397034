//! One call: the request, its signature, and its outcome. Only a 2xx status counts as an answer.

use std::{borrow::Cow, time::Duration};

use config::Hook;
use hmac::{Hmac, Mac};
use model::{Clock, SystemClock};
use protocol::{Error, ErrorCode};
use reqwest::{StatusCode, header::HeaderValue};
use sha2::{Digest, Sha256};

/// Maximum timeout of a receiver, whatever the configuration says.
const MAX_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Longest operation id in a header, in bytes.
const MAX_OPERATION_ID: usize = 128;
/// Header with what stands for an after hook: the same when it comes again.
const KEY: &str = "x-openim-idempotency-key";
/// Header with `sha256=` and the HMAC of the body. A recorded call can be sent again under it: kept for receivers that know no other.
const BODY_SIGNATURE: &str = "x-openim-signature";
/// Header with the time of the call, in seconds since 1970.
const TIMESTAMP: &str = "x-openim-timestamp";
/// Header with `sha256=` and the HMAC of `timestamp.query.body`.
const SIGNATURE: &str = "x-openim-signature-v2";

/// Why a hook was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It can never be sent.
    #[error("sending failed: {0}")]
    Unsendable(String),
    /// The receiver refuses just this one: its size, its form.
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    /// The receiver answered something else than 2xx.
    #[error("the receiver answered {0}")]
    NotTaken(StatusCode),
    /// Nothing came back, or not in time.
    #[error("{0}")]
    Network(String),
    /// More came back than is read.
    #[error("the answer is too long")]
    TooLong,
}

impl CallError {
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::LENGTH_REQUIRED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::URI_TOO_LONG
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::Refused(status),
            _ => Self::NotTaken(status),
        }
    }

    /// As the caller of an operation sees it.
    pub(crate) fn to_error(&self, hook: Hook) -> Error {
        let code = match self {
            Self::TooLong => ErrorCode::WebhookData,
            _ => ErrorCode::WebhookNetwork,
        };
        code.with(format!("webhook {}: {self}", hook.key()))
    }
}

/// A call to be made.
pub(crate) struct Call<'a> {
    pub(crate) base: &'a str,
    pub(crate) hook: Hook,
    /// Query of the URL, with its `?`; can be empty.
    pub(crate) query: &'a str,
    pub(crate) operation_id: &'a str,
    pub(crate) body: String,
    /// Empty: it is not told.
    pub(crate) key: &'a str,
    pub(crate) timeout: Duration,
    /// Empty: nothing is signed.
    pub(crate) secret: &'a str,
}

impl Call<'_> {
    /// The text of the answer.
    pub(crate) async fn ask(self, http: &reqwest::Client) -> Result<String, CallError> {
        text_of(self.answered(http).await?).await
    }

    /// Returns when it was accepted: the status says so, whatever comes behind it.
    pub(crate) async fn tell(self, http: &reqwest::Client) -> Result<(), CallError> {
        let answer = self.answered(http).await?;
        // Read all the same, so that the connection can be used again.
        if let Err(error) = text_of(answer).await {
            tracing::debug!(%error, "webhook.answer_ignored");
        }
        Ok(())
    }

    /// The answer, whose status is 2xx.
    async fn answered(self, http: &reqwest::Client) -> Result<reqwest::Response, CallError> {
        let request = self.request(http, SystemClock.now_ms() / 1000)?;
        let answer = http.execute(request).await.map_err(network)?;
        if answer.status().is_success() { Ok(answer) } else { Err(CallError::of_status(answer.status())) }
    }

    fn request(self, http: &reqwest::Client, now: i64) -> Result<reqwest::Request, CallError> {
        let url = format!("{}/{}{}", self.base.trim_end_matches('/'), self.hook.command(), self.query);
        let mut request = http
            .post(url)
            .timeout(self.timeout.min(MAX_TIMEOUT))
            .header("content-type", "application/json; charset=utf-8")
            .header("operationID", operation_header(self.operation_id));
        if !self.key.is_empty() {
            request = request.header(KEY, self.key);
        }
        if !self.secret.is_empty() {
            let query = self.query.trim_start_matches('?');
            request = request
                .header(BODY_SIGNATURE, signature(self.secret, &[&self.body]))
                .header(TIMESTAMP, now.to_string())
                .header(SIGNATURE, signature(self.secret, &[&now.to_string(), ".", query, ".", &self.body]));
        }
        request.body(self.body).build().map_err(|error| CallError::Unsendable(without_url(error)))
    }
}

fn network(error: reqwest::Error) -> CallError {
    CallError::Network(without_url(error))
}

async fn text_of(mut answer: reqwest::Response) -> Result<String, CallError> {
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(network)? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_ANSWER {
            return Err(CallError::TooLong);
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Operation ids are the clients' words: one that is no header, or too long for one, is replaced by its hash. The body has it as it is.
fn operation_header(id: &str) -> HeaderValue {
    let usable = (1..=MAX_OPERATION_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let text = if usable {
        Cow::Borrowed(id)
    } else {
        Cow::Owned(hex::encode(&Sha256::digest(id.as_bytes())[..16]))
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("unusable"))
}

/// Addresses of receivers may hold credentials.
fn without_url(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

fn signature(secret: &str, parts: &[&str]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    for part in parts {
        mac.update(part.as_bytes());
    }
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn call<'a>(base: &'a str, query: &'a str, operation_id: &'a str) -> Call<'a> {
        Call {
            base,
            hook: Hook::BeforeSendSingleMsg,
            query,
            operation_id,
            body: "{}".into(),
            key: "k",
            timeout: Duration::from_secs(5),
            secret: "s",
        }
    }

    /// A receiver that answers each call with the next of these status lines and bodies, the last one for ever; its address.
    pub(crate) async fn receiver(answers: &'static [(&'static str, &'static str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio_util::task::TaskTracker::new().spawn(async move {
            let mut calls = 0;
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (status, body) = answers[calls.min(answers.len() - 1)];
                calls += 1;
                let mut head = [0; 4096];
                let _read = socket.read(&mut head).await;
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _written = socket.write_all(text.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn only_2xx_is_an_answer() {
        let base = receiver(&[
            ("200 OK", "{}"),
            ("204 No Content", ""),
            ("301 Moved Permanently", "{}"),
            ("401 Unauthorized", "{}"),
            ("413 Payload Too Large", "<html>"),
            ("500 Internal Server Error", "{}"),
            ("502 Bad Gateway", "{}"),
            ("503 Service Unavailable", "{}"),
        ])
        .await;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut outcomes = Vec::new();
        for _ in 0..8 {
            outcomes.push(match call(&base, "", "o").ask(&http).await {
                Ok(_) => "answered".to_owned(),
                Err(CallError::NotTaken(status)) => format!("not taken {}", status.as_u16()),
                Err(CallError::Refused(status)) => format!("refused {}", status.as_u16()),
                Err(error) => error.to_string(),
            });
        }
        assert_eq!(
            outcomes,
            [
                "answered",
                "answered",
                "not taken 301",
                "not taken 401",
                "refused 413",
                "not taken 500",
                "not taken 502",
                "not taken 503"
            ]
        );
    }

    #[tokio::test]
    async fn who_is_only_told_may_answer_2xx_with_anything() {
        let long: &'static str = Box::leak("x".repeat(MAX_ANSWER + 1).into_boxed_str());
        let base = receiver(Box::leak(Box::new([("200 OK", long)]))).await;
        let http = reqwest::Client::new();
        assert!(matches!(call(&base, "", "o").ask(&http).await, Err(CallError::TooLong)));
        assert!(call(&base, "", "o").tell(&http).await.is_ok());
        let base = receiver(&[("500 Internal Server Error", "{}")]).await;
        assert!(matches!(call(&base, "", "o").tell(&http).await, Err(CallError::NotTaken(_))));
    }

    #[test]
    fn whatever_operation_id_a_client_sends_the_hook_goes_out() {
        let http = reqwest::Client::new();
        let long = "x".repeat(1 << 20);
        for id in ["\n", "\u{7f}", "", " ", "ä", "a\r\nx: y", &long] {
            let request = call("http://hook", "", id).request(&http, 1).unwrap();
            let header = request.headers()["operationID"].to_str().unwrap();
            assert!(header.len() == 32 && header != id, "{header}");
        }
        let request = call("http://hook", "", "op-1").request(&http, 1).unwrap();
        assert_eq!(request.headers()["operationID"], "op-1");
        assert_eq!(request.headers()[KEY], "k");
        let before = Call { key: "", ..call("http://hook", "", "op-1") }.request(&http, 1).unwrap();
        assert!(before.headers().get(KEY).is_none());
    }

    #[test]
    fn the_signature_covers_time_query_and_body() {
        let http = reqwest::Client::new();
        let signed = |query: &str, now: i64| {
            let request = call("http://hook/", query, "o").request(&http, now).unwrap();
            assert_eq!(request.headers()[TIMESTAMP], now.to_string().as_str());
            request.headers()[SIGNATURE].to_str().unwrap().to_owned()
        };
        assert_eq!(signed("?key=a", 7), signature("s", &["7.key=a.{}"]));
        assert_ne!(signed("?key=a", 7), signed("?key=b", 7));
        assert_ne!(signed("?key=a", 7), signed("?key=a", 8));
        let request = call("http://hook/", "?key=a", "o").request(&http, 7).unwrap();
        assert_eq!(request.headers()[BODY_SIGNATURE], signature("s", &["{}"]).as_str());
        assert_eq!(request.url().as_str(), "http://hook/callbackBeforeSendSingleMsgCommand?key=a");
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        let error = call("http://hook:port", "", "o").request(&reqwest::Client::new(), 1).unwrap_err();
        assert!(matches!(error, CallError::Unsendable(_)), "{error}");
    }
}
