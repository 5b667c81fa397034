//! Fields that many requests have, and their bounds.

use protocol::sdkws::RequestPagination;
use serde::Deserialize;
use store::Page;

use crate::answer::{Error, Result};

/// Most ids or rows in one request.
pub(crate) const ITEMS: usize = protocol::bounds::ITEMS;

/// `RegisterUserInfo`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RegisterUser {
    #[serde(rename = "userID")]
    pub(crate) user_id: String,
    pub(crate) nickname: String,
    #[serde(rename = "faceURL")]
    pub(crate) face_url: String,
    pub(crate) birth: i64,
    pub(crate) gender: i32,
    pub(crate) area_code: String,
    pub(crate) phone_number: String,
    pub(crate) email: String,
    pub(crate) account: String,
    pub(crate) password: String,
}

/// `RequestPagination`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Pagination {
    pub(crate) page_number: i32,
    pub(crate) show_number: i32,
}

/// The page of a request, which has to name one.
pub(crate) fn page(pagination: Option<Pagination>) -> Result<Page> {
    let pagination = pagination.map(|pagination| RequestPagination {
        page_number: pagination.page_number,
        show_number: pagination.show_number,
    });
    Ok(Page::parse(pagination.as_ref())?)
}

/// A list that is not empty, not too long, and names nothing twice.
pub(crate) fn distinct(field: &str, list: &[String]) -> Result<()> {
    Ok(protocol::check::ids(field, list, ITEMS)?)
}

/// A text of bounded length.
pub(crate) fn text(field: &str, text: String, most: usize) -> Result<String> {
    protocol::check::at_most(field, &text, most)?;
    Ok(text)
}

/// A text of bounded length that is not empty.
pub(crate) fn required(field: &str, value: String) -> Result<String> {
    protocol::check::non_empty(field, &value)?;
    text(field, value, protocol::bounds::TEXT_BYTES)
}

/// 0 female, 1 male, 2 unknown.
pub(crate) fn gender(gender: i32) -> Result<i32> {
    if (0..=2).contains(&gender) { Ok(gender) } else { Err(Error::args("gender must be 0, 1 or 2")) }
}

/// A time that a date can be made of.
pub(crate) fn milliseconds(field: &str, value: i64) -> Result<i64> {
    // The years 0 to 9999.
    const RANGE: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;
    if RANGE.contains(&value) {
        Ok(value)
    } else {
        Err(Error::args(format!("{field} must be milliseconds since 1970")))
    }
}

/// A platform that somebody logs in on.
pub(crate) fn platform(number: i32) -> Result<&'static str> {
    let platform = model::platform::Platform::parse(number)
        .filter(|platform| *platform != model::platform::Platform::ADMIN)
        .ok_or_else(|| Error::args("platform must be between 1 and 12, except 10"))?;
    Ok(platform.name())
}
