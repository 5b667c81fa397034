//! Creating an account: the IM user first, then everything about the account in one transaction. A process that dies in between leaves an IM
//! user that nobody can log in as, and no name is taken.

use rand::Rng;
use store::accounts::{
    Account, Attribute, Code as Proof, Credential, CredentialKind, NewPerson, Registration, Taken,
};

use crate::{
    App,
    answer::{Code, Error, Result},
    call::Call,
    codes::code_used,
    fields::{RegisterUser, gender, milliseconds, text},
    follow_up::Later,
    names::Name,
    password,
};

/// How often another random id is tried.
const IDS: usize = 20;
/// Digits of a random id.
const ID_DIGITS: usize = 10;

/// Somebody who is to have an account.
#[derive(Debug, Clone)]
pub(crate) struct Newcomer {
    /// Empty: a random one.
    user_id: String,
    nickname: String,
    face_url: String,
    gender: i32,
    birth_ms: i64,
    password: String,
    pub(crate) names: Vec<Name>,
}

/// How somebody registers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    pub(crate) device_id: String,
    pub(crate) platform: String,
    pub(crate) proof: Option<Proof>,
    pub(crate) invitation: Option<String>,
}

impl Newcomer {
    /// Checks every field.
    pub(crate) fn parse(user: RegisterUser) -> Result<Self> {
        let mut names = vec![];
        if !user.phone_number.is_empty() {
            names.push(Name::phone(&user.area_code, &user.phone_number)?);
        }
        if !user.account.is_empty() {
            names.push(Name::account(&user.account)?);
        }
        if !user.email.is_empty() {
            names.push(Name::email(&user.email)?);
        }
        if names.is_empty() {
            return Err(Error::args("user: email, account, or areaCode and phoneNumber, is required"));
        }
        password::check("user.password", &user.password)?;
        if user.nickname.is_empty() {
            return Err(Error::args("user.nickname is required"));
        }
        Ok(Self {
            user_id: user.user_id,
            nickname: text("user.nickname", user.nickname, protocol::bounds::NAME_BYTES)?,
            face_url: text("user.faceURL", user.face_url, protocol::bounds::TEXT_BYTES)?,
            gender: gender(user.gender)?,
            birth_ms: milliseconds("user.birth", user.birth)?,
            password: user.password,
            names,
        })
    }

    /// The id is for administrators to choose.
    pub(crate) fn refuse_id(&self) -> Result<()> {
        if self.user_id.is_empty() {
            return Ok(());
        }
        Err(Error::no_permission("only administrators may choose user.userID"))
    }

    /// The name that a code proves: of somebody who registers himself the only one beside an account.
    pub(crate) fn proved(&self) -> Result<&Name> {
        let mut provable = self.names.iter().filter(|name| name.kind != CredentialKind::Account);
        match (provable.next(), provable.next()) {
            (Some(name), None) => Ok(name),
            (None, _) => Err(Error::args("user: email, or areaCode and phoneNumber, is required")),
            (Some(_), Some(_)) => {
                Err(Error::args("user: email and phoneNumber: register with one, add the other afterwards"))
            }
        }
    }

    fn person(&self, id: &str, hash: String, call: &Call, way: &Way, now: store::DateTime) -> NewPerson {
        let user_id = id.to_owned();
        let by = call.caller.as_ref().map(|caller| caller.user_id.clone()).unwrap_or_default();
        // As the ChatServer has it: 0 account, 1 mail, 2 phone; a later one of this order wins.
        let has = |kind| self.names.iter().any(|name| name.kind == kind);
        let register_type = if has(CredentialKind::Email) {
            1
        } else if has(CredentialKind::Account) {
            0
        } else {
            2
        };
        let mut attribute = Attribute {
            user_id: user_id.clone(),
            account: String::new(),
            phone_number: String::new(),
            area_code: String::new(),
            email: String::new(),
            nickname: self.nickname.clone(),
            face_url: self.face_url.clone(),
            gender: self.gender,
            create_time: now,
            change_time: now,
            birth_time: store::DateTime::from_millis(self.birth_ms),
            level: 0,
            allow_vibration: 1,
            allow_beep: 1,
            allow_add_friend: 1,
            global_recv_msg_opt: 0,
            register_type,
        };
        self.names.iter().for_each(|name| name.show_in(&mut attribute));
        let credential = |name: &Name| Credential {
            user_id: user_id.clone(),
            account: name.text.clone(),
            kind: name.kind.number(),
            allow_change: true,
        };
        NewPerson {
            credentials: self.names.iter().map(credential).collect(),
            registration: Registration {
                user_id: user_id.clone(),
                device_id: way.device_id.clone(),
                ip: call.address().map(|address| address.to_string()).unwrap_or_default(),
                platform: way.platform.clone(),
                account_type: String::new(),
                mode: "user".into(),
                create_time: now,
            },
            account: Account {
                user_id,
                password: hash,
                create_time: now,
                change_time: now,
                operator_user_id: by,
            },
            attribute,
            code: way.proof.clone(),
            invitation: way.invitation.clone(),
        }
    }
}

