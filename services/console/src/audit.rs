//! What the console adds to the audit log, with the target `audit`: `console.sign_in` is an attempt to sign in, successful or not,
//! `console.sign_out` its end, `console.refused` a form or page that somebody may not have, `console.act` an action with its reason and the
//! answer's errCode, `console.viewed` messages that somebody has looked at,
//! `console.listed` a list of conversations, files or client logs, `console.broadcast` how far a broadcast is.

use crate::{
    broadcast::Progress,
    http::Visit,
    session::{Session, Way},
};

/// Longest text of somebody who is not known that is kept, in characters.
const LONGEST: usize = 64;
/// Longest request that is kept, in characters.
pub(crate) const KEPT: usize = 2000;

fn way(way: Way) -> &'static str {
    match way {
        Way::Secret => "secret",
        Way::Account => "account",
    }
}

/// Never the secret. Outside of the request's span, which has a `name` too.
pub(crate) fn sign_in(how: Way, name: &str, address: &str, code: i32) {
    let name: String = name.chars().take(LONGEST).collect();
    tracing::info!(target: "audit", parent: None, name, way = way(how), address, code, "console.sign_in");
}

pub(crate) fn sign_out(session: &Session, address: &str) {
    tracing::info!(target: "audit", administrator = session.who(), address, "console.sign_out");
}

pub(crate) fn refused(administrator: &str, address: &str, path: &str, why: &str) {
    tracing::info!(target: "audit", administrator, address, path, why, "console.refused");
}

/// An action, after it; `request` are the fields of its form.
pub(crate) fn act(visit: &Visit, request: &str, reason: &str, code: i32) {
    let request: String = request.chars().take(KEPT).collect();
    tracing::info!(
        target: "audit",
        administrator = visit.signed.session.who(),
        acting_as = visit.context.user_id(),
        role = visit.signed.role.name(),
        address = visit.address(),
        path = visit.path,
        request,
        reason,
        code,
        "console.act"
    );
}

/// Messages that were shown.
pub(crate) fn viewed(visit: &Visit, user: &str, conversation: &str, first: i64, last: i64) {
    tracing::info!(
        target: "audit",
        administrator = visit.signed.session.who(),
        role = visit.signed.role.name(),
        address = visit.address(),
        user,
        conversation,
        first,
        last,
        "console.viewed"
    );
}

/// A list of what users do, that was shown.
pub(crate) fn listed(visit: &Visit, of: &str) {
    let of: String = of.chars().take(KEPT).collect();
    tracing::info!(
        target: "audit",
        administrator = visit.signed.session.who(),
        role = visit.signed.role.name(),
        address = visit.address(),
        path = visit.path,
        of,
        "console.listed"
    );
}

/// A broadcast, now and then and at its end.
pub(crate) fn broadcast(visit: &Visit, progress: &Progress) {
    let Progress { id, account, state, sent, failed, after } = progress;
    tracing::info!(
        target: "audit",
        administrator = visit.signed.session.who(),
        broadcast = id,
        account,
        state = state.name(),
        sent,
        failed,
        after,
        "console.broadcast"
    );
}

#[cfg(test)]
mod tests {
    use crate::testing::World;

    #[tokio::test]
    async fn a_line_of_an_action_has_its_operation_its_route_and_its_caller_once() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        world.im.add_user("ann", "Ann");
        let form = admin.form().await;
        let (written, _until) = telemetry::Written::start();
        let fields = [("user", "ann"), ("platform", ""), ("reason", "lost phone")];
        admin.post_with(Some(&form), "/user/force-out", &fields, &[]).await;
        let line = written.only("console.act");
        assert_eq!(
            (&line["route"], &line["caller"]),
            (&"/user/force-out".into(), &"imAdmin".into()),
            "{line}"
        );
        assert!(line["operation_id"].as_str().is_some_and(|id| id.starts_with("console-")), "{line}");
    }

    #[tokio::test]
    async fn a_line_of_an_attempt_names_who_was_tried() {
        let world = World::new().await;
        let (written, _until) = telemetry::Written::start();
        world.browser().sign_in("secret", "imAdmin", "wrong").await;
        assert_eq!(written.only("console.sign_in")["name"], "imAdmin");
    }
}
