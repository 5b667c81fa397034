//! `/user/update`. A new number or address is proved by a code that was sent to it (`usedFor` 1): it is a way to log in. One that replaces
//! or removes another needs the password too: a stolen token alone must not take an account away.

use std::sync::Arc;

use serde::Deserialize;
use store::accounts::{Attribute, Change, Code as Proof, CredentialKind, Taken};

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result},
    call::Call,
    codes::{Purpose, code_used},
    enroll::taken,
    fields::{gender, milliseconds, text},
    follow_up::Later,
    names::Name,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateReq {
    #[serde(rename = "userID")]
    user_id: String,
    account: Option<String>,
    phone_number: Option<String>,
    area_code: Option<String>,
    email: Option<String>,
    nickname: Option<String>,
    #[serde(rename = "faceURL")]
    face_url: Option<String>,
    gender: Option<i32>,
    level: Option<i32>,
    birth: Option<i64>,
    allow_add_friend: Option<i32>,
    allow_beep: Option<i32>,
    allow_vibration: Option<i32>,
    global_recv_msg_opt: Option<i32>,
    #[serde(rename = "RegisterType")]
    register_type: Option<i32>,
    /// Of the new number or address; not a field of the ChatServer.
    verify_code: String,
    /// For a name that replaces or removes one; not a field of the ChatServer.
    current_password: String,
}

pub(crate) async fn update(app: Arc<App>, call: Call, request: UpdateReq) -> Result<Answer> {
    let user = request.user_id.clone();
    protocol::check::non_empty("userID", &user)?;
    call.require_self(&user)?;
    if !call.is_admin() && (request.level.is_some() || request.register_type.is_some()) {
        return Err(Error::no_permission("only administrators may set level and RegisterType"));
    }
    let known = app.accounts.one::<Attribute>(&user).await?;
    let known = known.ok_or_else(|| Error::args(format!("user {user} has no account")))?;
    let names = new_names(&request, &known)?;
    let added: Vec<Name> = names.iter().filter_map(|(_, name)| name.clone()).collect();
    app.may_change_names(&call, &user, &names).await?;
    if names.iter().any(|(kind, _)| has_name(&known, *kind)) && !call.is_admin() {
        let why = "currentPassword is required to replace or remove a way to log in";
        protocol::check::non_empty("currentPassword", &request.current_password)
            .map_err(|_| Error::args(why))?;
        app.prove_password(&user, &request.current_password).await?;
    }
    let proofs = app.prove(&call, &added, &request.verify_code).await?;
    app.require_free(&added, &user).await?;
    let fields = changed_fields(&request, &names, app.now())?;
    let names = names.into_iter().map(|(kind, name)| (kind, name.map(|name| name.text))).collect();
    for proof in proofs {
        if !app.accounts.use_code(&proof).await? {
            return Err(code_used());
        }
    }
    let is_shown = request.nickname.is_some() || request.face_url.is_some();
    if is_shown {
        app.note_down(Later::Profile, &user).await?;
    }
    match app.accounts.change(&user, &Change { fields, names }).await? {
        Ok(()) => {}
        Err(Taken::LastName) => return Err(Error::args("the last way to log in cannot be removed")),
        Err(_taken) => return Err(taken(added.first().map_or(CredentialKind::Account, |name| name.kind))),
    }
    if is_shown {
        app.im.update(&call.operation_id, &user, request.nickname, request.face_url).await?;
        app.done(Later::Profile, &user).await?;
    }
    Ok(NOTHING)
}

/// Whether the user can log in with a name of this kind.
fn has_name(known: &Attribute, kind: CredentialKind) -> bool {
    let name = match kind {
        CredentialKind::Account => &known.account,
        CredentialKind::Email => &known.email,
        CredentialKind::Phone => &known.phone_number,
    };
    !name.is_empty()
}

