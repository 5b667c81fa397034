//! Answers a request: who it is from, whether he may have that, its form, its handler. Every answer has the same headers, and an action runs
//! to its end also when its browser has gone.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing,
};
use edge::body::{behind_its_body, within};
use maud::Markup;
use origin::Client;
use protocol::{Error, ErrorCode, Result};
use rpc::Context;
use tracing::{Instrument, Span, field::Empty};

use crate::{
    App, audit,
    fields::{Fields, link},
    language::Language,
    live, notices, page,
    roles::Role,
    routes,
    session::{self, Signed},
    sign_in,
    texts::Text,
};

/// Largest form, in bytes.
const FORM: usize = 16 << 10;
/// Longest reason of an action, in characters.
const REASON: usize = 500;
const LANGUAGE: &str = "console_language";
const YEAR: &str = "; Max-Age=31536000";

/// Nothing but the page itself, its style sheet, its icon and its forms.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What every handler of a request knows, signed in or not.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) app: Arc<App>,
    pub(crate) language: Language,
    pub(crate) path: &'static str,
    pub(crate) query: Fields,
    pub(crate) client: Option<Client>,
    pub(crate) operation_id: String,
    /// Its address has a page of its own.
    pub(crate) is_page: bool,
    pub(crate) headers: HeaderMap,
}

/// A request of somebody who has signed in.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) seen: Seen,
    pub(crate) signed: Signed,
    /// For calls to the other services.
    pub(crate) context: Context,
    pub(crate) path: &'static str,
}

/// Where an action leads, and what the page there says.
pub(crate) struct Done {
    pub(crate) to: String,
    pub(crate) notice: Text,
}

impl Seen {
    /// The address, as records have it; empty where none is known.
    pub(crate) fn address(&self) -> String {
        self.client.map(|client| client.address().to_string()).unwrap_or_default()
    }

    pub(crate) fn text(&self, text: Text) -> &'static str {
        text.of(self.language)
    }
}

impl Visit {
    pub(crate) fn app(&self) -> &App {
        &self.seen.app
    }

    pub(crate) fn query(&self) -> &Fields {
        &self.seen.query
    }

    pub(crate) fn text(&self, text: Text) -> &'static str {
        self.seen.text(text)
    }

    pub(crate) fn address(&self) -> String {
        self.seen.address()
    }

    /// Which page of a numbered list is asked for, from 1 to `last`.
    pub(crate) fn page_number(&self, last: i32) -> i32 {
        let asked = self.query().number("page").unwrap_or(1).clamp(1, last.into());
        i32::try_from(asked).unwrap_or(last)
    }

    /// Whether he may do what needs this role.
    pub(crate) fn may(&self, role: Role) -> bool {
        self.signed.role >= role
    }
}

/// Makes a route with a path a part of a router.
type Mount = Box<dyn FnOnce(Router, Arc<App>) -> Router>;

/// A page or an action, before it is part of a router.
pub(crate) struct Route {
    #[cfg(test)]
    pub(crate) path: &'static str,
    #[cfg(test)]
    pub(crate) needs: Role,
    #[cfg(test)]
    pub(crate) is_act: bool,
    mount: Mount,
}

