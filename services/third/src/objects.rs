//! Uploads and downloads. Clients talk to the storage directly, by requests signed here.

use std::time::Duration;

use md5::{Digest, Md5};
use object_storage::{
    ACCESS_VALID, MAX_PART, MAX_PARTS, MIN_PART, Objects, UPLOAD_VALID, part_length, part_size,
};
use protocol::{
    Error, ErrorCode, Result, check,
    third::{
        AccessUrlReq, AccessUrlResp, AuthSignParts, AuthSignReq, AuthSignResp, CompleteFormDataReq,
        CompleteFormDataResp, CompleteMultipartUploadReq, CompleteMultipartUploadResp, InitiateFormDataReq,
        InitiateFormDataResp, InitiateMultipartUploadReq, InitiateMultipartUploadResp, PartLimitReq,
        PartLimitResp, PartSizeReq, PartSizeResp, SignPart, UploadInfo,
    },
};
use rpc::Context;
use serde::{Deserialize, Serialize};
use store::{DAY_MS, DateTime, objects::Object, row_limits::Room, uploads};

use crate::Third;

/// Most part requests signed in one answer.
const MAX_SIGNED: usize = protocol::bounds::SIGNED_PARTS;
/// Validity of forms, unless an administrator asks for another.
const FORM_VALID: Duration = Duration::from_secs(600);

/// What an upload id says.
#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    user: String,
    key: String,
    upload: String,
    size: i64,
    hash: String,
    /// When its parts can no longer be uploaded, in milliseconds; 0 in ids of earlier versions.
    #[serde(default)]
    expires: i64,
}

/// What a form id says.
#[derive(Debug, Serialize, Deserialize)]
struct FormUpload {
    user: String,
    name: String,
    key: String,
    size: i64,
    content_type: String,
    group: String,
    /// When the form is no longer accepted, in milliseconds; 0 in ids of earlier versions.
    #[serde(default)]
    expires: i64,
}

fn hash_key(hash: &str) -> String {
    format!("openim/data/hash/{hash}")
}

fn parts_of(size: i64) -> i64 {
    let part = part_size(size);
    (size + part - 1) / part
}

/// Users name objects below their own id, so that nobody replaces another's.
fn check_name(context: &Context, name: &str) -> Result<()> {
    check::non_empty("name", name)?;
    check::at_most("name", name, protocol::bounds::NAME_BYTES)?;
    if name.starts_with('/') || name.split('/').any(|part| part == "..") || name.chars().any(char::is_control)
    {
        return Err(Error::args("name must not start with `/` nor contain `..` or control characters"));
    }
    let own =
        name.strip_prefix(context.user_id()).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1);
    if own || context.is_privileged() {
        Ok(())
    } else {
        Err(Error::no_permission(format!("name must start with `{}/`", context.user_id())))
    }
}

/// What is stored beside a name: the type of its content, and what it is for.
fn check_texts(content_type: &str, (field, purpose): (&str, &str)) -> Result<()> {
    check::at_most("contentType", content_type, protocol::bounds::KEY_BYTES)?;
    check::at_most(field, purpose, protocol::bounds::KEY_BYTES)
}

/// Where forms put what users send.
const FORMS: &str = "openim/direct/";
/// Prefix of the server's own objects: no form can write there.
const RESERVED: [&str; 2] = ["backups/", "openim/"];

/// Keys that administrators choose themselves.
fn check_key(key: &str) -> Result<()> {
    if key.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(Error::args("name must not contain `.` or empty parts between two `/`"));
    }
    match RESERVED.iter().find(|reserved| key.starts_with(*reserved)) {
        Some(reserved) => {
            Err(Error::no_permission(format!("name must not start with `{reserved}`, which is reserved")))
        }
        None => Ok(()),
    }
}

fn check_size(size: i64, largest: i64) -> Result<()> {
    let largest = largest.min(MAX_PART * MAX_PARTS);
    if (1..=largest).contains(&size) {
        Ok(())
    } else {
        Err(Error::args(format!("size must be between 1 and {largest} bytes (object.maxBytes)")))
    }
}