/// The names that differ from those that the user has; none: one that goes.
fn new_names(request: &UpdateReq, known: &Attribute) -> Result<Vec<(CredentialKind, Option<Name>)>> {
    let mut names = vec![];
    let mut put = |kind, old: &str, new: Option<Name>| {
        if new.as_ref().map_or("", |name| name.text.as_str()) != old {
            names.push((kind, new));
        }
    };
    if let Some(account) = &request.account {
        let new = (!account.is_empty()).then(|| Name::account(account)).transpose()?;
        put(CredentialKind::Account, &known.account, new);
    }
    if let Some(email) = &request.email {
        let new = (!email.is_empty()).then(|| Name::email(email)).transpose()?;
        put(CredentialKind::Email, &known.email, new);
    }
    match (&request.area_code, &request.phone_number) {
        (None, None) => {}
        (area, Some(number)) => {
            let area = area.as_deref().unwrap_or(&known.area_code);
            let new = (!number.is_empty()).then(|| Name::phone(area, number)).transpose()?;
            let old = if known.phone_number.is_empty() {
                String::new()
            } else {
                format!("{} {}", known.area_code, known.phone_number)
            };
            put(CredentialKind::Phone, &old, new);
        }
        (Some(area), None) if area.is_empty() => {}
        (Some(_), None) => return Err(Error::args("phoneNumber is required with areaCode")),
    }
    Ok(names)
}

fn changed_fields(
    request: &UpdateReq,
    names: &[(CredentialKind, Option<Name>)],
    now: store::DateTime,
) -> Result<bson::Document> {
    let mut fields = bson::doc! { "change_time": now };
    if let Some(nickname) = &request.nickname {
        protocol::check::non_empty("nickname", nickname)?;
        fields.insert("nickname", text("nickname", nickname.clone(), protocol::bounds::NAME_BYTES)?);
    }
    if let Some(face) = &request.face_url {
        fields.insert("face_url", text("faceURL", face.clone(), protocol::bounds::TEXT_BYTES)?);
    }
    if let Some(value) = request.gender {
        fields.insert("gender", gender(value)?);
    }
    if let Some(birth) = request.birth {
        fields.insert("birth_time", store::DateTime::from_millis(milliseconds("birth", birth)?));
    }
    for (field, value) in [
        ("level", request.level),
        ("allow_add_friend", request.allow_add_friend),
        ("allow_beep", request.allow_beep),
        ("allow_vibration", request.allow_vibration),
        ("global_recv_msg_opt", request.global_recv_msg_opt),
    ] {
        if let Some(value) = value {
            fields.insert(field, value);
        }
    }
    for (kind, name) in names {
        let shown = name.as_ref().map_or("", |name| name.text.as_str());
        match kind {
            CredentialKind::Account => _ = fields.insert("account", shown),
            CredentialKind::Email => _ = fields.insert("email", shown),
            CredentialKind::Phone => {
                fields.insert("area_code", name.as_ref().map_or("", |name| name.area_code.as_str()));
                fields.insert("phone_number", name.as_ref().map_or("", |name| name.number.as_str()));
            }
        }
    }
    Ok(fields)
}

impl App {
    /// Administrators may fix names; users change those that they may.
    async fn may_change_names(
        &self,
        call: &Call,
        user: &str,
        names: &[(CredentialKind, Option<Name>)],
    ) -> Result<()> {
        if names.is_empty() || call.is_admin() {
            return Ok(());
        }
        let fixed = self.accounts.names_of(user).await?;
        let is_fixed =
            |kind: CredentialKind| fixed.iter().any(|own| own.kind == kind.number() && !own.allow_change);
        if names.iter().any(|(kind, _)| is_fixed(*kind)) {
            return Err(Error::no_permission("only administrators may change this name"));
        }
        Ok(())
    }

    /// The code that proves a new number or address.
    async fn prove(&self, call: &Call, added: &[Name], code: &str) -> Result<Vec<Proof>> {
        let mut proofs = vec![];
        if call.is_admin() {
            return Ok(proofs);
        }
        for name in added.iter().filter(|name| name.kind != CredentialKind::Account) {
            if code.is_empty() {
                return Err(Error::args("verifyCode, sent to the new email or phoneNumber, is required"));
            }
            proofs.push(self.check_code(call, name, Purpose::Register, code).await?);
        }
        Ok(proofs)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        password::as_sent,
        testing::{PASSWORD, World},
    };

