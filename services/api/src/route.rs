//! What is said of a route in its one line of `routes`, and the handler of those that are calls to a service.

use std::marker::PhantomData;

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    handler::Handler,
    response::Response,
    routing::{self, MethodRouter},
};
use prost::Name;
use protocol::{Error, Request, Result, go_json};
use rpc::Context;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Api, audit, envelope, required, response_budget};

/// Who can call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The token header is not looked at.
    Open,
    /// Holders of a good token; the service decides what each can do.
    User,
    /// Administrators: the service, or the handler, refuses all others.
    Admin,
}

/// How `/openapi.json` describes what a route takes and answers.
#[derive(Clone)]
pub(crate) enum Bodies {
    /// Messages, by their full names: request and response.
    Messages([String; 2]),
    /// Schemas of request and response.
    Schemas(fn() -> [Value; 2]),
    /// The responses of a route that is a page or a redirect, by status.
    Answers(fn() -> Value),
}

/// One route.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) description: &'static str,
    pub(crate) bodies: Bodies,
    /// Parameters in path or query.
    pub(crate) parameters: Vec<fn() -> Value>,
    /// What each call takes of its user's requests per second.
    pub(crate) cost: u32,
    /// One more for every so many items of its list.
    pub(crate) cost_every: Option<u32>,
    /// The list that a request must contain, although it may be empty.
    pub(crate) needs: Option<&'static str>,
    /// The audit log records calls of administrators.
    pub(crate) audited: bool,
    /// Upstream does not have it.
    pub(crate) beyond: bool,
    pub(crate) handler: MethodRouter<Api>,
}

impl Route {
    /// Whether it is a POST: the others are pages and redirects.
    pub(crate) fn is_post(&self) -> bool {
        !matches!(self.bodies, Bodies::Answers(_))
    }
}

/// What stands behind the arrow in a line of `routes`.
pub(crate) trait Does {
    fn route(self, path: &'static str, access: Access, description: &'static str) -> Route;
}

/// Of how many items of a request a call costs one more, and how many it has.
type Every<R> = Option<(u32, fn(&R) -> usize)>;

/// A route that is a call: JSON in, the method of the request, JSON out.
pub(crate) struct Call<R> {
    request: PhantomData<fn(R)>,
    cost: u32,
    every: Every<R>,
    needs: Option<&'static str>,
    audited: bool,
    beyond: bool,
}

/// The method of a request.
pub(crate) fn call<R: Request>() -> Call<R> {
    Call { request: PhantomData, cost: 1, every: None, needs: None, audited: false, beyond: false }
}

impl<R> Call<R> {
    /// Calls of administrators are recorded: it changes something, or gives a token.
    pub(crate) fn audited(self) -> Self {
        Self { audited: true, ..self }
    }

    /// The list that a request must contain, although it may be empty; upstream refuses others before the call.
    pub(crate) fn needs(self, list: &'static str) -> Self {
        Self { needs: Some(list), ..self }
    }

    /// What a call costs at least: what the most expensive one does.
    pub(crate) fn costs(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// A call costs one more for every so many items.
    pub(crate) fn every(self, per: u32, items: fn(&R) -> usize) -> Self {
        Self { every: Some((per, items)), ..self }
    }

    /// Upstream does not have it.
    pub(crate) fn beyond(self) -> Self {
        Self { beyond: true, ..self }
    }
}

fn by_size<R>(every: Every<R>, request: &R) -> u32 {
    every.map_or(0, |(per, items)| u32::try_from(items(request)).unwrap_or(u32::MAX) / per.max(1))
}

/// Reads a JSON body.
///
/// # Errors
/// `Args` when it is not JSON, or not that of the type.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    go_json::from_slice(body).map_err(|error| Error::args(format!("request body: {error}")))
}

