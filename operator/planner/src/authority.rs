//! The certificates that identify the services and managed servers of a cluster: one authority per cluster, one certificate for all services and
//! one for all servers, renewed in time. The authority is replaced in steps (`authority_rotation`). Pure except for the random keys.

use std::collections::BTreeMap;

use config::INTERNAL_NAME;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;

use crate::model::secret::key;

const AUTHORITY_VALID: SignedDuration = SignedDuration::from_hours(20 * 365 * 24);
const VALID: SignedDuration = SignedDuration::from_hours(365 * 24);
/// A certificate is renewed this long before it ends: services are restarted one after the other for it, perhaps in a window.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(60 * 24);
/// What all certificates are valid from. Clocks differ, and a certificate issued by a clock that was ahead must be valid when it is set right.
const VALID_FROM: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// The keys of a certificate in the generated Secret.
pub struct Leaf {
    /// The certificate.
    pub certificate: &'static str,
    /// Its key.
    pub key: &'static str,
    /// When it is renewed.
    pub renewal: &'static str,
    /// When the one that it replaced expires; empty: nobody uses that one any more.
    pub before: &'static str,
}

/// The one of all services.
pub const OF_SERVICES: Leaf = Leaf {
    certificate: key::CERTIFICATE,
    key: key::CERTIFICATE_KEY,
    renewal: key::CERTIFICATE_RENEWAL,
    before: key::CERTIFICATE_BEFORE,
};
/// The one of all managed servers.
pub const OF_SERVERS: Leaf = Leaf {
    certificate: key::SERVERS_CERTIFICATE,
    key: key::SERVERS_KEY,
    renewal: key::SERVERS_RENEWAL,
    before: key::SERVERS_BEFORE,
};

type Data = BTreeMap<String, String>;

/// When a certificate expires; `None` if it cannot be read.
pub fn end_of(pem: &str) -> Option<Timestamp> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    let seconds = pem.parse_x509().ok()?.validity().not_after.timestamp();
    Timestamp::from_second(seconds).ok()
}

