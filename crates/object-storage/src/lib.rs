//! S3-compatible object storage (docs/protocol/uploads.md). Clients upload and download by requests that are signed here; the server itself
//! only creates and completes uploads, looks at sizes and removes objects. Content is stored under its hash, so that equal files
//! are one object; the names that users see are rows in MongoDB.

mod form;
mod seal;
mod served;

use std::time::Duration;

use config::{Config, ObjectKind, ObjectStorage};
use jiff::Timestamp;
use reqwest::StatusCode;
use rusty_s3::{
    Bucket, Credentials, S3Action, UrlStyle,
    actions::{
        AbortMultipartUpload, CreateBucket, CreateMultipartUpload, DeleteObject, GetObject, HeadBucket,
        HeadObject, ListObjectsV2, PutObject,
    },
};
use url::Url;

pub use form::Form;
pub use seal::Seal;
use served::{ATTACHMENT, opens_in_place};

/// Smallest part but the last, in bytes (S3).
pub const MIN_PART: i64 = 5 << 20;
/// Largest part, in bytes (S3).
pub const MAX_PART: i64 = 5 << 30;
/// Most parts of an upload (S3).
pub const MAX_PARTS: i64 = 10_000;
/// Validity of upload requests.
pub const UPLOAD_VALID: Duration = Duration::from_secs(2 * 3600);
/// Validity of download addresses; S3 allows no more.
pub const ACCESS_VALID: Duration = Duration::from_secs(7 * 86_400);

const DEADLINE: Duration = Duration::from_secs(15);
/// For contents that the server itself writes and reads.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(120);

/// A failure of the object storage.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A setting is malformed.
    #[error("object.s3.{key}: {problem}")]
    Config {
        /// The key below `object.s3`.
        key: &'static str,
        /// The problem.
        problem: String,
    },
    /// The storage cannot be reached or did not answer.
    #[error("object storage: {0}")]
    Http(#[from] reqwest::Error),
    /// The storage refused.
    #[error("object storage: {what} was answered with {status}: {body}")]
    Refused {
        /// The operation.
        what: &'static str,
        /// HTTP status.
        status: StatusCode,
        /// The beginning of the answer.
        body: String,
    },
}

impl From<ObjectError> for protocol::Error {
    fn from(error: ObjectError) -> Self {
        Self { unreachable: matches!(error, ObjectError::Http(_)), ..Self::internal(error) }
    }
}

/// The result of a storage operation.
pub type Result<T, E = ObjectError> = std::result::Result<T, E>;

/// A bucket; cheap to clone.
#[derive(Clone)]
pub struct Objects {
    /// As the services reach it.
    internal: Bucket,
    /// As clients reach it.
    external: Bucket,
    credentials: Credentials,
    http: reqwest::Client,
    cdn_prefix: String,
}

fn bucket(key: &'static str, endpoint: &str, config: &ObjectStorage) -> Result<Bucket> {
    let refuse = |problem: String| ObjectError::Config { key, problem };
    let url = Url::parse(endpoint).map_err(|error| refuse(format!("{endpoint:?} is not a URL: {error}")))?;
    let style = if config.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
    Bucket::new(url, style, config.bucket.clone(), config.region.clone())
        .map_err(|error| refuse(error.to_string()))
}

impl Objects {
    /// The storage of the configuration; `None` when there is none.
    ///
    /// # Errors
    /// As [`Objects::new`].
    pub fn from_config(config: &Config) -> Result<Option<Self>> {
        match config.object.enable {
            ObjectKind::None => Ok(None),
            ObjectKind::S3 => Self::new(&config.object.s3).map(Some),
        }
    }

    /// Prepares a client; does not wait for the storage.
    ///
    /// # Errors
    /// When a setting is malformed.
    pub fn new(config: &ObjectStorage) -> Result<Self> {
        let external =
            if config.external_endpoint.is_empty() { &config.endpoint } else { &config.external_endpoint };
        let credentials = if config.session_token.is_empty() {
            Credentials::new(&config.access_key_id, &config.secret_access_key)
        } else {
            Credentials::new_with_token(
                &config.access_key_id,
                &config.secret_access_key,
                &config.session_token,
            )
        };
        Ok(Self {
            internal: bucket("endpoint", &config.endpoint, config)?,
            external: bucket("externalEndpoint", external, config)?,
            credentials,
            http: reqwest::Client::builder().timeout(DEADLINE).build()?,
            cdn_prefix: config.cdn_prefix.trim_end_matches('/').to_owned(),
        })
    }

    /// Creates the bucket when it does not exist.
    pub async fn ensure_bucket(&self) -> Result<()> {
        let head = HeadBucket::new(&self.internal, Some(&self.credentials)).sign(DEADLINE);
        let found = self.http.head(head).send().await?;
        if found.status() != StatusCode::NOT_FOUND {
            return accepted("looking for the bucket", found).await.map(drop);
        }
        let create = CreateBucket::new(&self.internal, &self.credentials).sign(DEADLINE);
        let made = self.http.put(create).send().await?;
        if made.status() == StatusCode::CONFLICT {
            // Somebody else created it in the same moment.
            return Ok(());
        }
        accepted("creating the bucket", made).await.map(drop)
    }

