//! Lists that a request must contain, although they may be empty; upstream refuses the others before the call
//! (docs/protocol/rest.md).

use protocol::{Error, Result, go_json};

/// The list of a route, by its path.
const LISTS: [(&str, &str); 23] = [
    ("/conversation/get_conversations", "conversationIDs"),
    ("/conversation/set_conversations", "userIDs"),
    ("/friend/get_designated_friends", "friendUserIDs"),
    ("/friend/get_specified_friends_info", "userIDList"),
    ("/friend/import_friend", "friendUserIDs"),
    ("/friend/update_friends", "friendUserIDs"),
    ("/group/get_group_abstract_info", "groupIDs"),
    ("/group/get_group_members_info", "userIDs"),
    ("/group/get_group_users_req_application_list", "userIDs"),
    ("/group/get_groups_info", "groupIDs"),
    ("/group/invite_user_to_group", "invitedUserIDs"),
    ("/group/kick_group", "kickedUserIDs"),
    ("/group/set_group_member_info", "members"),
    ("/msg/clear_conversation_msg", "conversationIDs"),
    ("/msg/delete_msg_physical", "conversationIDs"),
    ("/msg/delete_msgs", "seqs"),
    ("/msg/mark_msgs_as_read", "seqs"),
    ("/user/account_check", "checkUserIDs"),
    ("/user/get_users_info", "userIDs"),
    ("/user/get_users_status", "userIDs"),
    ("/user/subscribe_users_status", "userIDs"),
    ("/user/unregister_user", "userIDs"),
    ("/user/user_register", "users"),
];

/// The list that a route requires.
pub(crate) fn list(path: &str) -> Option<&'static str> {
    LISTS.iter().find(|(known, _)| *known == path).map(|(_, field)| *field)
}

/// Refuses a valid body without the list.
pub(crate) fn check(body: &[u8], list: Option<&str>) -> Result<()> {
    match list {
        Some(field) if !go_json::is_set(body, field) => Err(Error::args(format!("{field} is required"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_be_empty_but_not_missing() {
        let required = list("/user/get_users_info");
        assert!(check(br#"{"userIDs":[]}"#, required).is_ok());
        for body in ["{}", r#"{"userIDs":null}"#, "null"] {
            assert_eq!(check(body.as_bytes(), required).unwrap_err().detail, "userIDs is required", "{body}");
        }
        assert!(check(b"{}", list("/msg/get_server_time")).is_ok());
    }

    #[test]
    fn every_required_list_is_a_list_of_its_route() {
        let routes = crate::table::routes();
        let schemas: serde_json::Value = serde_json::from_str(protocol::JSON_SCHEMAS).unwrap();
        for (path, field) in LISTS {
            let schema = &schemas[&routes.types[path][0]]["properties"][field];
            assert!(
                schema["type"].as_array().is_some_and(|kinds| kinds.contains(&"array".into())),
                "{path} {field}"
            );
        }
    }
}
