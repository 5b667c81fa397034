//! Lists that a request must contain, although they may be empty; upstream refuses the others before the call
//! (docs/protocol/rest.md).

use protocol::{Error, Result, go_json};

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

    fn needs(path: &str) -> Option<&'static str> {
        crate::routes::all().into_iter().find(|route| route.path == path).unwrap().needs
    }

    #[test]
    fn a_list_may_be_empty_but_not_missing() {
        let required = needs("/user/get_users_info");
        assert!(check(br#"{"userIDs":[]}"#, required).is_ok());
        for body in ["{}", r#"{"userIDs":null}"#, "null"] {
            assert_eq!(check(body.as_bytes(), required).unwrap_err().detail, "userIDs is required", "{body}");
        }
        assert!(check(b"{}", needs("/msg/get_server_time")).is_ok());
    }
}