impl Third {
    pub(crate) fn bucket(&self) -> Result<&Objects> {
        self.objects.as_ref().ok_or_else(|| {
            // Nothing has failed: there is none.
            ErrorCode::RecordNotFound
                .with("object storage is not configured; set spec.objectStorage (object.enable: s3)")
        })
    }

    pub(crate) async fn part_limit(&self, _: &Context, _: PartLimitReq) -> Result<PartLimitResp> {
        self.bucket()?;
        Ok(PartLimitResp { min_part_size: MIN_PART, max_part_size: MAX_PART, max_num_size: MAX_PARTS as i32 })
    }

    pub(crate) async fn part_size(&self, _: &Context, request: PartSizeReq) -> Result<PartSizeResp> {
        self.bucket()?;
        check_size(request.size, self.limits.max_bytes)?;
        Ok(PartSizeResp { size: part_size(request.size) })
    }

    pub(crate) async fn initiate(
        &self,
        context: &Context,
        request: InitiateMultipartUploadReq,
    ) -> Result<InitiateMultipartUploadResp> {
        let bucket = self.bucket()?;
        check_name(context, &request.name)?;
        check_size(request.size, self.limits.max_bytes)?;
        check_texts(&request.content_type, ("cause", &request.cause))?;
        let is_hash = request.hash.len() == 32 && request.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err(Error::args(
                "hash must be the MD5, in hexadecimal, of the comma-joined MD5s of the parts",
            ));
        }
        let expected = part_size(request.size);
        if request.part_size != expected {
            return Err(Error::args(format!("partSize must be {expected} for this size")));
        }
        let hash = request.hash.to_ascii_lowercase();
        let key = hash_key(&hash);
        self.check_room(context, &request.name).await?;
        if self.may_link(context, &key).await? && bucket.size(&key).await? == Some(request.size) {
            let row = self.row(
                context,
                &request.name,
                &key,
                &hash,
                request.size,
                &request.content_type,
                &request.cause,
            );
            self.store.put_object(&row).await?;
            let url = format!("{}{}", request.url_prefix, request.name);
            return Ok(InitiateMultipartUploadResp { url, upload: None });
        }
        self.spend(context, request.size).await?;
        let upload = Upload {
            user: context.user_id().to_owned(),
            upload: bucket.create_upload(&key, &request.content_type).await?,
            key,
            size: request.size,
            hash,
            expires: self.clock.now_ms() + UPLOAD_VALID.as_millis() as i64,
        };
        self.remember(context, &upload.upload, &upload.key, upload.expires).await?;
        let wanted = i64::from(request.max_parts).clamp(1, MAX_SIGNED as i64).min(parts_of(request.size));
        let numbers: Vec<i32> = (1..=wanted as i32).collect();
        let expire_time = upload.expires;
        let sign = AuthSignParts { parts: sign_parts(bucket, &upload, &numbers)?, ..Default::default() };
        Ok(InitiateMultipartUploadResp {
            url: String::new(),
            upload: Some(UploadInfo {
                upload_id: self.upload_ids.close(&upload, self.ids_as_before()),
                part_size: expected,
                sign: Some(sign),
                expire_time,
            }),
        })
    }

    /// Whether equal content that is there already may get another name without being sent: to those who have sent it. Whoever knows no
    /// more of it than its sum and size sends it too; it is stored once all the same.
    async fn may_link(&self, context: &Context, key: &str) -> Result<bool> {
        Ok(context.is_privileged() || self.store.has_own_name(key, context.user_id()).await?)
    }

    /// Administrators and services name as many files as they like. A name that is there already takes no room: a caller without an answer
    /// registers it again.
    async fn check_room(&self, context: &Context, name: &str) -> Result<()> {
        if context.is_privileged() || self.store.object(name).await?.is_some() {
            return Ok(());
        }
        self.store.check_room(Room::Files, context.user_id(), 1).await
    }

    /// Counts bytes of a user's day; administrators and services are not counted.
    async fn spend(&self, context: &Context, bytes: i64) -> Result<()> {
        let limit = self.limits.max_bytes_per_day;
        if limit == 0 || context.is_privileged() {
            return Ok(());
        }
        let (user, now) = (context.user_id(), self.clock.now_ms());
        if self.store.count_upload(user, now, bytes).await? <= limit {
            return Ok(());
        }
        self.store.count_upload(user, now, -bytes).await?;
        Err(Error::args(format!(
            "size: daily limit of {limit} bytes exceeded (object.maxBytesPerDay); continue tomorrow (UTC)"
        )))
    }

    /// So that what is never finished is found and removed.
    async fn remember(&self, context: &Context, id: &str, key: &str, expires: i64) -> Result<()> {
        let until = expires.max(self.clock.now_ms()) + DAY_MS;
        let row = uploads::Upload {
            id: id.to_owned(),
            user_id: context.user_id().to_owned(),
            key: key.to_owned(),
            until: DateTime::from_millis(until),
        };
        Ok(self.store.put_upload(&row).await?)
    }

    /// Removes what is not what was announced, unless a name leads to it: others upload under the same hash.
    async fn discard(&self, bucket: &Objects, key: &str) -> Result<()> {
        if !self.store.has_name(key).await? {
            bucket.delete(key).await?;
        }
        Ok(())
    }

    fn open_upload(&self, context: &Context, id: &str) -> Result<Upload> {
        check::non_empty("uploadID", id)?;
        let upload: Upload =
            self.upload_ids.open(id).ok_or_else(|| Error::args("uploadID was not issued by this server"))?;
        context.require_self("uploadID", &upload.user)?;
        in_time(upload.expires, self.clock.now_ms())?;
        Ok(upload)
    }

    pub(crate) async fn auth_sign(&self, context: &Context, request: AuthSignReq) -> Result<AuthSignResp> {
        let upload = self.open_upload(context, &request.upload_id)?;
        if request.part_numbers.is_empty() || request.part_numbers.len() > MAX_SIGNED {
            return Err(Error::args(format!("partNumbers must have between 1 and {MAX_SIGNED} items")));
        }
        let parts = sign_parts(self.bucket()?, &upload, &request.part_numbers)?;
        Ok(AuthSignResp { parts, ..Default::default() })
    }

    pub(crate) async fn complete(
        &self,
        context: &Context,
        request: CompleteMultipartUploadReq,
    ) -> Result<CompleteMultipartUploadResp> {
        let bucket = self.bucket()?;
        let upload = self.open_upload(context, &request.upload_id)?;
        check_name(context, &request.name)?;
        check_texts(&request.content_type, ("cause", &request.cause))?;
        // Again: many uploads may have begun while there was room, and one that has ended may be given several names.
        self.check_room(context, &request.name).await?;
        if request.parts.len() as i64 != parts_of(upload.size) {
            return Err(Error::args(format!("parts must have {} items", parts_of(upload.size))));
        }
        if hex::encode(Md5::digest(request.parts.join(","))) != upload.hash {
            return Err(Error::args(
                "parts: the MD5 of the comma-joined sums does not match the announced hash",
            ));
        }
        // An upload that is gone may have been completed by an earlier, unanswered call: the object decides.
        bucket.complete_upload(&upload.key, &upload.upload, &request.parts).await?;
        let found = bucket.size(&upload.key).await?;
        if found != Some(upload.size) {
            if found.is_some() {
                self.discard(bucket, &upload.key).await?;
            }
            return Err(Error::args("the uploaded parts do not have the announced size; upload again"));
        }
        let row = self.row(
            context,
            &request.name,
            &upload.key,
            &upload.hash,
            upload.size,
            &request.content_type,
            &request.cause,
        );
        self.store.put_object(&row).await?;
        self.store.forget_upload(&upload.upload).await?;
        Ok(CompleteMultipartUploadResp { url: format!("{}{}", request.url_prefix, request.name) })
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a name")]
    fn row(
        &self,
        context: &Context,
        name: &str,
        key: &str,
        hash: &str,
        size: i64,
        content_type: &str,
        group: &str,
    ) -> Object {
        Object {
            name: name.to_owned(),
            user_id: context.user_id().to_owned(),
            hash: hash.to_owned(),
            key: key.to_owned(),
            size,
            content_type: content_type.to_owned(),
            group: group.to_owned(),
            create_time: DateTime::from_millis(self.clock.now_ms()),
        }
    }

    /// Anyone who knows a name can read it: messages carry names.
    pub(crate) async fn access(&self, _: &Context, request: AccessUrlReq) -> Result<AccessUrlResp> {
        let bucket = self.bucket()?;
        check::non_empty("name", &request.name)?;
        let row = self.store.object(&request.name).await?;
        let row = row.ok_or_else(|| ErrorCode::RecordNotFound.with(format!("no object {}", request.name)))?;
        let (url, expire_time) = bucket.access(&row.key, &row.content_type);
        Ok(AccessUrlResp { url, expire_time })
    }

    pub(crate) async fn initiate_form(
        &self,
        context: &Context,
        request: InitiateFormDataReq,
    ) -> Result<InitiateFormDataResp> {
        let bucket = self.bucket()?;
        check_name(context, &request.name)?;
        check_size(request.size, self.limits.max_bytes)?;
        if request.size > MAX_PART {
            return Err(Error::args(format!("size must be at most {MAX_PART} bytes; upload in parts")));
        }
        if (request.absolute || request.millisecond != 0) && !context.is_privileged() {
            return Err(Error::no_permission("absolute and millisecond are for administrators"));
        }
        if request.absolute {
            check_key(&request.name)?;
        }
        check_texts(&request.content_type, ("group", &request.group))?;
        let valid = match request.millisecond {
            0 => FORM_VALID,
            ms if ms > 0 && ms as u128 <= ACCESS_VALID.as_millis() => Duration::from_millis(ms as u64),
            _ => return Err(Error::args("millisecond must be between 0 and 7 days")),
        };
        self.check_room(context, &request.name).await?;
        let extension = request.name.rsplit_once('.').map(|(_, text)| text).filter(|text| text.len() <= 16);
        let extension = extension.filter(|text| text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let extension = extension.map(|text| format!(".{text}")).unwrap_or_default();
        let day = store::day_name(self.clock.now_ms()).replace('-', "");
        let key = if request.absolute {
            request.name.clone()
        } else {
            format!("{FORMS}{day}/{}/{}{extension}", context.user_id(), model::random_id())
        };
        self.spend(context, request.size).await?;
        let form = bucket.form(&key, request.size, &request.content_type, valid);
        if !request.absolute {
            self.remember(context, &key, &key, form.expires).await?;
        }
        let upload = FormUpload {
            user: context.user_id().to_owned(),
            name: request.name,
            key,
            size: request.size,
            content_type: request.content_type,
            group: request.group,
            expires: form.expires,
        };
        let id = self.form_ids.close(&upload, self.ids_as_before());
        Ok(InitiateFormDataResp {
            id,
            url: form.url,
            file: "file".into(),
            header: vec![],
            form_data: form.fields,
            expires: form.expires,
            success_codes: vec![200, 201, 204],
        })
    }

    pub(crate) async fn complete_form(
        &self,
        context: &Context,
        request: CompleteFormDataReq,
    ) -> Result<CompleteFormDataResp> {
        let bucket = self.bucket()?;
        check::non_empty("id", &request.id)?;
        let form: FormUpload =
            self.form_ids.open(&request.id).ok_or_else(|| Error::args("id was not issued by this server"))?;
        context.require_self("id", &form.user)?;
        self.check_room(context, &form.name).await?;
        match bucket.size(&form.key).await? {
            Some(size) if size == form.size => {}
            Some(size) => {
                // What lies under a key of an administrator's choice may have been there before.
                if form.key.starts_with(FORMS) {
                    self.discard(bucket, &form.key).await?;
                }
                return Err(Error::args(format!(
                    "the object has {size} bytes, {} were announced",
                    form.size
                )));
            }
            None => {
                in_time(form.expires, self.clock.now_ms())?;
                return Err(ErrorCode::RecordNotFound.with("nothing has been uploaded yet"));
            }
        }
        let row = self.row(context, &form.name, &form.key, "", form.size, &form.content_type, &form.group);
        self.store.put_object(&row).await?;
        self.store.forget_upload(&form.key).await?;
        Ok(CompleteFormDataResp { url: format!("{}{}", request.url_prefix, form.name) })
    }
}

fn in_time(expires: i64, now: i64) -> Result<()> {
    if expires == 0 || now < expires {
        Ok(())
    } else {
        Err(ErrorCode::UploadExpired.with("the upload has expired; start again"))
    }
}

fn sign_parts(bucket: &Objects, upload: &Upload, numbers: &[i32]) -> Result<Vec<SignPart>> {
    let count = parts_of(upload.size);
    let sign = |number: &i32| {
        let valid = u16::try_from(*number).ok().filter(|number| (1..=count).contains(&i64::from(*number)));
        let number =
            valid.ok_or_else(|| Error::args(format!("partNumbers must be between 1 and {count}")))?;
        let length = part_length(upload.size, i64::from(number));
        let url = bucket.sign_part(&upload.key, &upload.upload, number, length);
        Ok(SignPart { part_number: i32::from(number), url, query: vec![], header: vec![] })
    };
    numbers.iter().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use protocol::internal::caller::Kind;

    use super::*;

    #[test]
    fn users_write_below_their_own_id() {
        let alice = Context::new(Kind::User, "alice", 2, "op");
        assert!(check_name(&alice, "alice/a.png").is_ok());
        for name in ["bob/a.png", "alice", "alice/", "alicex/a", "/alice/a", "alice/../bob/a", ""] {
            assert!(check_name(&alice, name).is_err(), "{name}");
        }
        assert!(check_name(&Context::new(Kind::Admin, "root", 2, "op"), "bob/a.png").is_ok());
    }

    #[test]
    fn nobody_writes_where_the_servers_own_objects_lie() {
        for key in ["backups/b/manifest.json", "openim/data/hash/0", "openim/direct/x"] {
            assert_eq!(check_key(key).unwrap_err().code, ErrorCode::NoPermission, "{key}");
        }
        for key in ["./backups/b", "a//b", "a/./b", "a/"] {
            assert_eq!(check_key(key).unwrap_err().code, ErrorCode::Args, "{key}");
        }
        assert!(check_key("public/logo.png").is_ok() && check_key("openimage.png").is_ok());
    }

    #[test]
    fn sizes_are_bounded_by_the_setting_and_by_the_storage() {
        assert!(check_size(1, 10).is_ok() && check_size(10, 10).is_ok());
        for (size, largest) in [(0, 10), (-1, 10), (11, 10), (MAX_PART * MAX_PARTS + 1, i64::MAX)] {
            assert_eq!(check_size(size, largest).unwrap_err().code, ErrorCode::Args, "{size}");
        }
    }

    #[test]
    fn an_upload_ends_when_its_addresses_do() {
        assert!(in_time(100, 99).is_ok() && in_time(0, i64::MAX).is_ok());
        assert_eq!(in_time(100, 100).unwrap_err().code, ErrorCode::UploadExpired);
    }

    #[test]
    fn the_last_part_may_be_short() {
        assert_eq!((parts_of(1), parts_of(MIN_PART), parts_of(MIN_PART + 1)), (1, 1, 2));
    }
}