impl<R> Does for Call<R>
where
    R: Request + DeserializeOwned,
    R::Response: Serialize,
{
    fn route(self, path: &'static str, access: Access, description: &'static str) -> Route {
        let Self { cost, every, needs, audited, beyond, .. } = self;
        let handler = async move |State(api): State<Api>,
                                  Extension(context): Extension<Context>,
                                  body: Bytes|
                    -> Response {
            let answer = async {
                let request: R = parse(&body)?;
                required::check(&body, needs)?;
                api.callers.pay(&context, by_size(every, &request))?;
                let request = request.encode_to_vec().into();
                let encoded = api.peers.call_encoded::<R>(&context, request).await?;
                let held = response_budget::room(&api.budgets.answers, encoded.len()).await?;
                let answer = <R::Response as prost::Message>::decode(encoded).map_err(|error| {
                    Error::internal(format!("{} returned an invalid response: {error}", R::METHOD))
                })?;
                Ok::<_, Error>((answer, held))
            };
            let (answer, held) = match answer.await {
                Ok((answer, held)) => (Ok(answer), held),
                Err(error) => (Err(error), None),
            };
            if audited {
                let code = answer.as_ref().err().map_or(0, |error: &Error| error.code.number());
                audit::note(&context, path, &body, code);
            }
            response_budget::until_sent(envelope::answer_of_message::<R::Response>(answer), held)
        };
        Route {
            path,
            access,
            description,
            bodies: Bodies::Messages([R::full_name(), R::Response::full_name()]),
            parameters: vec![],
            cost,
            cost_every: every.map(|(per, _)| per),
            needs,
            audited,
            beyond,
            handler: routing::post(handler),
        }
    }
}

/// A route with a handler of its own.
pub(crate) struct Own {
    handler: MethodRouter<Api>,
    bodies: Bodies,
    parameters: Vec<fn() -> Value>,
    cost: u32,
    beyond: bool,
}

/// A POST with a handler of its own.
pub(crate) fn post<H: Handler<T, Api>, T: 'static>(handler: H) -> Posts {
    Posts(routing::post(handler))
}

/// A GET: a page or a redirect.
pub(crate) fn get<H: Handler<T, Api>, T: 'static>(handler: H) -> Gets {
    Gets(routing::get(handler))
}

/// A POST that is not described yet.
pub(crate) struct Posts(MethodRouter<Api>);

impl Posts {
    /// Its bodies are a request and the response to it.
    pub(crate) fn messages<R: Request>(self) -> Own {
        self.typed::<R, R::Response>()
    }

    /// Its bodies are messages.
    pub(crate) fn typed<Req: Name, Resp: Name>(self) -> Own {
        Own::new(self.0, Bodies::Messages([Req::full_name(), Resp::full_name()]))
    }

    /// Its bodies are not messages.
    pub(crate) fn described(self, schemas: fn() -> [Value; 2]) -> Own {
        Own::new(self.0, Bodies::Schemas(schemas))
    }
}

/// A GET that is not described yet.
pub(crate) struct Gets(MethodRouter<Api>);

impl Gets {
    /// Its responses, by status.
    pub(crate) fn answers(self, answers: fn() -> Value) -> Own {
        Own::new(self.0, Bodies::Answers(answers))
    }
}

impl Own {
    fn new(handler: MethodRouter<Api>, bodies: Bodies) -> Self {
        Self { handler, bodies, parameters: vec![], cost: 1, beyond: false }
    }

    /// A parameter in its path or query.
    pub(crate) fn parameter(mut self, parameter: fn() -> Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// What a call costs.
    pub(crate) fn costs(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// Upstream does not have it.
    pub(crate) fn beyond(self) -> Self {
        Self { beyond: true, ..self }
    }
}

impl Does for Own {
    fn route(self, path: &'static str, access: Access, description: &'static str) -> Route {
        let Self { handler, bodies, parameters, cost, beyond } = self;
        let (cost_every, needs, audited) = (None, None, false);
        Route {
            path,
            access,
            description,
            bodies,
            parameters,
            cost,
            cost_every,
            needs,
            audited,
            beyond,
            handler,
        }
    }
}
