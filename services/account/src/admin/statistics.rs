//! Registrations and logins per day.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::{
    App,
    answer::{Answer, Error, Result, data},
    call::Call,
    limits::DAY,
};

/// Longest range, in days.
const LONGEST: i64 = 400;

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RangeReq {
    start: i64,
    end: i64,
}

impl RangeReq {
    fn range(self) -> Result<std::ops::Range<i64>> {
        if self.start > self.end {
            return Err(Error::args("start must not be after end"));
        }
        if self.end.saturating_sub(self.start) > LONGEST * DAY {
            return Err(Error::args(format!("start and end must be at most {LONGEST} days apart")));
        }
        Ok(self.start..self.end)
    }
}

/// Users of the IM services, whether they have accounts or not.
pub(crate) async fn registrations(app: Arc<App>, call: Call, request: RangeReq) -> Result<Answer> {
    let range = request.range()?;
    let counted = app.im.registrations(&call.operation_id, range.start, range.end).await?;
    data(json!({ "total": counted.total, "date_count": counted.count }))
}

/// Distinct users per day who logged in by password or code.
pub(crate) async fn logins(app: Arc<App>, _: Call, request: RangeReq) -> Result<Answer> {
    let days = app.accounts.logins(request.range()?).await?;
    let logged_in: i64 = days.values().sum();
    let registered = i64::try_from(app.accounts.count_people().await?).unwrap_or(i64::MAX);
    data(json!({ "loginCount": logged_in, "unloginCount": registered - logged_in, "count": days }))
}