/// A page.
pub(crate) fn view<Handler, Answering>(path: &'static str, needs: Role, handler: Handler) -> Route
where
    Handler: Fn(Visit) -> Answering + Copy + Send + Sync + 'static,
    Answering: Future<Output = Result<Markup>> + Send + 'static,
{
    let mount = move |router: Router, app: Arc<App>| {
        let answering = move |request: Request| {
            let app = app.clone();
            async move {
                let (head, _body) = request.into_parts();
                let seen = seen(app, path, &head);
                let visit = match admitted(&seen, needs).await {
                    Ok(visit) => visit,
                    Err(refused) => return refused,
                };
                let shown = handler(visit.clone()).await;
                let answer = shown.map_or_else(|error| failed(&seen, Some(&visit), &error), page::answer);
                if live::is_live(&visit) { chosen(&seen, live::again(answer)) } else { kept(&visit, answer) }
            }
        };
        router.route(path, routing::get(answering))
    };
    Route {
        #[cfg(test)]
        path,
        #[cfg(test)]
        needs,
        #[cfg(test)]
        is_act: false,
        mount: Box::new(mount),
    }
}

/// An action, which always has a reason.
pub(crate) fn act<Handler, Answering>(path: &'static str, needs: Role, handler: Handler) -> Route
where
    Handler: Fn(Visit, Fields) -> Answering + Copy + Send + Sync + 'static,
    Answering: Future<Output = Result<Done>> + Send + 'static,
{
    let mount = move |router: Router, app: Arc<App>| {
        let answering = move |request: Request| {
            let app = app.clone();
            async move {
                let (head, body) = request.into_parts();
                let seen = seen(app.clone(), path, &head);
                let visit = match admitted(&seen, needs).await {
                    Ok(visit) => visit,
                    Err(refused) => return behind_its_body(body, refused).await,
                };
                let form = match form(&seen, Some(&visit), body, &visit.signed.session.form).await {
                    Ok(form) => form,
                    Err(refused) => return refused,
                };
                let acting = acted(visit.clone(), form.clone(), handler).in_current_span();
                let done = app.requests.spawn(acting).await;
                let done = done.unwrap_or_else(|error| {
                    let error = Error::internal(error);
                    let request = form.without(&["form", "reason"]);
                    audit::act(&visit, &request, form.trimmed("reason"), error.code.number());
                    Err(error)
                });
                kept(&visit, done.map_or_else(|error| failed(&seen, Some(&visit), &error), redirect_to))
            }
        };
        router.route(path, routing::post(answering))
    };
    Route {
        #[cfg(test)]
        path,
        #[cfg(test)]
        needs,
        #[cfg(test)]
        is_act: true,
        mount: Box::new(mount),
    }
}

async fn acted<Handler, Answering>(visit: Visit, form: Fields, handler: Handler) -> Result<Done>
where
    Handler: Fn(Visit, Fields) -> Answering,
    Answering: Future<Output = Result<Done>>,
{
    let reason = form.trimmed("reason").to_owned();
    let length = reason.chars().count();
    let request = form.without(&["form", "reason"]);
    let done = if !(1..=REASON).contains(&length) {
        Err(Error::args(format!("reason is required, up to {REASON} characters")))
    } else if request.chars().count() > audit::KEPT {
        Err(Error::args(format!(
            "the form has more than the {} characters that the audit log keeps, where each letter that is not English counts 6 or \
             9; shorten its texts",
            audit::KEPT
        )))
    } else {
        handler(visit.clone(), form.clone()).await
    };
    let code = done.as_ref().err().map_or(0, |error| error.code.number());
    visit.app().metrics.acts.inc();
    audit::act(&visit, &request, &reason, code);
    done
}

fn redirect_to(Done { to, notice }: Done) -> Response {
    let (path, fields) = to.split_once('?').unwrap_or((to.as_str(), ""));
    let fields = Fields::parse(fields.as_bytes());
    let rest = fields.without(&["done"]);
    let done = link(path, &[("done", notices::word(notice))]);
    redirect(&if rest.is_empty() { done } else { format!("{done}&{rest}") })
}

/// To a page, by GET.
pub(crate) fn redirect(to: &str) -> Response {
    let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// What is known of a request from its head.
pub(crate) fn seen(app: Arc<App>, path: &'static str, head: &request::Parts) -> Seen {
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let client = peer.map(|peer| app.proxies.client(peer, &head.headers));
    let query = Fields::parse(head.uri.query().unwrap_or_default().as_bytes());
    let accepted = head.headers.get(header::ACCEPT_LANGUAGE).and_then(|list| list.to_str().ok());
    let chosen = Language::of_key(query.get("lang"));
    let language = chosen
        .or_else(|| session::cookie(&head.headers, LANGUAGE).and_then(Language::of_key))
        .unwrap_or_else(|| Language::accepted(accepted.unwrap_or_default()));
    let operation_id = format!("console-{}", model::random_id());
    Span::current().record("operation_id", operation_id.as_str());
    let is_page = head.method == Method::GET && !path.is_empty();
    Seen { app, language, path, query, client, operation_id, is_page, headers: head.headers.clone() }
}

/// Whose request it is, or the answer to somebody who may not have that.
async fn admitted(seen: &Seen, needs: Role) -> Result<Visit, Response> {
    let signed = match seen.app.signed(&seen.operation_id, &seen.headers).await {
        Ok(signed) => signed,
        Err(error) if (1501..=1507).contains(&error.code.number()) => {
            return Err(chosen(seen, redirect("/sign-in")));
        }
        Err(error) => return Err(failed(seen, None, &error)),
    };
    Span::current().record("caller", signed.session.who());
    let context = seen.app.im.context(&signed.session.im_user, &seen.operation_id);
    let visit = Visit { seen: seen.clone(), signed, context, path: seen.path };
    if !visit.may(needs) {
        audit::refused(&visit.signed.session.who(), &visit.address(), visit.path, "role");
        let refused = page::refused(&visit.seen, Some(&visit), Text::RefusedRole, None);
        return Err(answered(StatusCode::FORBIDDEN, refused));
    }
    Ok(visit)
}

/// A form that one of our own pages has sent.
///
/// # Errors
/// When it is too long, or comes from elsewhere.
pub(crate) async fn form(
    seen: &Seen,
    visit: Option<&Visit>,
    body: Body,
    expected: &str,
) -> Result<Fields, Response> {
    let kept = within(body, FORM, &seen.app.bodies).await.map_err(IntoResponse::into_response)?;
    let form = Fields::parse(&kept.bytes);
    let is_foreign =
        seen.headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    if is_foreign || expected.is_empty() || !is_same(form.get("form"), expected) {
        let who = visit.map(|visit| visit.signed.session.who()).unwrap_or_default();
        audit::refused(&who, &seen.address(), seen.path, "form");
        return Err(answered(StatusCode::FORBIDDEN, page::refused(seen, visit, Text::RefusedForm, None)));
    }
    Ok(form)
}

/// Compares without telling by time how much agrees.
fn is_same(given: &str, expected: &str) -> bool {
    let pairs = given.bytes().zip(expected.bytes());
    given.len() == expected.len() && pairs.fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// A page with a status.
pub(crate) fn answered(status: StatusCode, markup: Markup) -> Response {
    (status, page::answer(markup)).into_response()
}

/// The page of something that did not work.
pub(crate) fn failed(seen: &Seen, visit: Option<&Visit>, error: &Error) -> Response {
    let status = match error.code {
        ErrorCode::Args => StatusCode::BAD_REQUEST,
        ErrorCode::NoPermission => StatusCode::FORBIDDEN,
        ErrorCode::RecordNotFound | ErrorCode::UserNotFound | ErrorCode::GroupNotFound => {
            StatusCode::NOT_FOUND
        }
        ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        _ if error.unreachable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::CONFLICT,
    };
    if error.code == ErrorCode::Internal {
        tracing::warn!(%error, "console.failed");
    }
    answered(status, page::refused(seen, visit, Text::Failed, Some(error)))
}

/// The answer with the session's cookie, where that has become old.
fn kept(visit: &Visit, answer: Response) -> Response {
    let mut answer = chosen(&visit.seen, answer);
    if visit.signed.is_stale
        && let Ok(cookie) = visit.app().keep(&visit.seen.headers, &visit.signed.session)
    {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

/// The answer with the language that was just chosen.
pub(crate) fn chosen(seen: &Seen, mut answer: Response) -> Response {
    if Language::of_key(seen.query.get("lang")).is_some()
        && let Ok(cookie) = session::set(&seen.headers, LANGUAGE, seen.language.key(), YEAR)
    {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

/// Counts requests by address, and puts the headers on every answer. All that is logged of a request has its route, its operation id and who
/// has signed in.
async fn guard(app: Arc<App>, request: Request, next: Next) -> Response {
    let span = tracing::error_span!(
        "request",
        route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str),
        operation_id = Empty,
        caller = Empty,
    );
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let key = peer.and_then(|peer| app.proxies.client(peer, request.headers()).key());
    let mut answer = match key.map(|address| app.addresses.take(&address, 1)) {
        Some(Err(_exhausted)) => {
            let told = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "too many requests");
            behind_its_body(request.into_body(), told.into_response()).await
        }
        _ => next.run(request).instrument(span).await,
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// All of the console.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mounted =
        routes::routes().into_iter().fold(Router::new(), |router, route| (route.mount)(router, app.clone()));
    let (nowhere, guarding) = (app.clone(), app.clone());
    let nowhere = move |request: Request| {
        let app = nowhere.clone();
        async move {
            let (head, body) = request.into_parts();
            let seen = seen(app, "", &head);
            let answer = page::refused(&seen, None, Text::NotFound, None);
            behind_its_body(body, answered(StatusCode::NOT_FOUND, answer)).await
        }
    };
    sign_in::mount(mounted, app)
        .route(page::STYLE_PATH, routing::get(page::style))
        .route(page::ICON_PATH, routing::get(page::icon))
        .fallback(nowhere.clone())
        .method_not_allowed_fallback(nowhere)
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            guard(guarding.clone(), request, next)
        }))
}
