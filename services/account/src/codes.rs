//! Verification codes: random digits, of which a MAC is stored. A code belongs to a recipient and a purpose, has few attempts and is used
//! once. Whoever asks for one learns nothing about who has an account: somebody without one gets a row that no code matches.

use config::Key;
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;
use store::{
    DateTime,
    accounts::{Code as Row, Given},
};

use crate::{
    App,
    answer::{Code, Error, Result},
    call::Call,
    limits::Limit,
    names::Name,
    outbox::Letter,
};

/// What a request for a code says it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Register,
    Reset,
    Login,
}

impl Purpose {
    pub(crate) fn parse(used_for: i32) -> Result<Self> {
        Ok(match used_for {
            1 => Self::Register,
            2 => Self::Reset,
            3 => Self::Login,
            _ => return Err(Error::args("usedFor must be 1 (register), 2 (reset) or 3 (login)")),
        })
    }

    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Register => 1,
            Self::Reset => 2,
            Self::Login => 3,
        }
    }

    /// Clients ask for the code of a reset as for that of a login, so both share a row.
    fn id(self, recipient: &Name) -> String {
        let kind = if self == Self::Register { "new" } else { "known" };
        format!("{kind}|{}", recipient.text)
    }

    /// Whether a code that was asked for as `used_for` may be used so.
    fn takes(self, used_for: i32) -> bool {
        match self {
            Self::Reset => matches!(used_for, 2 | 3),
            other => used_for == other.number(),
        }
    }
}

fn mac(key: &Key, id: &str, code: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("any length is a key"));
    for part in [id, "\n", code] {
        mac.update(part.as_bytes());
    }
    mac
}

fn digits(length: usize) -> String {
    let mut random = rand::rng();
    (0..length).map(|_| char::from(random.random_range(b'0'..=b'9'))).collect()
}

impl App {
    /// Sends a code. `exists`: the recipient may have one; otherwise the answer is the same and nothing is sent.
    pub(crate) async fn send_code(
        &self,
        call: &Call,
        recipient: &Name,
        purpose: Purpose,
        exists: bool,
    ) -> Result<()> {
        self.outbox.can_send(recipient.kind)?;
        let place = self.outbox.place()?;
        let codes = &self.settings().codes;
        self.spend(&[(Limit::CODES_FROM, call.network())]).await?;
        let whom = Some(recipient.text.clone());
        let by_recipient =
            [(Limit::pause(codes.pause_seconds), whom.clone()), (Limit::codes(codes.per_day), whom)];
        if let Err(error) = self.spend(&by_recipient).await {
            return Err(if error.code.0 == 429 { Code::CODES_TOO_OFTEN.with(error.detail) } else { error });
        }
        let (id, code) = (purpose.id(recipient), digits(codes.length));
        let key = self.code_keys.first().ok_or_else(|| Error::internal("there is no key for codes"))?;
        // What nobody was sent matches nothing.
        let stored = if exists { code.clone() } else { model::random_id() };
        let row = Row {
            mac: hex::encode(mac(key, &id, &stored).finalize().into_bytes()),
            id,
            used_for: purpose.number(),
            count: 0,
            expire_time: DateTime::from_millis(self.clock.now_ms() + i64::from(codes.valid_seconds) * 1000),
        };
        self.accounts.put_code(&row).await?;
        if exists {
            let operation_id = call.operation_id.clone();
            place.post(Letter { recipient: recipient.clone(), code, purpose, operation_id });
        }
        Ok(())
    }

    /// Compares a code without using it up. The row is what uses it up later.
    pub(crate) async fn check_code(
        &self,
        call: &Call,
        recipient: &Name,
        purpose: Purpose,
        given: &str,
    ) -> Result<Row> {
        let wrong =
            [(Limit::WRONG_CODES_FROM, call.network()), (Limit::WRONG_CODES, Some(recipient.text.clone()))];
        let spent = self.spend(&wrong).await.map_err(|error| {
            if error.code.0 == 429 { Code::CODE_EXHAUSTED.with(error.detail) } else { error }
        })?;
        let id = purpose.id(recipient);
        let row = match self.accounts.attempt_code(&id, self.now(), self.settings().codes.attempts).await? {
            Given::Code(row) => row,
            // Nothing was compared: attempts without a code must not use up those of its owner.
            Given::Expired => {
                self.refund(spent).await?;
                return Err(Code::CODE_EXPIRED.with("the code has expired; ask for a new one"));
            }
            Given::Exhausted => {
                self.refund(spent).await?;
                return Err(Code::CODE_EXHAUSTED.with("too many wrong codes; ask for a new one"));
            }
        };
        let stored = hex::decode(&row.mac).unwrap_or_default();
        let is_it = |key: &Key| mac(key, &id, given).verify_slice(&stored).is_ok();
        if !purpose.takes(row.used_for) || !self.code_keys.iter().any(is_it) {
            return Err(Code::WRONG_CODE.with("the code is wrong"));
        }
        self.accounts.forgive_code(&row).await?;
        self.refund(spent).await?;
        Ok(row)
    }

    /// Compares a code and uses it up.
    pub(crate) async fn take_code(
        &self,
        call: &Call,
        recipient: &Name,
        purpose: Purpose,
        given: &str,
    ) -> Result<()> {
        let row = self.check_code(call, recipient, purpose, given).await?;
        if self.accounts.use_code(&row).await? {
            return Ok(());
        }
        Err(code_used())
    }
}

pub(crate) fn code_used() -> Error {
    Code::CODE_USED.with("the code was already used; ask for a new one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_for_what_it_was_sent_for() {
        for (purpose, good) in [
            (Purpose::Register, [true, false, false]),
            (Purpose::Reset, [false, true, true]),
            (Purpose::Login, [false, false, true]),
        ] {
            for (used_for, good) in (1..=3).zip(good) {
                assert_eq!(purpose.takes(used_for), good, "{purpose:?} {used_for}");
            }
        }
        assert!(Purpose::parse(0).is_err() && Purpose::parse(4).is_err());
    }

    #[test]
    fn codes_are_digits_and_differ() {
        let codes: std::collections::BTreeSet<String> = (0..50).map(|_| digits(8)).collect();
        assert!(codes.iter().all(|code| code.len() == 8 && code.bytes().all(|b| b.is_ascii_digit())));
        assert!(codes.len() > 40, "{codes:?}");
    }
}