fn date(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn valid(parameters: &mut CertificateParams, until: Timestamp) {
    parameters.not_before = VALID_FROM;
    parameters.not_after = date(until);
}

/// Each authority has a name of its own: some clients look an issuer up only by its name.
fn make_authority(name: &str, now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(vec![])?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let subject = &mut parameters.distinguished_name;
    subject.push(DnType::CommonName, format!("OpenIM cluster {name}"));
    subject.push(DnType::OrganizationalUnitName, format!("{:016x}", rand::random::<u64>()));
    valid(&mut parameters, now + AUTHORITY_VALID);
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn issue(
    authority: &str,
    authority_key: &str,
    names: Vec<String>,
    until: Timestamp,
) -> Result<(String, String), rcgen::Error> {
    // Of several it reads the first one.
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(authority_key)?)?;
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names)?;
    parameters.use_authority_key_identifier_extension = true;
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid(&mut parameters, until);
    Ok((parameters.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}

/// Completes the data of the generated Secret: missing or soon expiring certificates.
///
/// # Errors
/// If the existing data is unreadable because somebody edited it.
pub fn complete(name: &str, data: &mut Data, now: Timestamp) -> Result<(), rcgen::Error> {
    if !can_issue(data, now) {
        begin_anew(name, data, now)?;
    }
    renew(data, &OF_SERVICES, vec![INTERNAL_NAME.to_owned()], now)?;
    Ok(())
}

/// Whether there is an authority for what is to be issued now. One whose key is lost is good as long as its certificates are: it is replaced
/// with an overlap meanwhile.
fn can_issue(data: &Data, now: Timestamp) -> bool {
    let Some(authority) = data.get(key::AUTHORITY) else { return false };
    let has_expired = end_of(authority).is_some_and(|end| end <= now);
    let is_renewed = |leaf: &&Leaf| {
        (leaf.key == OF_SERVICES.key || data.contains_key(leaf.key)) && is_due(data, leaf, now)
    };
    let issues = [&OF_SERVICES, &OF_SERVERS].iter().any(is_renewed);
    !has_expired && (data.contains_key(key::AUTHORITY_KEY) || !issues)
}

/// Makes an authority that nobody trusts yet, where none is left that could lead to it: pods refuse each other until all have been restarted.
fn begin_anew(name: &str, data: &mut Data, now: Timestamp) -> Result<(), rcgen::Error> {
    let (authority, authority_key) = make_authority(name, now)?;
    data.insert(key::AUTHORITY.into(), authority);
    data.insert(key::AUTHORITY_KEY.into(), authority_key);
    for of_the_lost in [OF_SERVICES.renewal, OF_SERVERS.renewal, key::NEXT_AUTHORITY_KEY] {
        data.remove(of_the_lost);
    }
    // It is the one that a rotation was to bring.
    if let Some(rotation) = data.remove(key::NEXT_AUTHORITY_ROTATION) {
        data.insert(key::AUTHORITY_ROTATION.to_owned(), rotation);
    }
    Ok(())
}

/// The same for the managed servers; after [`complete`].
///
/// # Errors
/// As [`complete`].
pub fn complete_servers(names: Vec<String>, data: &mut Data, now: Timestamp) -> Result<(), rcgen::Error> {
    if renew(data, &OF_SERVERS, names, now)? || !data.contains_key(key::SERVERS_PEM) {
        let both = format!("{}{}", data[key::SERVERS_KEY], data[key::SERVERS_CERTIFICATE]);
        data.insert(key::SERVERS_PEM.into(), both);
    }
    Ok(())
}

/// Whether a certificate is missing, or ends soon.
fn is_due(data: &Data, leaf: &Leaf, now: Timestamp) -> bool {
    let is_there = [leaf.certificate, leaf.key].iter().all(|name| data.contains_key(*name));
    let due = data.get(leaf.renewal).and_then(|text| text.parse::<Timestamp>().ok());
    !is_there || due.is_none_or(|due| due <= now)
}

/// Whether somebody who trusts the cluster's authorities accepts a certificate that one of them issued, by their names.
fn is_trusted(data: &Data, certificate: &str) -> bool {
    let names = |pem: &str| -> Option<(Vec<u8>, Vec<u8>)> {
        let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
        let certificate = pem.parse_x509().ok()?;
        Some((certificate.subject().as_raw().to_vec(), certificate.issuer().as_raw().to_vec()))
    };
    let Some((_, issuer)) = names(certificate) else { return false };
    trusted(data).into_iter().filter_map(names).any(|(subject, _)| subject == issuer)
}

/// Makes a certificate where there is none, or one that ends soon; whether it did. A clock that is behind makes none that ends before the one
/// it replaces.
fn renew(data: &mut Data, leaf: &Leaf, names: Vec<String>, now: Timestamp) -> Result<bool, rcgen::Error> {
    if !is_due(data, leaf, now) {
        return Ok(false);
    }
    let authority_key = data.get(key::AUTHORITY_KEY).map_or("", String::as_str);
    let replaced = data.get(leaf.certificate).cloned().unwrap_or_default();
    let end = end_of(&replaced);
    let until = end.map_or(now + VALID, |end| end.max(now + VALID));
    let (made, made_key) = issue(&data[key::AUTHORITY], authority_key, names, until)?;
    if let Some(end) = end {
        let end = if is_trusted(data, &replaced) { end } else { end.min(now) };
        data.insert(leaf.before.into(), end.to_string());
    }
    data.insert(leaf.certificate.into(), made);
    data.insert(leaf.key.into(), made_key);
    data.insert(leaf.renewal.into(), (until - RENEW_BEFORE).to_string());
    Ok(true)
}

/// The authorities that everybody trusts, each as a text; the first one issues.
pub(crate) fn trusted(data: &Data) -> Vec<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let all = data.get(key::AUTHORITY).map_or("", String::as_str);
    all.split_inclusive(END).map(str::trim_start).filter(|text| text.ends_with(END)).collect()
}

fn trust<'a>(data: &mut Data, authorities: impl IntoIterator<Item = &'a String>) {
    let all: String = authorities.into_iter().map(|one| format!("{}\n", one.trim())).collect();
    data.insert(key::AUTHORITY.to_owned(), all);
}

/// Whether a second authority waits to issue.
pub(crate) fn has_next(data: &Data) -> bool {
    data.contains_key(key::NEXT_AUTHORITY_KEY) && trusted(data).len() > 1
}

/// Makes a second authority, which everybody is to trust. The first one still issues.
///
/// # Errors
/// If no key can be generated.
pub(crate) fn add_next(name: &str, data: &mut Data, now: Timestamp) -> Result<(), rcgen::Error> {
    let (next, next_key) = make_authority(name, now)?;
    let first: Option<String> = trusted(data).first().map(|text| (*text).to_owned());
    trust(data, &first.into_iter().chain([next]).collect::<Vec<_>>());
    data.insert(key::NEXT_AUTHORITY_KEY.to_owned(), next_key);
    Ok(())
}

/// From now on the second authority issues, and both certificates are of it. The key of the first one is forgotten.
///
/// # Errors
/// As [`complete`].
pub(crate) fn issue_by_next(
    name: &str,
    server_names: Option<Vec<String>>,
    data: &mut Data,
    now: Timestamp,
) -> Result<(), rcgen::Error> {
    let Some(next_key) = data.remove(key::NEXT_AUTHORITY_KEY) else { return Ok(()) };
    let turned: Vec<String> = trusted(data).into_iter().rev().map(str::to_owned).collect();
    trust(data, &turned);
    data.insert(key::AUTHORITY_KEY.to_owned(), next_key);
    data.remove(OF_SERVICES.renewal);
    data.remove(OF_SERVERS.renewal);
    complete(name, data, now)?;
    server_names.map_or(Ok(()), |names| complete_servers(names, data, now))
}