    /// Begins an upload in parts; its id. The storage remembers how the content is served where no address of ours says it.
    pub async fn create_upload(&self, key: &str, content_type: &str) -> Result<String> {
        let mut headers = Vec::new();
        if !content_type.is_empty() {
            headers.push(("content-type", content_type));
        }
        if !opens_in_place(content_type) {
            headers.push(("content-disposition", ATTACHMENT));
        }
        let mut action = CreateMultipartUpload::new(&self.internal, Some(&self.credentials), key);
        for (name, value) in &headers {
            action.headers_mut().insert(*name, *value);
        }
        let mut request = self.http.post(action.sign(DEADLINE));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = accepted("beginning an upload", request.send().await?).await?;
        let parsed =
            CreateMultipartUpload::parse_response(&answer).map_err(|error| ObjectError::Refused {
                what: "beginning an upload",
                status: StatusCode::OK,
                body: format!("{error}: {answer}"),
            })?;
        Ok(parsed.upload_id().to_owned())
    }

    /// The address that a client puts a part of this many bytes to; the storage refuses another length.
    pub fn sign_part(&self, key: &str, upload: &str, number: u16, bytes: i64) -> String {
        let mut action =
            rusty_s3::actions::UploadPart::new(&self.external, Some(&self.credentials), key, number, upload);
        action.headers_mut().insert("content-length", bytes.to_string());
        action.sign(UPLOAD_VALID).into()
    }

    /// Gives an upload up and removes its parts; one that is finished or gone stays as it is.
    pub async fn abort_upload(&self, key: &str, upload: &str) -> Result<()> {
        let action = AbortMultipartUpload::new(&self.internal, Some(&self.credentials), key, upload);
        let answer = self.http.delete(action.sign(DEADLINE)).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        accepted("aborting an upload", answer).await.map(drop)
    }

    /// Puts the parts together; `false` when there is no such upload (any more). `etags` are the MD5 sums of the parts, in order.
    pub async fn complete_upload(&self, key: &str, upload: &str, etags: &[String]) -> Result<bool> {
        let action = rusty_s3::actions::CompleteMultipartUpload::new(
            &self.internal,
            Some(&self.credentials),
            key,
            upload,
            etags.iter().map(String::as_str),
        );
        let url = action.sign(DEADLINE);
        let answer = self.http.post(url).body(action.body()).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        let body = accepted("completing an upload", answer).await?;
        // S3 may answer 200 and tell of a failure in the body.
        if body.contains("<Error>") {
            return Err(ObjectError::Refused { what: "completing an upload", status: StatusCode::OK, body });
        }
        Ok(true)
    }

    /// The size of an object in bytes; `None` when it does not exist.
    pub async fn size(&self, key: &str) -> Result<Option<i64>> {
        let url = HeadObject::new(&self.internal, Some(&self.credentials), key).sign(DEADLINE);
        let answer = self.http.head(url).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let length =
            answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        accepted("looking at an object", answer).await?;
        Ok(Some(length.unwrap_or(0)))
    }

    /// Where a client gets an object, and until when (ms).
    pub fn access(&self, key: &str, content_type: &str) -> (String, i64) {
        let until = Timestamp::now().as_millisecond() + ACCESS_VALID.as_millis() as i64;
        if !self.cdn_prefix.is_empty() {
            return (format!("{}/{key}", self.cdn_prefix), until);
        }
        let mut action = GetObject::new(&self.external, Some(&self.credentials), key);
        if !content_type.is_empty() {
            action.query_mut().insert("response-content-type", content_type);
        }
        if !opens_in_place(content_type) {
            action.query_mut().insert("response-content-disposition", ATTACHMENT);
        }
        (action.sign(ACCESS_VALID).into(), until)
    }

    /// Writes an object.
    pub async fn put(&self, key: &str, content: Vec<u8>) -> Result<()> {
        let url = PutObject::new(&self.internal, Some(&self.credentials), key).sign(TRANSFER_DEADLINE);
        let answer = self.http.put(url).timeout(TRANSFER_DEADLINE).body(content).send().await?;
        accepted("writing an object", answer).await.map(drop)
    }

