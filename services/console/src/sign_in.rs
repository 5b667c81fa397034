//! Signing in and out.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing,
};
use edge::body::behind_its_body;
use maud::{Markup, html};
use origin::Client;
use protocol::{Error, ErrorCode, Result};

use crate::{
    App, audit,
    fields::link,
    http::{Seen, answered, chosen, failed, form, redirect, seen},
    notices, page,
    session::{self, Session, Way},
    texts::Text,
};

const PATH: &str = "/sign-in";
const FORM: &str = "console_form";
const PURPOSE: &str = "form";
/// Longest name and secret that are tried, in bytes.
const LONGEST: usize = 256;

pub(crate) fn mount(router: Router, app: &Arc<App>) -> Router {
    let (asked, sent, out) = (app.clone(), app.clone(), app.clone());
    router
        .route(
            PATH,
            routing::get(move |request: Request| ask(asked.clone(), request))
                .post(move |request: Request| sign_in(sent.clone(), request)),
        )
        .route("/sign-out", routing::post(move |request: Request| sign_out(out.clone(), request)))
}

/// The form, whose token is good for the browser that has the cookie.
async fn ask(app: Arc<App>, request: Request) -> Response {
    let (head, _body) = request.into_parts();
    let seen = seen(app, PATH, &head);
    let shown = asked(&seen, None, StatusCode::OK);
    chosen(&seen, shown.unwrap_or_else(|error| failed(&seen, None, &error)))
}

fn asked(seen: &Seen, problem: Option<&str>, status: StatusCode) -> Result<Response> {
    let token = model::random_id();
    let sealed = seen.app.seal.seal(PURPOSE, token.as_bytes())?;
    let cookie = session::set(&seen.headers, FORM, &sealed, "")?;
    let page = page::frame(seen, None, seen.text(Text::SignIn), &fields(seen, &token, problem));
    let mut answer = answered(status, page);
    answer.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(answer)
}

fn fields(seen: &Seen, token: &str, problem: Option<&str>) -> Markup {
    html! {
        @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
        form.sign-in method="post" action=(PATH) {
            input type="hidden" name="form" value=(token);
            @if seen.app.people.exist() {
                fieldset {
                    legend { (seen.text(Text::SignInWith)) }
                    label { input type="radio" name="way" value="account" checked; (seen.text(Text::WithAccount)) }
                    label { input type="radio" name="way" value="secret"; (seen.text(Text::WithSecret)) }
                }
            } @else {
                p { (seen.text(Text::WithSecret)) }
                input type="hidden" name="way" value="secret";
            }
            label for="name" { (seen.text(Text::NameOrId)) }
            input #name name="name" required maxlength="64" autocomplete="username" spellcheck="false" autocapitalize="none";
            label for="secret" { (seen.text(Text::PasswordOrSecret)) }
            input #secret name="secret" type="password" required maxlength="256" autocomplete="current-password";
            button { (seen.text(Text::SignIn)) }
        }
    }
}