fn random_user_id() -> String {
    let mut random = rand::rng();
    let first = random.random_range(b'1'..=b'9');
    let others = (1..ID_DIGITS).map(|_| random.random_range(b'0'..=b'9'));
    std::iter::once(first).chain(others).map(char::from).collect()
}

/// The code of the ChatServer for a name that somebody else has.
pub(crate) fn taken(kind: CredentialKind) -> Error {
    match kind {
        CredentialKind::Account => Code::ACCOUNT_TAKEN.with("the account name is already taken"),
        CredentialKind::Phone => Code::PHONE_TAKEN.with("the phone number is already registered"),
        CredentialKind::Email => Code::EMAIL_TAKEN.with("the mail address is already registered"),
    }
}

impl App {
    /// Refuses names that somebody has. It is asked only after a code or an administrator's token has been shown, so that it tells
    /// nobody who has an account.
    pub(crate) async fn require_free(&self, names: &[Name], owner: &str) -> Result<()> {
        let forms: Vec<String> = names.iter().flat_map(Name::forms).collect();
        let known = self.accounts.some::<Credential>(&forms).await?;
        let other = known.iter().find(|credential| credential.user_id != owner);
        let Some(other) = other else { return Ok(()) };
        let name = names.iter().find(|name| name.forms().contains(&other.account));
        Err(taken(name.map_or(CredentialKind::Account, |name| name.kind)))
    }

    /// Creates an account; its id.
    pub(crate) async fn enroll(&self, call: &Call, newcomer: &Newcomer, way: &Way) -> Result<String> {
        self.require_free(&newcomer.names, "").await?;
        let hash = self.passwords.hash(&newcomer.password).await?;
        let id = self.create_im_user(call, newcomer).await?;
        self.note_down(Later::Welcome, &id).await?;
        let person = newcomer.person(&id, hash, call, way, self.now());
        match self.accounts.register(&person).await? {
            Ok(()) => {}
            Err(Taken::Code) => return Err(code_used()),
            Err(Taken::Invitation) => {
                return Err(Code::INVITATION_USED.with("the invitation was used meanwhile"));
            }
            Err(Taken::Name | Taken::LastName) => {
                self.require_free(&newcomer.names, "").await?;
                return Err(Error::args(format!("user.userID {id} already has an account")));
            }
        }
        self.metrics.registered.inc();
        if let Err(error) = self.carry_out(&call.operation_id, Later::Welcome, &id).await {
            tracing::warn!(user = id, %error, "account.welcome_later");
        }
        Ok(id)
    }

    /// The IM user of an account. One that an administrator names may be there already, of a directory that gets accounts now.
    async fn create_im_user(&self, call: &Call, newcomer: &Newcomer) -> Result<String> {
        let op = &call.operation_id;
        let (nickname, face) = (newcomer.nickname.as_str(), newcomer.face_url.as_str());
        if !newcomer.user_id.is_empty() {
            let id = newcomer.user_id.clone();
            if self.accounts.one::<Account>(&id).await?.is_some() {
                return Err(Error::args(format!("user.userID {id} already has an account")));
            }
            if !self.im.register(op, &id, nickname, face).await? {
                let face = (!face.is_empty()).then(|| face.to_owned());
                self.im.update(op, &id, Some(nickname.to_owned()), face).await?;
            }
            return Ok(id);
        }
        for _ in 0..IDS {
            let id = random_user_id();
            if self.im.register(op, &id, nickname, face).await? {
                return Ok(id);
            }
        }
        Err(Error::internal("no free user id was found"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_ten_digits_and_do_not_begin_with_zero() {
        for _ in 0..100 {
            let id = random_user_id();
            assert!(id.len() == 10 && !id.starts_with('0') && id.parse::<u64>().is_ok(), "{id}");
        }
    }

    #[test]
    fn whoever_registers_himself_proves_every_way_to_reach_him() {
        let user = |phone: &str, email: &str, account: &str| RegisterUser {
            area_code: "+86".into(),
            phone_number: phone.into(),
            email: email.into(),
            account: account.into(),
            nickname: "n".into(),
            password: "p".into(),
            ..Default::default()
        };
        let proved = |phone, email, account| Newcomer::parse(user(phone, email, account))?.proved().cloned();
        assert_eq!(proved("138", "", "ann").unwrap().text, "+86 138");
        assert_eq!(proved("", "a@b.org", "").unwrap().text, "a@b.org");
        assert!(proved("138", "a@b.org", "").is_err());
        assert!(proved("", "", "ann").is_err());
        assert!(proved("", "", "").is_err());
    }
}