    /// The content of an object; `None` when it does not exist.
    ///
    /// # Errors
    /// Also when it has more than `most` bytes: no more than these are read, whatever the storage says.
    pub async fn get(&self, key: &str, most: usize) -> Result<Option<Vec<u8>>> {
        let url = GetObject::new(&self.internal, Some(&self.credentials), key).sign(TRANSFER_DEADLINE);
        let mut answer = self.http.get(url).timeout(TRANSFER_DEADLINE).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return accepted("reading an object", answer).await.map(|_| None);
        }
        let mut content = Vec::new();
        while let Some(part) = answer.chunk().await? {
            if content.len() + part.len() > most {
                return Err(ObjectError::Refused {
                    what: "reading an object",
                    status: answer.status(),
                    body: format!("{key} has more than {most} bytes"),
                });
            }
            content.extend_from_slice(&part);
        }
        Ok(Some(content))
    }

    /// The keys that begin so.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        self.for_each_key(prefix, |key| keys.push(key)).await?;
        Ok(keys)
    }

    /// Hands over the keys that begin so one by one, in their order: only one page of them is in memory.
    pub async fn for_each_key(&self, prefix: &str, mut take: impl FnMut(String)) -> Result<()> {
        let mut next: Option<String> = None;
        loop {
            let mut action = ListObjectsV2::new(&self.internal, Some(&self.credentials));
            action.with_prefix(prefix);
            if let Some(token) = &next {
                action.with_continuation_token(token.as_str());
            }
            let answer = self.http.get(action.sign(DEADLINE)).send().await?;
            let body = accepted("listing objects", answer).await?;
            let page = ListObjectsV2::parse_response(&body).map_err(|error| ObjectError::Refused {
                what: "listing objects",
                status: StatusCode::OK,
                body: error.to_string(),
            })?;
            page.contents.into_iter().for_each(|object| take(object.key));
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Removes an object.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let url = DeleteObject::new(&self.internal, Some(&self.credentials), key).sign(DEADLINE);
        let answer = self.http.delete(url).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        accepted("removing an object", answer).await.map(drop)
    }

    /// A browser form that uploads one object of exactly this size.
    pub fn form(&self, key: &str, size: i64, content_type: &str, valid: Duration) -> Form {
        form::sign(&self.external, &self.credentials, key, size, content_type, valid, Timestamp::now())
    }
}

async fn accepted(what: &'static str, answer: reqwest::Response) -> Result<String> {
    let status = answer.status();
    let body = answer.text().await?;
    if status.is_success() {
        return Ok(body);
    }
    Err(ObjectError::Refused { what, status, body: body.chars().take(300).collect() })
}

/// How many bytes a part has; the last one has the rest. Parts count from 1.
pub fn part_length(size: i64, number: i64) -> i64 {
    let part = part_size(size);
    (size - part * (number - 1)).clamp(0, part)
}

/// The part size that clients compute for an object (docs/protocol/uploads.md).
pub fn part_size(size: i64) -> i64 {
    if size <= MIN_PART * MAX_PARTS {
        MIN_PART
    } else {
        size.div_euclid(MAX_PARTS) + i64::from(size % MAX_PARTS != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Objects {
        Objects::new(&ObjectStorage {
            endpoint: "http://s3.internal:9000".into(),
            external_endpoint: "https://files.example.org".into(),
            bucket: "chat".into(),
            access_key_id: "id".into(),
            secret_access_key: "secret".into(),
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn part_sizes_are_those_of_the_clients() {
        assert_eq!(part_size(1), MIN_PART);
        assert_eq!(part_size(MIN_PART * MAX_PARTS), MIN_PART);
        assert_eq!(part_size(MIN_PART * MAX_PARTS + 1), MIN_PART + 1);
        assert_eq!(part_size(100_001), MIN_PART);
        let size = 2 * MIN_PART + 7;
        assert_eq!([1, 2, 3, 4].map(|number| part_length(size, number)), [MIN_PART, MIN_PART, 7, 0]);
        assert_eq!(part_size(MIN_PART * MAX_PARTS * 2 + 9), MIN_PART * 2 + 1);
    }

    #[test]
    fn clients_get_addresses_they_can_reach() {
        let objects = objects();
        let part = objects.sign_part("openim/data/hash/x", "u1", 3, 77);
        assert!(part.starts_with("https://files.example.org/chat/openim/data/hash/x?"), "{part}");
        assert!(
            part.contains("partNumber=3")
                && part.contains("uploadId=u1")
                && part.contains("X-Amz-Signature=")
        );
        let (access, until) = objects.access("k", "image/png");
        assert!(access.contains("response-content-type=image%2Fpng"), "{access}");
        assert!(!access.contains("disposition"), "{access}");
        let (page, _) = objects.access("k", "text/html");
        assert!(page.contains("response-content-disposition=attachment"), "{page}");
        assert!(until > Timestamp::now().as_millisecond());
    }

    #[test]
    fn the_length_of_a_part_is_signed() {
        let objects = objects();
        let part = objects.sign_part("k", "u", 1, 77);
        assert!(part.contains("X-Amz-SignedHeaders=content-length%3Bhost"), "{part}");
        let signature = |url: &str| url.split_once("X-Amz-Signature=").unwrap().1.to_owned();
        assert_ne!(signature(&part), signature(&objects.sign_part("k", "u", 1, 78)));
    }

    #[test]
    fn a_malformed_endpoint_is_named() {
        let error = Objects::new(&ObjectStorage { endpoint: "minio:9000/x y".into(), ..Default::default() });
        assert!(error.err().unwrap().to_string().starts_with("object.s3.endpoint"));
    }
}
