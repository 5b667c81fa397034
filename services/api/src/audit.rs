//! The audit log: what administrators change through the API, one line each with the target `audit`. Messages that back ends send are not
//! repeated here: they are in the database, with their sender.

use rpc::Context;

/// Longest part of a request that is kept, in bytes.
const KEPT: usize = 2000;
const READING_WORDS: [&str; 5] = ["get_", "search", "is_", "part_", "pull_"];
const READING: [&str; 9] = [
    "/user/account_check",
    "/user/page_user_client_config",
    "/user/process_user_command_get",
    "/user/process_user_command_get_all",
    "/auth/parse_token",
    "/object/access_url",
    "/object/auth_sign",
    "/msg/newest_seq",
    "/msg/check_msg_is_send_success",
];

/// Whether a route changes something. A token that an administrator gets for a user is the power to act as that user.
fn changes(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let reads = READING_WORDS.iter().any(|word| last.starts_with(word))
        || path.starts_with("/statistics/")
        || READING.contains(&path);
    !reads || path == "/auth/get_user_token"
}

/// Notes an administrator's act; `code` is the answer's errCode.
pub(crate) fn note(context: &Context, path: &str, request: &[u8], code: i32) {
    if context.require_admin().is_err() || !changes(path) {
        return;
    }
    let request = String::from_utf8_lossy(&request[..request.len().min(KEPT)]);
    tracing::info!(
        target: "audit",
        administrator = context.user_id(),
        path,
        operation_id = context.operation_id,
        code,
        %request,
        "admin.act"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_one_or_the_other() {
        let routes = crate::table::routes();
        let (changing, reading): (Vec<&str>, Vec<&str>) =
            routes.types.keys().copied().partition(|path| changes(path));
        for word in [
            "set", "add", "delete", "remove", "update", "mute", "kick", "revoke", "clear", "dismiss",
            "logout", "register",
        ] {
            let statistics = |path: &str| path.starts_with("/statistics/");
            let missed = reading
                .iter()
                .find(|path| path.contains(word) && !statistics(path) && !path.contains("/get_"));
            assert_eq!(missed, None, "it {word}s");
        }
        for path in &changing {
            assert!(!path.contains("/get_") || *path == "/auth/get_user_token", "{path}");
        }
        assert!(changing.len() > 40 && reading.len() > 60, "{} {}", changing.len(), reading.len());
    }
}
