//! The certificates that identify the services and managed servers of a cluster: one authority per cluster, created once, one
//! certificate for all services and one for all servers, renewed in time. Pure except for the random keys.

use std::collections::BTreeMap;

use config::INTERNAL_NAME;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use crate::model::secret::key;

const AUTHORITY_VALID: SignedDuration = SignedDuration::from_hours(20 * 365 * 24);
const VALID: SignedDuration = SignedDuration::from_hours(365 * 24);
/// A certificate is renewed this long before it ends: services are restarted one after the other for it, perhaps in a window.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(60 * 24);
/// Clocks differ.
const EARLIER: SignedDuration = SignedDuration::from_hours(1);

fn date(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn valid(parameters: &mut CertificateParams, now: Timestamp, long: SignedDuration) {
    parameters.not_before = date(now - EARLIER);
    parameters.not_after = date(now + long);
}

fn make_authority(name: &str, now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(vec![])?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.distinguished_name.push(DnType::CommonName, format!("OpenIM cluster {name}"));
    valid(&mut parameters, now, AUTHORITY_VALID);
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn issue(
    authority: &str,
    authority_key: &str,
    names: Vec<String>,
    now: Timestamp,
) -> Result<(String, String), rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(authority_key)?)?;
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names)?;
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid(&mut parameters, now, VALID);
    Ok((parameters.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}

/// Completes the data of the generated Secret: missing or soon expiring certificates.
///
/// # Errors
/// If the existing data is unreadable because somebody edited it.
pub fn complete(name: &str, data: &mut BTreeMap<String, String>, now: Timestamp) -> Result<(), rcgen::Error> {
    if !data.contains_key(key::AUTHORITY) || !data.contains_key(key::AUTHORITY_KEY) {
        let (authority, authority_key) = make_authority(name, now)?;
        data.insert(key::AUTHORITY.into(), authority);
        data.insert(key::AUTHORITY_KEY.into(), authority_key);
        data.remove(key::CERTIFICATE_RENEWAL);
        data.remove(key::SERVERS_RENEWAL);
    }
    let items = [key::CERTIFICATE, key::CERTIFICATE_KEY, key::CERTIFICATE_RENEWAL];
    renew(data, items, vec![INTERNAL_NAME.to_owned()], now)?;
    Ok(())
}

/// The same for the managed servers; after [`complete`].
///
/// # Errors
/// As [`complete`].
pub fn complete_servers(
    names: Vec<String>,
    data: &mut BTreeMap<String, String>,
    now: Timestamp,
) -> Result<(), rcgen::Error> {
    let items = [key::SERVERS_CERTIFICATE, key::SERVERS_KEY, key::SERVERS_RENEWAL];
    if renew(data, items, names, now)? {
        let both = format!("{}{}", data[key::SERVERS_KEY], data[key::SERVERS_CERTIFICATE]);
        data.insert(key::SERVERS_PEM.into(), both);
    }
    Ok(())
}

/// Makes a certificate where there is none, or one that ends soon; whether it did.
fn renew(
    data: &mut BTreeMap<String, String>,
    [certificate, certificate_key, renewal]: [&str; 3],
    names: Vec<String>,
    now: Timestamp,
) -> Result<bool, rcgen::Error> {
    let due = data.get(renewal).and_then(|text| text.parse::<Timestamp>().ok());
    if due.is_some_and(|due| now < due) {
        return Ok(false);
    }
    let (made, made_key) = issue(&data[key::AUTHORITY], &data[key::AUTHORITY_KEY], names, now)?;
    data.insert(certificate.into(), made);
    data.insert(certificate_key.into(), made_key);
    data.insert(renewal.into(), (now + VALID - RENEW_BEFORE).to_string());
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
