//! Pure rules over a set's configuration and its members' states.

use mongodb::bson::{Document, doc};

pub(super) const PRIMARY: i32 = 1;
pub(super) const SECONDARY: i32 = 2;
/// Behind by more than the others keep, or about to catch up.
const RECOVERING: i32 = 3;

pub(super) fn number(document: &Document, key: &str) -> i32 {
    document
        .get_i32(key)
        .ok()
        .or_else(|| document.get_i64(key).ok().and_then(|number| number.try_into().ok()))
        .or_else(|| document.get_f64(key).ok().map(|number| number as i32))
        .unwrap_or(0)
}

pub(super) fn documents<'a>(document: &'a Document, key: &str) -> impl Iterator<Item = &'a Document> {
    document.get_array(key).into_iter().flatten().filter_map(mongodb::bson::Bson::as_document)
}

/// The first host that the configuration of a set lacks, and the configuration that has it.
pub(super) fn grown(config: &Document, hosts: &[String]) -> Option<(String, Document)> {
    let there: Vec<&str> =
        documents(config, "members").filter_map(|member| member.get_str("host").ok()).collect();
    let missing = hosts.iter().find(|host| !there.contains(&host.as_str()))?;
    let id = documents(config, "members").map(|member| number(member, "_id")).max().unwrap_or(-1) + 1;
    let mut members = config.get_array("members").cloned().unwrap_or_default();
    members.push(doc! { "_id": id, "host": missing }.into());
    let mut grown = config.clone();
    grown.insert("version", number(config, "version") + 1);
    grown.insert("members", members);
    Some((missing.clone(), grown))
}

/// The last member that is to leave, and the configuration without it.
pub(super) fn without_last(config: &Document, leaving: &[String]) -> Option<(String, Document)> {
    let host_of = |member: &Document| member.get_str("host").unwrap_or_default().to_owned();
    let there: Vec<String> = documents(config, "members").map(host_of).collect();
    let last = leaving.iter().rfind(|host| there.contains(host))?;
    let rest: Vec<mongodb::bson::Bson> = documents(config, "members")
        .filter(|member| host_of(member) != *last)
        .map(|member| member.clone().into())
        .collect();
    let mut smaller = config.clone();
    smaller.insert("version", number(config, "version") + 1);
    smaller.insert("members", rest);
    Some((last.clone(), smaller))
}

/// The first member that neither leads nor follows, but for those that leave.
pub(super) fn trouble(status: &Document, leaving: &[String]) -> Option<String> {
    let name_of = |member: &Document| member.get_str("name").unwrap_or("?").to_owned();
    let member = documents(status, "members").find(|member| {
        ![PRIMARY, SECONDARY].contains(&number(member, "state")) && !leaving.contains(&name_of(member))
    })?;
    let state = member.get_str("stateStr").unwrap_or("unknown");
    let remedy = if number(member, "state") == RECOVERING {
        ": if it persists, delete its PersistentVolumeClaim and pod, and it will copy the data again"
    } else {
        ""
    };
    Some(format!("{} is {state}{remedy}", name_of(member)))
}

/// Whether a member is the one that is written to.
pub(super) fn leads(status: &Document, host: &str) -> bool {
    documents(status, "members").any(|member| {
        number(member, "state") == PRIMARY && member.get_str("name").is_ok_and(|name| name == host)
    })
}
