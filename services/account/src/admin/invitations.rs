//! Invitation codes: each is for one account.

use std::{collections::BTreeSet, sync::Arc};

use bson::{Bson, Document, doc};
use rand::Rng;
use serde::Deserialize;
use serde_json::json;
use store::{accounts::Invitation, millis};

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result, data},
    call::Call,
    fields::{ITEMS, Pagination, distinct, page, required},
};

/// Longest code, in characters.
const LONGEST: i32 = 64;
/// Fewest bits of a generated code: it cannot be guessed.
const BITS: f64 = 32.0;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CodesReq {
    codes: Vec<String>,
}

pub(crate) async fn add(app: Arc<App>, _: Call, request: CodesReq) -> Result<Answer> {
    distinct("codes", &request.codes)?;
    for code in &request.codes {
        required("codes", code.clone())?;
    }
    app.put_invitations(request.codes).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GenerateReq {
    len: i32,
    num: i32,
    chars: String,
}

/// The codes are in the answer.
pub(crate) async fn generate(app: Arc<App>, _: Call, request: GenerateReq) -> Result<Answer> {
    let alphabet: Vec<char> = request.chars.chars().collect::<BTreeSet<char>>().into_iter().collect();
    if !(1..=LONGEST).contains(&request.len) {
        return Err(Error::args(format!("len must be between 1 and {LONGEST}")));
    }
    if !(1..=ITEMS as i32).contains(&request.num) {
        return Err(Error::args(format!("num must be between 1 and {ITEMS}")));
    }
    if f64::from(request.len) * (alphabet.len().max(1) as f64).log2() < BITS {
        return Err(Error::args(format!(
            "len and chars: such codes could be guessed; with these {} characters len must be larger",
            alphabet.len()
        )));
    }
    let codes: BTreeSet<String> = {
        let mut random = rand::rng();
        let mut one = || (0..request.len).map(|_| alphabet[random.random_range(0..alphabet.len())]).collect();
        (0..request.num).map(|_| one()).collect()
    };
    let codes: Vec<String> = codes.into_iter().collect();
    app.put_invitations(codes.clone()).await?;
    data(json!({ "codes": codes }))
}

impl App {
    async fn put_invitations(&self, codes: Vec<String>) -> Result<()> {
        let create_time = self.now();
        let row = |invitation_code| Invitation {
            invitation_code,
            used_by_user_id: String::new(),
            user_id: String::new(),
            create_time,
        };
        let rows: Vec<Invitation> = codes.into_iter().map(row).collect();
        match self.accounts.add(&rows).await {
            Err(error) if error.is_duplicate_key() => Err(Error::args("codes: some already exist")),
            outcome => outcome.map_err(Error::from),
        }
    }
}

pub(crate) async fn delete(app: Arc<App>, _: Call, request: CodesReq) -> Result<Answer> {
    distinct("codes", &request.codes)?;
    app.remove_all::<Invitation>(&request.codes, || Error::args("codes: some do not exist")).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchReq {
    status: i32,
    #[serde(rename = "userIDs")]
    user_ids: Vec<String>,
    codes: Vec<String>,
    keyword: String,
    pagination: Option<Pagination>,
}

/// Whoever used a code is in either of two fields: an imported ChatServer wrote the wrong one.
fn filter(request: &SearchReq) -> Result<Document> {
    let nobody = || doc! { "$in": [Bson::Null, ""] };
    let somebody = || doc! { "$nin": [Bson::Null, ""] };
    let either = |condition: &dyn Fn() -> Document| {
        vec![doc! { "used_by_user_id": condition() }, doc! { "user_id": condition() }]
    };
    let mut all = match request.status {
        0 => vec![],
        1 => vec![doc! { "$or": either(&somebody) }],
        2 => either(&nobody),
        _ => return Err(Error::args("status must be 0 (all), 1 (used) or 2 (unused)")),
    };
    if !request.user_ids.is_empty() {
        all.push(doc! { "$or": either(&|| doc! { "$in": request.user_ids.clone() }) });
    }
    if !request.codes.is_empty() {
        all.push(doc! { "invitation_code": { "$in": request.codes.clone() } });
    }
    Ok(if all.is_empty() {
        doc! {}
    } else {
        doc! { "$and": all }
    })
}

pub(crate) async fn search(app: Arc<App>, _: Call, request: SearchReq) -> Result<Answer> {
    if request.user_ids.len().max(request.codes.len()) > ITEMS {
        return Err(Error::args(format!("userIDs and codes have at most {ITEMS} items")));
    }
    let wanted = page(request.pagination)?;
    let (rows, total) = app.accounts.page::<Invitation>(filter(&request)?, &request.keyword, wanted).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.user().to_owned()).filter(|id| !id.is_empty()).collect();
    let profiles = super::profiles(&app, &ids).await?;
    let shown = |row: &Invitation| {
        json!({
            "invitationCode": row.invitation_code, "createTime": millis(row.create_time), "usedUserID": row.user(),
            "usedUser": profiles.get(row.user()),
        })
    };
    data(json!({ "total": total, "list": rows.iter().map(shown).collect::<Vec<_>>() }))
}
