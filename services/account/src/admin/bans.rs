//! Addresses that may not register or log in, and those that an account is bound to. An address may be a network: `203.0.113.0/24`.

use std::{net::IpAddr, sync::Arc};

use bson::{Document, doc};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;
use store::{
    accounts::{Account, AddressBan, LoginAddress},
    millis,
};

use crate::{
    App,
    answer::{Answer, Error, NOTHING, Result, data},
    call::Call,
    fields::{ITEMS, Pagination, page},
};

fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|| text.parse::<IpNet>().ok()).map(|network| network.trunc())
}

/// The one form of an address or network.
fn canonical(text: &str) -> Option<String> {
    let network = network(text)?;
    let is_one = network.prefix_len() == network.max_prefix_len();
    Some(if is_one { network.addr().to_string() } else { network.to_string() })
}

/// Whether an address is, or is in, what a row names.
pub(crate) fn covers(row: &str, address: IpAddr) -> bool {
    network(row).is_some_and(|network| network.contains(&address.to_canonical()))
}

/// Every row that could cover an address: they are found by index.
pub(crate) fn those_that_cover(address: IpAddr) -> Vec<String> {
    let address = address.to_canonical();
    let longest = IpNet::from(address).max_prefix_len();
    let networks = (0..longest).filter_map(|prefix| IpNet::new(address, prefix).ok());
    let networks = networks.map(|network| network.trunc().to_string());
    std::iter::once(address.to_string()).chain(networks).collect()
}

fn parse(field: &str, text: &str) -> Result<String> {
    canonical(text).ok_or_else(|| {
        Error::args(format!("{field}: {text:?} must be an address or a network, such as 203.0.113.0/24"))
    })
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ban {
    ip: String,
    limit_register: bool,
    limit_login: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AddReq {
    forbiddens: Vec<Ban>,
}

fn bounded<T>(field: &str, list: &[T]) -> Result<()> {
    if (1..=ITEMS).contains(&list.len()) {
        return Ok(());
    }
    Err(Error::args(format!("{field} must have 1 to {ITEMS} items")))
}

pub(crate) async fn add(app: Arc<App>, _: Call, request: AddReq) -> Result<Answer> {
    bounded("forbiddens", &request.forbiddens)?;
    let create_time = app.now();
    let row = |ban: Ban| {
        let ip = parse("forbiddens.ip", &ban.ip)?;
        let Ban { limit_register, limit_login, .. } = ban;
        Ok(AddressBan { ip, limit_register, limit_login, create_time })
    };
    let rows = request.forbiddens.into_iter().map(row).collect::<Result<Vec<_>>>()?;
    match app.accounts.add(&rows).await {
        Err(error) if error.is_duplicate_key() => Err(Error::exists("some are already banned")),
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeleteReq {
    ips: Vec<String>,
}

pub(crate) async fn delete(app: Arc<App>, _: Call, request: DeleteReq) -> Result<Answer> {
    bounded("ips", &request.ips)?;
    // Imported rows may have another form.
    let forms = request
        .ips
        .iter()
        .flat_map(|ip| std::iter::once(ip.clone()).chain(canonical(ip)))
        .collect::<Vec<_>>();
    app.accounts.remove::<AddressBan>(&forms).await?;
    Ok(NOTHING)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SearchReq {
    keyword: String,
    status: i32,
    pagination: Option<Pagination>,
}

fn by_status(status: i32) -> Result<Document> {
    Ok(match status {
        0 => doc! {},
        1 => doc! { "limit_register": false, "limit_login": false },
        2 => doc! { "limit_register": false, "limit_login": true },
        3 => doc! { "limit_register": true, "limit_login": false },
        4 => doc! { "limit_login": true },
        5 => doc! { "limit_register": true },
        6 => doc! { "limit_register": true, "limit_login": true },
        _ => return Err(Error::args("status must be between 0 and 6")),
    })
}

pub(crate) async fn search(app: Arc<App>, _: Call, request: SearchReq) -> Result<Answer> {
    let wanted = page(request.pagination)?;
    let found = app.accounts.page::<AddressBan>(by_status(request.status)?, &request.keyword, wanted).await?;
    let shown = |ban: &AddressBan| {
        json!({
            "ip": ban.ip, "limitRegister": ban.limit_register, "limitLogin": ban.limit_login, "createTime": millis(ban.create_time),
        })
    };
    data(json!({ "total": found.1, "forbiddens": found.0.iter().map(shown).collect::<Vec<_>>() }))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Bound {
    #[serde(rename = "userID")]
    user_id: String,
    ip: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BoundReq {
    limits: Vec<Bound>,
}

pub(crate) async fn bind(app: Arc<App>, _: Call, request: BoundReq) -> Result<Answer> {
    bounded("limits", &request.limits)?;
    let create_time = app.now();
    let mut rows = vec![];
    for Bound { user_id, ip } in request.limits {
        if app.accounts.one::<Account>(&user_id).await?.is_none() {
            return Err(Error::not_found(format!("limits.userID: {user_id:?} has no account")));
        }
        rows.push(LoginAddress { user_id, ip: parse("limits.ip", &ip)?, create_time });
    }
    match app.accounts.add(&rows).await {
        Err(error) if error.is_duplicate_key() => Err(Error::exists("some pairs already exist")),
        outcome => outcome.map(|()| NOTHING).map_err(Error::from),
    }
}

pub(crate) async fn unbind(app: Arc<App>, _: Call, request: BoundReq) -> Result<Answer> {
    bounded("limits", &request.limits)?;
    let mut pairs = vec![];
    for Bound { user_id, ip } in request.limits {
        protocol::check::non_empty("limits.userID", &user_id)?;
        protocol::check::non_empty("limits.ip", &ip)?;
        pairs.extend(canonical(&ip).filter(|form| *form != ip).map(|form| (user_id.clone(), form)));
        pairs.push((user_id, ip));
    }
    app.accounts.remove_login_addresses(&pairs).await?;
    Ok(NOTHING)
}

pub(crate) async fn search_bound(app: Arc<App>, _: Call, request: SearchReq) -> Result<Answer> {
    let wanted = page(request.pagination)?;
    let (rows, total) = app.accounts.page::<LoginAddress>(doc! {}, &request.keyword, wanted).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.user_id.clone()).collect();
    let profiles = super::profiles(&app, &ids).await?;
    let shown = |row: &LoginAddress| json!({ "userID": row.user_id, "ip": row.ip, "createTime": millis(row.create_time), "user": profiles.get(&row.user_id) });
    data(json!({ "total": total, "limits": rows.iter().map(shown).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_and_a_network_covers_its_own() {
        assert_eq!(canonical("0:0:0:0:0:0:0:1").as_deref(), Some("::1"));
        assert_eq!(canonical("::ffff:203.0.113.9").as_deref(), Some("203.0.113.9"));
        assert_eq!(canonical("203.0.113.9/24").as_deref(), Some("203.0.113.0/24"));
        assert_eq!(canonical("203.0.113.9/32").as_deref(), Some("203.0.113.9"));
        assert_eq!(canonical("example.org"), None);
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        for (row, expected) in
            [("203.0.113.9", true), ("203.0.113.0/24", true), ("203.0.112.0/24", false), ("", false)]
        {
            assert_eq!(covers(row, address), expected, "{row}");
            assert_eq!(those_that_cover(address).contains(&row.to_owned()), expected, "{row}");
        }
        assert!(those_that_cover("2001:db8::1".parse().unwrap()).contains(&"2001:db8::/32".to_owned()));
    }
}
