//! Browser forms: a POST policy signed with Signature Version 4, which limits key, size, type and time.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use rusty_s3::{Bucket, Credentials};
use serde_json::json;
use sha2::Sha256;

use crate::served::{ATTACHMENT, opens_in_place};

/// A form for one upload.
#[derive(Debug, Clone)]
pub struct Form {
    /// Where the form is posted to.
    pub url: String,
    /// Its fields; the file comes after them, as `file`.
    pub fields: BTreeMap<String, String>,
    /// ms
    pub expires: i64,
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sign(
    bucket: &Bucket,
    credentials: &Credentials,
    key: &str,
    size: i64,
    content_type: &str,
    valid: Duration,
    now: Timestamp,
) -> Form {
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &date[..8];
    let expires = now.as_millisecond() + valid.as_millis() as i64;
    let until = Timestamp::from_millisecond(expires).unwrap_or(now).strftime("%Y-%m-%dT%H:%M:%S.000Z");
    let scope = format!("{day}/{}/s3/aws4_request", bucket.region());
    let mut fields = BTreeMap::from([
        ("key".to_owned(), key.to_owned()),
        ("x-amz-algorithm".to_owned(), "AWS4-HMAC-SHA256".to_owned()),
        ("x-amz-credential".to_owned(), format!("{}/{scope}", credentials.key())),
        ("x-amz-date".to_owned(), date.clone()),
        ("success_action_status".to_owned(), "204".to_owned()),
    ]);
    if !content_type.is_empty() {
        fields.insert("content-type".to_owned(), content_type.to_owned());
    }
    if !opens_in_place(content_type) {
        fields.insert("content-disposition".to_owned(), ATTACHMENT.to_owned());
    }
    if let Some(token) = credentials.token() {
        fields.insert("x-amz-security-token".to_owned(), token.to_owned());
    }
    let mut conditions =
        vec![json!({ "bucket": bucket.name() }), json!(["content-length-range", size, size])];
    conditions.extend(fields.iter().map(|(name, value)| json!({ name: value })));
    let policy = json!({ "expiration": until.to_string(), "conditions": conditions });
    let policy = BASE64_STANDARD.encode(policy.to_string());
    let day_key = hmac(format!("AWS4{}", credentials.secret()).as_bytes(), day.as_bytes());
    let region_key = hmac(&day_key, bucket.region().as_bytes());
    let signing_key = hmac(&hmac(&region_key, b"s3"), b"aws4_request");
    fields.insert("x-amz-signature".to_owned(), hex::encode(hmac(&signing_key, policy.as_bytes())));
    fields.insert("policy".to_owned(), policy);
    Form { url: bucket.base_url().to_string(), fields, expires }
}

#[cfg(test)]
mod tests {
    use rusty_s3::UrlStyle;

    use super::*;

    #[test]
    fn the_policy_limits_key_size_and_time() {
        let bucket = Bucket::new("http://s3:9000".parse().unwrap(), UrlStyle::Path, "chat", "eu").unwrap();
        let credentials = Credentials::new("id", "secret");
        let now: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        let form = sign(&bucket, &credentials, "k", 7, "image/png", Duration::from_secs(600), now);
        let policy: serde_json::Value =
            serde_json::from_slice(&BASE64_STANDARD.decode(&form.fields["policy"]).unwrap()).unwrap();
        assert_eq!(policy["expiration"], "2026-01-31T10:10:00.000Z");
        let conditions = policy["conditions"].as_array().unwrap();
        assert!(conditions.contains(&json!(["content-length-range", 7, 7])));
        assert!(
            conditions.contains(&json!({ "key": "k" })) && conditions.contains(&json!({ "bucket": "chat" }))
        );
        assert_eq!(form.fields["x-amz-credential"], "id/20260131/eu/s3/aws4_request");
        assert_eq!(form.fields["x-amz-signature"].len(), 64);
        assert!(!form.fields.contains_key("content-disposition"));
        let page = sign(&bucket, &credentials, "k", 7, "text/html", Duration::from_secs(600), now);
        assert_eq!(page.fields["content-disposition"], "attachment");
    }
}