async fn sign_in(app: Arc<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let seen = seen(app, PATH, &head);
    let sealed = session::cookie(&seen.headers, FORM).unwrap_or_default();
    let token = seen.app.seal.open(PURPOSE, sealed).unwrap_or_default();
    let form = match form(&seen, None, body, &String::from_utf8_lossy(&token)).await {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    let way = if form.get("way") == "account" { Way::Account } else { Way::Secret };
    let name = form.trimmed("name").to_owned();
    let opened = attempt(&seen, way, &name, form.get("secret")).await;
    let code = opened.as_ref().err().map_or(0, |error| error.code.number());
    audit::sign_in(way, &name, &seen.address(), code);
    let answer = match opened {
        Ok(session) => {
            seen.app.metrics.signed_in.inc();
            begun(&seen, &session)
        }
        Err(error) => {
            seen.app.metrics.refused.inc();
            refused(&seen, &error)
        }
    };
    answer.unwrap_or_else(|error| failed(&seen, None, &error))
}

fn begun(seen: &Seen, session: &Session) -> Result<Response> {
    let mut answer = redirect("/");
    answer.headers_mut().append(header::SET_COOKIE, seen.app.keep(&seen.headers, session)?);
    answer.headers_mut().append(header::SET_COOKIE, session::set(&seen.headers, FORM, "", "; Max-Age=0")?);
    Ok(answer)
}

/// Whoever is refused is not told whether the name or the secret is wrong.
fn refused(seen: &Seen, error: &Error) -> Result<Response> {
    match error.code {
        ErrorCode::NoPermission => asked(seen, Some(seen.text(Text::WrongSecret)), StatusCode::UNAUTHORIZED),
        ErrorCode::TooManyRequests => {
            asked(seen, Some(seen.text(Text::TooManyTries)), StatusCode::TOO_MANY_REQUESTS)
        }
        _ => Ok(failed(seen, None, error)),
    }
}

/// What attempts are counted by: behind a proxy also an address of a private network, from which consoles are used.
fn counted_by(client: Client, headers: &HeaderMap) -> Option<std::net::IpAddr> {
    client.key().or_else(|| origin::is_forwarded(headers).then(|| client.network()))
}

/// Tries a secret, unless too many have been tried. Only one that is wrong counts.
async fn attempt(seen: &Seen, way: Way, name: &str, secret: &str) -> Result<Session> {
    if name.is_empty() || name.len() > LONGEST || secret.is_empty() || secret.len() > LONGEST {
        return Err(Error::no_permission("name and secret are required"));
    }
    let app = &seen.app;
    let from = seen.client.and_then(|client| counted_by(client, &seen.headers));
    let counted = format!("{way:?} {name}");
    app.tries
        .take(from, &counted, app.clock.now_ms())
        .map_err(|minutes| ErrorCode::TooManyRequests.with(format!("retry in {minutes} minutes")))?;
    let opened = open(seen, way, name, secret).await;
    if !matches!(&opened, Err(error) if error.code == ErrorCode::NoPermission) {
        app.tries.give_back(from, &counted);
    }
    opened
}

async fn open(seen: &Seen, way: Way, name: &str, secret: &str) -> Result<Session> {
    let (app, op) = (&seen.app, seen.operation_id.as_str());
    let (im_user, im_token, account_token) =
        match way {
            Way::Secret => {
                // Whoever is no administrator is refused as with a wrong secret.
                let is_admin = app.config.is_admin(name);
                let token = app.im.token(op, name, secret).await;
                let token = token.map_err(|error| {
                    if is_admin { error } else { Error::no_permission("not an administrator") }
                })?;
                (name.to_owned(), token, String::new())
            }
            Way::Account => {
                let from = seen.client.map(Client::address);
                let account_token = app.people.log_in(op, name, secret, from).await?;
                (app.im.first_administrator().to_owned(), app.im.own_token(op).await?, account_token)
            }
        };
    let now = app.clock.now_ms();
    let form = model::random_id();
    let name = name.to_owned();
    Ok(Session { way, name, im_user, im_token, account_token, form, began_ms: now, seen_ms: now })
}

/// Ends the token of the session: its cookie is worth nothing from then on, wherever there is a copy.
async fn sign_out(app: Arc<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let seen = seen(app, "/sign-out", &head);
    let ended = out(&seen, body).await;
    ended.unwrap_or_else(|error| failed(&seen, None, &error))
}

async fn out(seen: &Seen, body: Body) -> Result<Response> {
    let app = &seen.app;
    let to = link(PATH, &[("done", notices::word(Text::DoneSignedOut))]);
    let signed = match app.signed(&seen.operation_id, &seen.headers).await {
        Ok(signed) => signed,
        // It has ended already.
        Err(error) if (1501..=1507).contains(&error.code.number()) => {
            return Ok(behind_its_body(body, redirect(&to)).await);
        }
        Err(error) => return Ok(behind_its_body(body, failed(seen, None, &error)).await),
    };
    let session = signed.session;
    if let Err(refused) = form(seen, None, body, &session.form).await {
        return Ok(refused);
    }
    app.im.end_token(&seen.operation_id, &session.im_user, &session.im_token).await?;
    audit::sign_out(&session, &seen.address());
    let mut answer = redirect(&to);
    answer.headers_mut().append(header::SET_COOKIE, app.forget(&seen.headers)?);
    Ok(answer)
}

/// Where a form of a test comes from.
#[cfg(test)]
pub(crate) fn token_of(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"form\" value=\"").unwrap_or_default();
    rest.split('"').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use protocol::{auth::GetAdminTokenReq, extension::BanUserReq};

    use crate::testing::{SECRET, World};

    #[tokio::test]
    async fn an_administrator_signs_in_with_the_secret_and_out_for_good() {
        let world = World::new().await;
        let stranger = world.browser();
        for path in ["/", "/users", "/user?id=ann", "/groups", "/chats?user=ann"] {
            let answer = stranger.get(path).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["location"]),
                (303, &"/sign-in".parse().unwrap())
            );
        }
        assert_eq!(stranger.sign_in("secret", "imAdmin", "wrong").await.status(), 401);
        assert_eq!(stranger.sign_in("secret", "ann", SECRET).await.status(), 401, "no administrator");
        let answer = stranger.sign_in("secret", "imAdmin", SECRET).await;
        assert_eq!(answer.status(), 303);
        let cookies: Vec<&str> =
            answer.headers().get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
        assert!(
            cookies[0].starts_with("console=") && cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Strict"),
            "{cookies:?}"
        );
        assert!(!cookies[0].contains("imAdmin") && !cookies[0].contains("im-token"), "sealed: {cookies:?}");

        let admin = world.signed_in("imAdmin").await;
        assert!(admin.page("/").await.contains("imAdmin"));
        let copy = admin.clone();
        let out = admin.post("/sign-out", &[]).await;
        assert_eq!(out.headers()["location"], "/sign-in?done=signed-out");
        assert_eq!(copy.get("/").await.status(), 303, "a copy of the cookie is worth nothing");
    }

    #[tokio::test]
    async fn sessions_end_when_they_are_idle_or_old() {
        let world = World::new().await;
        let admin = world.signed_in("imAdmin").await;
        world.clock.pass(29 * 60_000);
        assert_eq!(admin.get("/").await.status(), 200, "a new cookie counts from now");
        world.clock.pass(29 * 60_000);
        assert_eq!(admin.get("/").await.status(), 200);
        world.clock.pass(31 * 60_000);
        assert_eq!(admin.get("/").await.status(), 303, "idle");
        let admin = world.signed_in("imAdmin").await;
        for _ in 0..(10 * 60 / 20 - 1) {
            world.clock.pass(20 * 60_000);
            assert_eq!(admin.get("/").await.status(), 200);
        }
        world.clock.pass(20 * 60_000);
        assert_eq!(admin.get("/").await.status(), 303, "old");
    }

    #[tokio::test]
    async fn guesses_are_limited_and_the_right_secret_must_wait_too() {
        let world = World::new().await;
        let browser = world.browser();
        for _ in 0..5 {
            assert_eq!(browser.sign_in("secret", "imAdmin", "wrong").await.status(), 401);
        }
        assert_eq!(browser.sign_in("secret", "imAdmin", SECRET).await.status(), 429);
        assert_eq!(world.im.calls::<GetAdminTokenReq>(), 5);
        let elsewhere = world.browser_from([203, 0, 113, 77]);
        assert_eq!(elsewhere.sign_in("secret", "imAdmin", SECRET).await.status(), 303);
    }

    #[tokio::test]
    async fn forms_from_elsewhere_are_refused() {
        let world = World::new().await;
        world.im.add_user("ann", "Ann");
        let admin = world.signed_in("imAdmin").await;
        let fields = [("user", "ann"), ("reason", "spam")];
        for form in [None, Some(""), Some("00000000000000000000000000000000")] {
            let refused = admin.post_with(form, "/user/ban", &fields, &[]).await;
            assert_eq!(refused.status(), 403, "{form:?}");
        }
        let good = admin.form().await;
        let other = world.signed_in("imAdmin").await.form().await;
        assert_eq!(
            admin.post_with(Some(&other), "/user/ban", &fields, &[]).await.status(),
            403,
            "another session's"
        );
        let cross = [("sec-fetch-site", "cross-site")];
        assert_eq!(admin.post_with(Some(&good), "/user/ban", &fields, &cross).await.status(), 403);
        assert_eq!(world.im.calls::<BanUserReq>(), 0);
        assert_eq!(admin.post_with(Some(&good), "/user/ban", &fields, &[]).await.status(), 303);
        // Signing in and out are forms too.
        let answer = world
            .browser()
            .post_with(Some("x"), "/sign-in", &[("name", "imAdmin"), ("secret", SECRET)], &[])
            .await;
        assert_eq!(answer.status(), 403);
        assert_eq!(admin.post_with(None, "/sign-out", &[], &[]).await.status(), 403);
    }

    #[tokio::test]
    async fn administrators_of_the_account_service_sign_in_and_lose_the_session_with_their_account() {
        let world = World::with_accounts().await;
        let browser = world.browser();
        assert_eq!(browser.sign_in("account", "root", "wrong").await.status(), 401);
        assert_eq!(browser.sign_in("account", "root", "a password").await.status(), 303);
        let page = browser.page("/").await;
        assert!(page.contains("account:root") && page.contains("Administrator"), "{page}");
        world.accounts().set_level(80);
        let page = browser.page("/").await;
        assert!(page.contains("Read only"), "the level counts at once: {page}");
        world.accounts().end_sessions();
        assert_eq!(browser.get("/").await.status(), 303);
    }

    #[tokio::test]
    async fn where_there_is_no_account_service_nobody_signs_in_with_it() {
        let world = World::new().await;
        let browser = world.browser();
        assert!(!browser.page("/sign-in").await.contains("type=\"radio\""));
        assert_eq!(browser.sign_in("account", "root", "a password").await.status(), 400);
    }
}