    #[tokio::test]
    async fn a_user_raises_no_level_and_proves_a_new_address() {
        let world = World::new().await;
        let (ann, token) = world.register("ann@example.org").await;
        world.register("ben@example.org").await;
        let mut request = json!({ "userID": ann, "level": 100 });
        assert_eq!(world.chat("/user/update", &token, request).await["errCode"], 1002);
        request = json!({ "userID": ann, "email": "new@example.org" });
        assert_eq!(world.chat("/user/update", &token, request.clone()).await["errCode"], 1001);
        request["currentPassword"] = as_sent(PASSWORD).into();
        assert_eq!(world.chat("/user/update", &token, request.clone()).await["errCode"], 1001);
        request["verifyCode"] = world.code("new@example.org", 1).await.into();
        assert_eq!(world.chat("/user/update", &token, request).await["errCode"], 0);
        let code = world.code("ben@example.org", 1).await;
        let taken = json!({ "userID": ann, "email": "ben@example.org", "verifyCode": code, "currentPassword": as_sent(PASSWORD) });
        assert_eq!(world.chat("/user/update", &token, taken).await["errCode"], 20014);
        let none = json!({ "userID": ann, "email": "", "currentPassword": as_sent(PASSWORD) });
        assert_eq!(world.chat("/user/update", &token, none).await["errCode"], 1001, "the last way to log in");
        let own = world.chat("/user/find/full", &token, json!({ "userIDs": [ann] })).await;
        assert_eq!(own["data"]["users"][0]["email"], "new@example.org");
    }

    #[tokio::test]
    async fn a_stolen_token_takes_no_account_away() {
        let world = World::new().await;
        let (ann, token) = world.register("ann@example.org").await;
        let code = world.code("eve@example.org", 1).await;
        let change = |password: &str| json!({ "userID": ann, "email": "eve@example.org", "verifyCode": code, "currentPassword": password });
        assert_eq!(world.chat("/user/update", &token, change("")).await["errCode"], 1001);
        let guessed = change(&as_sent("guessed"));
        for _ in 0..10 {
            assert_eq!(world.chat("/user/update", &token, guessed.clone()).await["errCode"], 20001);
        }
        assert_eq!(world.chat("/user/update", &token, guessed).await["errCode"], 429);
        let first = json!({ "userID": ann, "account": "annie" });
        assert_eq!(world.chat("/user/update", &token, first).await["errCode"], 0, "one more replaces none");
    }

    #[tokio::test]
    async fn a_name_reaches_the_im_services_later_if_they_are_away() {
        let world = World::new().await;
        let (ann, token) = world.register("ann@example.org").await;
        world.im.is_away(true);
        let renamed = json!({ "userID": ann, "nickname": "Anna" });
        assert_ne!(world.chat("/user/update", &token, renamed).await["errCode"], 0);
        world.im.is_away(false);
        assert_eq!(world.im.nickname(&ann), "Ann");
        world.app.carry_out("op", Later::Profile, &ann).await.unwrap();
        assert_eq!(world.im.nickname(&ann), "Anna");
        let noted = world.app.accounts.jobs().free("account-profile", i64::MAX).await.unwrap();
        assert!(noted.is_empty(), "what is done is done once");
    }

    #[test]
    fn what_a_user_has_already_is_no_change() {
        let row = bson::doc! { "user_id": "7", "area_code": "+86", "phone_number": "138", "email": "a@b.org", "account": "ann" };
        let known: Attribute = bson::deserialize_from_document(row).unwrap();
        let changes = |request: UpdateReq| {
            let names = new_names(&request, &known)?;
            Ok::<_, Error>(
                names.into_iter().map(|(kind, name)| (kind, name.map(|name| name.text))).collect::<Vec<_>>(),
            )
        };
        let text = |value: &str| Some(value.to_owned());
        let same = UpdateReq {
            account: text("ann"),
            email: text("A@b.org"),
            area_code: text("86"),
            phone_number: text("138"),
            ..Default::default()
        };
        assert_eq!(changes(same).unwrap(), []);
        let other = UpdateReq { phone_number: text("139"), ..Default::default() };
        assert_eq!(changes(other).unwrap(), [(CredentialKind::Phone, text("+86 139"))]);
        let gone =
            UpdateReq { email: text(""), area_code: text(""), phone_number: text(""), ..Default::default() };
        assert_eq!(changes(gone).unwrap(), [(CredentialKind::Email, None), (CredentialKind::Phone, None)]);
        assert!(changes(UpdateReq { area_code: text("+1"), ..Default::default() }).is_err());
    }
}
