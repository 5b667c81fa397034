//! Every route, who may call it, and its handler; by port, in the order of docs/develop/accounts.md.

use crate::{
    admin::{
        admins, applets, bans, blocks, configuration, defaults, invitations, session, settings, statistics,
        users, versions,
    },
    call::Access::{Admin, Everybody, EverybodyAndAdmins, SuperAdmin, User},
    chat::{apps, calls, code, login, people, register, secret, update},
    http::{Route, post},
};

/// The routes for clients.
pub(crate) fn chat() -> Vec<Route> {
    vec![
        post("/account/code/send", Everybody, code::send),
        post("/account/code/verify", Everybody, code::verify),
        post("/account/register", EverybodyAndAdmins, register::register),
        post("/account/login", Everybody, login::login),
        post("/account/password/reset", Everybody, secret::reset),
        post("/account/password/change", User, secret::change),
        post("/user/update", User, update::update),
        post("/user/find/public", User, people::find_public),
        post("/user/find/full", User, people::find_full),
        post("/user/search/full", User, people::search_full),
        post("/user/search/public", User, people::search_public),
        post("/user/rtc/get_token", User, calls::token),
        post("/friend/search", User, people::search_friends),
        post("/applet/find", User, apps::applets),
        post("/client_config/get", Everybody, apps::settings),
        post("/application/latest_version", Everybody, apps::latest_version),
        post("/application/page_versions", Everybody, apps::versions),
        post("/callback/open_im", Everybody, apps::before_add_friend),
        // As the IM services call it.
        post("/callback/open_im/callbackBeforeAddFriendCommand", Everybody, apps::before_add_friend),
    ]
}

/// The routes for administrators.
pub(crate) fn admin() -> Vec<Route> {
    vec![
        post("/account/login", Everybody, session::login),
        post("/account/update", Admin, session::update),
        post("/account/info", Admin, session::info),
        post("/account/change_password", Admin, session::change_password),
        post("/account/add_admin", SuperAdmin, admins::add),
        post("/account/add_user", Admin, users::add),
        post("/account/del_admin", SuperAdmin, admins::delete),
        post("/account/search", SuperAdmin, admins::search),
        post("/user/import/json", Admin, users::import),
        post("/user/import/xlsx", Admin, users::import_sheet),
        post("/user/allow_register/get", Admin, users::allow_register),
        post("/user/allow_register/set", Admin, users::set_allow_register),
        post("/default/user/add", Admin, defaults::add_friends),
        post("/default/user/del", Admin, defaults::delete_friends),
        post("/default/user/find", Admin, defaults::find_friends),
        post("/default/user/search", Admin, defaults::search_friends),
        post("/default/group/add", Admin, defaults::add_groups),
        post("/default/group/del", Admin, defaults::delete_groups),
        post("/default/group/find", Admin, defaults::find_groups),
        post("/default/group/search", Admin, defaults::search_groups),
        post("/invitation_code/add", Admin, invitations::add),
        post("/invitation_code/gen", Admin, invitations::generate),
        post("/invitation_code/del", Admin, invitations::delete),
        post("/invitation_code/search", Admin, invitations::search),
        post("/forbidden/ip/add", Admin, bans::add),
        post("/forbidden/ip/del", Admin, bans::delete),
        post("/forbidden/ip/search", Admin, bans::search),
        post("/forbidden/user/add", Admin, bans::bind),
        post("/forbidden/user/del", Admin, bans::unbind),
        post("/forbidden/user/search", Admin, bans::search_bound),
        post("/applet/add", Admin, applets::add),
        post("/applet/del", Admin, applets::delete),
        post("/applet/update", Admin, applets::update),
        post("/applet/search", Admin, applets::search),
        post("/block/add", Admin, blocks::add),
        post("/block/del", Admin, blocks::delete),
        post("/block/search", Admin, blocks::search),
        post("/user/password/reset", Admin, users::reset_password),
        post("/client_config/get", Admin, apps::settings),
        post("/client_config/set", Admin, settings::set),
        post("/client_config/del", Admin, settings::delete),
        post("/statistic/new_user_count", Admin, statistics::registrations),
        post("/statistic/login_user_count", Admin, statistics::logins),
        post("/application/add_version", Admin, versions::add),
        post("/application/update_version", Admin, versions::update),
        post("/application/delete_version", Admin, versions::delete),
        post("/application/latest_version", Everybody, apps::latest_version),
        post("/application/page_versions", Everybody, apps::versions),
        post("/config/get_config_list", Admin, configuration::refuse),
        post("/config/get_config", Admin, configuration::refuse),
        post("/config/set_config", Admin, configuration::refuse),
        post("/config/set_configs", Admin, configuration::refuse),
        post("/config/reset_config", Admin, configuration::refuse),
        post("/config/get_enable_config_manager", Admin, configuration::refuse),
        post("/config/set_enable_config_manager", Admin, configuration::refuse),
        post("/restart", Admin, configuration::refuse),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// docs/develop/accounts.md has a table of them.
    #[test]
    fn every_route_is_documented_and_every_documented_one_is_there() {
        let path = format!("{}/../../docs/develop/accounts.md", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let mut documented = BTreeSet::new();
        for line in text.lines().filter(|line| line.starts_with("| `/")) {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (paths, port) = (cells.next().unwrap(), cells.next().unwrap());
            for path in paths.split('`').filter(|path| path.starts_with('/')) {
                documented.insert((port.to_owned(), path.to_owned()));
            }
        }
        let own = |port: &str, routes: Vec<Route>| {
            routes.into_iter().map(|route| (port.to_owned(), route.path.to_owned())).collect::<BTreeSet<_>>()
        };
        let routes: BTreeSet<_> = own("chat", chat()).union(&own("admin", admin())).cloned().collect();
        assert_eq!(routes, documented);
        // Those of the contract, the name that the IM services call, and without the template of a spreadsheet.
        assert_eq!((chat().len(), admin().len()), (18 + 1, 57 - 1));
    }
}