/// Only the authority that issues is to be trusted.
pub(crate) fn drop_old(data: &mut Data) {
    let first: Option<String> = trusted(data).first().map(|text| (*text).to_owned());
    trust(data, &first);
}

#[cfg(test)]
pub(crate) mod tests {
    use x509_parser::pem::{Pem, parse_x509_pem};

    use super::*;

    pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

    /// Whether somebody who trusts these authorities accepts a certificate: by the name of its issuer, then by the signature, as clients do.
    pub(crate) fn accepts(authorities: &str, certificate: &str) -> bool {
        let (_, certificate) = parse_x509_pem(certificate.as_bytes()).unwrap();
        let certificate = certificate.parse_x509().unwrap();
        Pem::iter_from_buffer(authorities.as_bytes()).any(|authority| {
            let authority = authority.unwrap();
            let authority = authority.parse_x509().unwrap();
            authority.subject() == certificate.issuer()
                && certificate.verify_signature(Some(authority.public_key())).is_ok()
        })
    }

    /// When a certificate, or the first of several, begins to be valid.
    pub(crate) fn begins(certificate: &str) -> Timestamp {
        let (_, pem) = parse_x509_pem(certificate.as_bytes()).unwrap();
        let seconds = pem.parse_x509().unwrap().validity().not_before.timestamp();
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn what_somebody_removed_is_issued_again_at_once() {
        let (mut data, now) = (BTreeMap::new(), Timestamp::now());
        let names = || vec!["*.chat-kafka.team.svc".to_owned()];
        complete("chat", &mut data, now).unwrap();
        complete_servers(names(), &mut data, now).unwrap();
        for name in [
            key::CERTIFICATE,
            key::CERTIFICATE_KEY,
            key::SERVERS_CERTIFICATE,
            key::SERVERS_KEY,
            key::SERVERS_PEM,
        ] {
            let mut less = data.clone();
            less.remove(name);
            complete("chat", &mut less, now).unwrap();
            complete_servers(names(), &mut less, now).unwrap();
            assert!(less.contains_key(name), "{name}");
            assert_eq!(less[key::AUTHORITY], data[key::AUTHORITY]);
        }
    }

    #[test]
    fn certificates_are_made_once_and_renewed_in_time_by_the_same_authority() {
        let mut data = BTreeMap::new();
        let now = Timestamp::now();
        complete("chat", &mut data, now).unwrap();
        let first = data.clone();
        complete("chat", &mut data, now + VALID - RENEW_BEFORE - SignedDuration::from_secs(1)).unwrap();
        assert_eq!(data, first);
        complete("chat", &mut data, now + VALID - RENEW_BEFORE).unwrap();
        assert_eq!(data[key::AUTHORITY], first[key::AUTHORITY]);
        assert_ne!(data[key::CERTIFICATE], first[key::CERTIFICATE]);
        complete_servers(vec!["*.chat-kafka.team.svc".into()], &mut data, now).unwrap();
        let servers = data.clone();
        complete_servers(vec!["*.chat-kafka.team.svc".into()], &mut data, now).unwrap();
        assert_eq!(data, servers);
        assert!(data[key::SERVERS_PEM].starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(data[key::SERVERS_PEM].contains("-----BEGIN CERTIFICATE-----"));
        data.insert(key::AUTHORITY_KEY.into(), "edited".into());
        data.remove(key::CERTIFICATE_RENEWAL);
        assert!(complete("chat", &mut data, now).is_err());
    }

    #[test]
    fn a_second_authority_is_another_issuer_by_name_and_by_key() {
        let now = Timestamp::now();
        let mut data = Data::new();
        complete("chat", &mut data, now).unwrap();
        let one = data.clone();
        add_next("chat", &mut data, now).unwrap();
        assert!(has_next(&data) && !has_next(&one));
        assert_eq!((trusted(&one).len(), trusted(&data).len()), (1, 2));
        let subject = |pem: &str| {
            let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
            pem.parse_x509().unwrap().subject().to_string()
        };
        assert_ne!(subject(trusted(&data)[0]), subject(trusted(&data)[1]));
        let both = data.clone();
        issue_by_next("chat", None, &mut data, now).unwrap();
        assert!(accepts(&one[key::AUTHORITY], &both[key::CERTIFICATE]), "the first one still issues");
        assert!(!accepts(&one[key::AUTHORITY], &data[key::CERTIFICATE]));
        assert!(accepts(&both[key::AUTHORITY], &data[key::CERTIFICATE]));
        assert!(!data.values().any(|value| *value == one[key::AUTHORITY_KEY]));
        drop_old(&mut data);
        assert!(accepts(&data[key::AUTHORITY], &data[key::CERTIFICATE]));
        assert!(!accepts(&data[key::AUTHORITY], &one[key::CERTIFICATE]));
        assert_eq!(trusted(&data).len(), 1);
    }
}
