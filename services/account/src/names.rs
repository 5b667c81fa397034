//! Names that users log in with: an account, a phone number or a mail address, each in one form only.

use store::accounts::{Attribute, CredentialKind};

use crate::answer::{Error, Result};

/// Longest name, in bytes.
const MAX_BYTES: usize = 254;

/// A name in the form in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) kind: CredentialKind,
    /// As in the collection `credential`; what limits and codes are counted by.
    pub(crate) text: String,
    /// As it was written, where that differs: imported rows may have it so.
    pub(crate) as_written: String,
    /// Of a phone number.
    pub(crate) area_code: String,
    pub(crate) number: String,
}

impl Name {
    fn new(kind: CredentialKind, text: String, as_written: &str) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(Error::args(format!("a name has at most {MAX_BYTES} bytes")));
        }
        let as_written = as_written.to_owned();
        Ok(Self { kind, text, as_written, area_code: String::new(), number: String::new() })
    }

    /// Letters and digits.
    pub(crate) fn account(written: &str) -> Result<Self> {
        let text = written.trim();
        if text.is_empty() || !text.chars().all(char::is_alphanumeric) {
            return Err(Error::args("account must consist of letters and digits"));
        }
        Self::new(CredentialKind::Account, text.to_owned(), text)
    }

    /// `+<area code> <number>`.
    pub(crate) fn phone(area_code: &str, number: &str) -> Result<Self> {
        let is_number =
            |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
        let digits = area_code.strip_prefix('+').unwrap_or(area_code);
        if !is_number(digits) {
            return Err(Error::args("areaCode must be a number, such as +86"));
        }
        if !is_number(number) {
            return Err(Error::args("phoneNumber must be a number"));
        }
        let area_code = format!("+{digits}");
        let text = format!("{area_code} {number}");
        let name = Self::new(CredentialKind::Phone, text.clone(), &text)?;
        Ok(Self { area_code, number: number.to_owned(), ..name })
    }

    /// In small letters: the same mailbox is one account.
    pub(crate) fn email(written: &str) -> Result<Self> {
        if !is_email(written) {
            return Err(Error::args("email must be an address, such as ann@example.org"));
        }
        Self::new(CredentialKind::Email, written.to_ascii_lowercase(), written)
    }

    /// The forms under which it may be stored.
    pub(crate) fn forms(&self) -> Vec<String> {
        let mut forms = vec![self.text.clone()];
        if self.as_written != self.text {
            forms.push(self.as_written.clone());
        }
        forms
    }

    /// Puts it into a profile.
    pub(crate) fn show_in(&self, profile: &mut Attribute) {
        match self.kind {
            CredentialKind::Account => profile.account.clone_from(&self.text),
            CredentialKind::Email => profile.email.clone_from(&self.text),
            CredentialKind::Phone => {
                profile.area_code.clone_from(&self.area_code);
                profile.phone_number.clone_from(&self.number);
            }
        }
    }
}

/// The pattern of the ChatServer.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let Some((host, top)) = domain.rsplit_once('.') else { return false };
    let made_of = |text: &str, others: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    };
    made_of(local, "._%+-")
        && made_of(host, ".-")
        && top.len() >= 2
        && top.chars().all(|c| c.is_ascii_alphabetic())
}

/// The one phone number or address of a request, for a code: more than one could be confused.
pub(crate) fn recipient(area_code: &str, number: &str, email: &str) -> Result<Name> {
    match (number.is_empty(), email.is_empty()) {
        (true, false) => Name::email(email),
        (false, true) => Name::phone(area_code, number),
        (true, true) => Err(Error::args("email, or areaCode and phoneNumber, is required")),
        (false, false) => Err(Error::args("email and phoneNumber: name one of them")),
    }
}

/// The one name of a login. Some clients send an area code with an account.
pub(crate) fn login(account: &str, area_code: &str, number: &str, email: &str) -> Result<Name> {
    if account.is_empty() {
        return recipient(area_code, number, email);
    }
    if number.is_empty() && email.is_empty() {
        return Name::account(account);
    }
    Err(Error::args("account, email and phoneNumber: name one of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_phone_or_mailbox_has_one_name() {
        assert_eq!(Name::phone("86", "138").unwrap(), Name::phone("+86", "138").unwrap());
        assert_eq!(Name::phone("+86", "138").unwrap().text, "+86 138");
        let email = Name::email("Ann@Example.org").unwrap();
        assert_eq!((email.text.as_str(), email.forms().len()), ("ann@example.org", 2));
        assert_eq!(Name::account(" ann ").unwrap().text, "ann");
        assert_eq!(Name::account("\u{5f20}\u{4e09}").unwrap().text, "\u{5f20}\u{4e09}");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for email in ["", "a", "a@b", "a@b.c", "a b@c.org", "a@.1", "@c.org", "a@c.o1g"] {
            assert!(Name::email(email).is_err(), "{email}");
        }
        for (area, number) in [("", "1"), ("+", "1"), ("++1", "1"), ("1", ""), ("1", "1a"), ("1", "+1")] {
            assert!(Name::phone(area, number).is_err(), "{area} {number}");
        }
        for account in ["", " ", "a b", "a_b", "a:b"] {
            assert!(Name::account(account).is_err(), "{account}");
        }
    }

    #[test]
    fn a_request_names_one_account_alone() {
        assert!(login("ann", "+86", "", "").is_ok(), "as the Flutter app does");
        for (account, number, email) in
            [("ann", "138", ""), ("ann", "", "a@b.org"), ("", "138", "a@b.org"), ("", "", "")]
        {
            assert!(login(account, "+86", number, email).is_err(), "{account} {number} {email}");
        }
    }
}
