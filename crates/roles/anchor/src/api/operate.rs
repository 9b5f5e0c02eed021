//! `POST /operate/suspend|resume|end|register`, `POST /operate/rotate-key|remove-key`, `GET /operate/changes|registered`: what the anchor's
//! operators do at night. Every order is answered with the change it made, signed; every refusal is on record.

use crate::operate::{self, Operator, Standings, Wanted, admit};
use crate::{State, authenticate, register};
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::{IntoResponse, Response};
use fhir::ids::OrganisationNumber;
use fhir::outcome::IssueCode;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::jws::{self, Embedded};
use trust::scope::Access;
use wire::contract::operate::{
    Action, Changes, FRESH_SECONDS, KeyOrder, Kind, LONGEST_ORDER, ORDER_TYP, Order, RegisterOrder,
    Signed,
};
use wire::contract::witness::JOSE;
use wire::outcome::Problem;
use wire::request_id::RequestIds;

/// Longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// As many digits in a row may be a person's number.
const PERSON_DIGITS: usize = 11;

type Shared = extract::State<Arc<State>>;

/// No new token from the next request on.
pub(crate) async fn suspend(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    whole(async move { order(&state, ids, request, Action::Suspend).await }).await
}

/// Access as before.
pub(crate) async fn resume(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    whole(async move { order(&state, ids, request, Action::Resume).await }).await
}

/// An agreement or a delegation ends before its last day.
pub(crate) async fn end(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    whole(async move { order(&state, ids, request, Action::End).await }).await
}

/// A new signing key: published now, used when every service has it.
pub(crate) async fn rotate_key(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    whole(async move { key_order(&state, ids, request, Action::Publish).await }).await
}

/// A signing key that others may have: gone at once.
pub(crate) async fn remove_key(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    whole(async move { key_order(&state, ids, request, Action::Remove).await }).await
}

/// A document put into the register, or the signatures that were missing on one.
pub(crate) async fn register(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Response {
    whole(async move {
        let (parts, body) = request.into_parts();
        let operator = admit(&state, &parts, ids, Access::Create).await?;
        let (order, signed) = ordered::<RegisterOrder>(&state, &operator, &parts, body).await?;
        register::register(&state, &operator, &words(&parts), order, signed).await
    })
    .await
}

/// Everything that was registered by orders.
pub(crate) async fn registered(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let read = async {
        let operator = admit(&state, &parts, ids, Access::Read).await?;
        operate::on_record(&state, &operator, &words(&parts)).await?;
        register::registered(&state)
            .map(Changes)
            .map_err(|_| Problem::unavailable(5, "the register cannot be signed now; try again"))
    };
    respond(read.await)
}

/// What was done, oldest first.
pub(crate) async fn changes(
    extract::State(state): Shared,
    ids: RequestIds,
    request: Request,
) -> Response {
    respond(listed(&state, ids, request).await)
}

/// Goes on to the end although the one who asked has hung up: what became durable must count at once too.
async fn whole(work: impl Future<Output = Result<Changes, Problem>> + Send + 'static) -> Response {
    match tokio::spawn(work).await {
        Ok(answer) => respond(answer),
        Err(_) => Problem::bug("an operator's order ended in a panic").into_response(),
    }
}

fn respond(answer: Result<Changes, Problem>) -> Response {
    match answer {
        Ok(changes) => wire::outcome::json_response(StatusCode::OK, &changes),
        Err(problem) => problem.into_response(),
    }
}

fn words(parts: &Parts) -> String {
    format!("{} {}", parts.method, parts.uri.path())
}

fn invalid(expression: &str, text: &str) -> Problem {
    Problem::invalid(IssueCode::Value, expression, text)
}

async fn listed(state: &State, ids: RequestIds, request: Request) -> Result<Changes, Problem> {
    let (parts, _) = request.into_parts();
    let operator = admit(state, &parts, ids, Access::Read).await?;
    let after = match parts.uri.query() {
        None => Some(0),
        Some(query) => query
            .strip_prefix("after=")
            .and_then(|text| text.parse::<u64>().ok()),
    };
    match after {
        Some(after) => operate::list(state, &operator, &words(&parts), after).await,
        None => {
            let problem = invalid("after", "after=N leaves out the first N changes");
            Err(operator.failed(state, &words(&parts), problem).await)
        }
    }
}

async fn order(
    state: &State,
    ids: RequestIds,
    request: Request,
    action: Action,
) -> Result<Changes, Problem> {
    let (parts, body) = request.into_parts();
    let operator = admit(state, &parts, ids, Access::Create).await?;
    let (order, signed) = ordered::<Order>(state, &operator, &parts, body).await?;
    let check = |standings: &Standings| {
        let (id, kid) = known(state, &operator, action, &order)?;
        let entry = standings.of(order.kind, &id, kid.as_deref());
        match standings.refuses(action, entry) {
            Some(words) => Err(Problem::conflict(words)),
            None => Ok(vec![Wanted {
                kid,
                ..Wanted::plain(action, order.kind, &id, &order.reason, &signed)
            }]),
        }
    };
    // What was named is on record only when it is registered: an unknown name is anybody's text.
    let asked = match known(state, &operator, action, &order) {
        Ok((id, _)) => format!("{} {:?} {id}", words(&parts), order.kind),
        Err(_) => words(&parts),
    };
    operate::change(state, &operator, &asked, check).await
}

/// The registered id, and a key's thumbprint, of what an order names.
fn known(
    state: &State,
    operator: &Operator,
    action: Action,
    order: &Order,
) -> Result<(String, Option<String>), Problem> {
    let registry = &state.registry;
    let here = |there: bool| match there {
        true => Ok((order.id.clone(), None)),
        false => Err(Problem::not_found()),
    };
    if order.kid.is_some() != (order.kind == Kind::ClientKey) {
        return Err(invalid(
            "kid",
            "kid names the key of a client-key, and nothing else",
        ));
    }
    let paper = matches!(order.kind, Kind::ProcessingAgreement | Kind::Collaboration);
    let ends = matches!(
        order.kind,
        Kind::Agreement | Kind::Delegation | Kind::Representation
    );
    if action == Action::End && !paper && !ends {
        return Err(invalid(
            "kind",
            "agreements of every kind, delegations and representations end; others are suspended, and leave the register by its configuration",
        ));
    }
    if action != Action::End && paper {
        return Err(invalid(
            "kind",
            "no token depends on it, so it is ended and not suspended; what stops tokens meanwhile is the delegation or the agreement on sharing",
        ));
    }
    let own = || {
        Problem::conflict(
            "that would lock you out; another operator's client does this, or the configuration",
        )
    };
    match order.kind {
        Kind::Participant => {
            let orgnr = OrganisationNumber::parse(&order.id)
                .map_err(|_| invalid("id", "a participant is named by its organisation number"))?;
            let main = registry.controller(&orgnr).ok_or_else(Problem::not_found)?;
            if main != orgnr {
                let text = format!("a unit is not suspended alone; its main unit is {main}");
                return Err(invalid("id", &text));
            }
            let operates = state
                .config
                .operator
                .and_then(|one| registry.controller(&one));
            match operates == Some(main) {
                true => Err(own()),
                false => here(true),
            }
        }
        Kind::Client | Kind::ClientKey => {
            let client = registry.client(&order.id).ok_or_else(Problem::not_found)?;
            if client.client_id == operator.caller.client_id {
                return Err(own());
            }
            let Some(kid) = &order.kid else {
                return here(true);
            };
            let mut keys = client.keys.keys().iter();
            let key = keys.find(|key| key.kid() == Some(kid) || key.thumbprint() == kid);
            let thumbprint = key.ok_or_else(Problem::not_found)?.thumbprint();
            Ok((order.id.clone(), Some(thumbprint.to_owned())))
        }
        Kind::Agreement => here(registry.has_agreement(&order.id)),
        Kind::Delegation => here(registry.has_delegation(&order.id)),
        Kind::Representation => here(register::is_known(state, &order.id)),
        Kind::SigningKey => Err(invalid("kind", "signing keys have addresses of their own")),
        Kind::ProcessingAgreement | Kind::Collaboration => {
            here(registry.has_paper(order.kind, &order.id))
        }
    }
}

/// What is ordered, and why.
trait Reasoned: serde::de::DeserializeOwned {
    fn reason(&self) -> &str;
}

impl Reasoned for Order {
    fn reason(&self) -> &str {
        &self.reason
    }
}

impl Reasoned for KeyOrder {
    fn reason(&self) -> &str {
        &self.reason
    }
}

impl Reasoned for RegisterOrder {
    fn reason(&self) -> &str {
        &self.reason
    }
}

/// Reads an order: signed by the operator's registered key, for this anchor, this path and now. Gives it with its signed
/// form, which is kept. A refusal is on record.
async fn ordered<T: Reasoned>(
    state: &State,
    operator: &Operator,
    parts: &Parts,
    body: Body,
) -> Result<(T, String), Problem> {
    let read = wire::body::typed(&parts.headers, body, LONGEST_ORDER, &[JOSE]).await;
    match read.and_then(|bytes| verified(state, operator, parts.uri.path(), &bytes)) {
        Ok(order) => Ok(order),
        Err(problem) => Err(operator.failed(state, &words(parts), problem).await),
    }
}

fn verified<T: Reasoned>(
    state: &State,
    operator: &Operator,
    path: &str,
    bytes: &[u8],
) -> Result<(T, String), Problem> {
    let unsigned = || {
        invalid(
            "",
            "an order is a compact JWS for this anchor and this address, not older than 60 seconds, under the key registered for the client that sends it",
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|_| unsigned())?;
    let compact = jws::parse(text, Embedded::Refused).map_err(|_| unsigned())?;
    compact.require_typ(ORDER_TYP).map_err(|_| unsigned())?;
    let client = state.registry.client(&operator.caller.client_id);
    let keys = client.map(|client| &client.keys).ok_or_else(unsigned)?;
    let key = keys
        .find(compact.header.kid.as_deref())
        .ok_or_else(unsigned)?;
    let payload = compact.verify(key).map_err(|_| unsigned())?;
    jws::claims(payload).map_err(|_| unsigned())?;
    let said: Signed<T> = serde_json::from_slice(payload).map_err(|error| {
        // serde's own message may quote the value at fault.
        let text = format!(
            "the order is not what the contract says, at column {}",
            error.column()
        );
        Problem::invalid(IssueCode::Structure, "", text)
    })?;
    let now = operator.now.seconds();
    let fresh = now.saturating_sub(said.iat) <= FRESH_SECONDS + trust::LEEWAY_SECONDS
        && said.iat <= now.saturating_add(trust::LEEWAY_SECONDS);
    let stopped = client.is_some_and(|client| authenticate::is_stopped(state, client, Some(key)));
    if said.aud != state.config.issuer || said.path != path || !fresh || stopped {
        return Err(unsigned());
    }
    reasoned(said.order.reason())?;
    Ok((said.order, text.to_owned()))
}

async fn key_order(
    state: &State,
    ids: RequestIds,
    request: Request,
    action: Action,
) -> Result<Changes, Problem> {
    let (parts, body) = request.into_parts();
    let operator = admit(state, &parts, ids, Access::Create).await?;
    let asked = words(&parts);
    let (order, signed) = ordered::<KeyOrder>(state, &operator, &parts, body).await?;
    let now = operator.now.seconds();
    let publish = |from: Option<i64>| -> Result<Wanted, Problem> {
        let key = state.ring.make().map_err(|error| {
            tracing::error!(%error, "a new signing key could not be made");
            Problem::unavailable(5, "a new key could not be made; look at the anchor's log")
        })?;
        let kind = Kind::SigningKey;
        Ok(Wanted {
            from,
            ..Wanted::plain(Action::Publish, kind, key.kid(), &order.reason, &signed)
        })
    };
    let check = |_: &Standings| match (action, &order.kid) {
        (Action::Publish, None) if state.ring.is_changing(now) => Err(Problem::conflict(
            "a new key is published already and does not sign yet",
        )),
        (Action::Publish, None) => {
            let from = now.saturating_add(state.config.publish_key_seconds);
            Ok(vec![publish(Some(from))?])
        }
        (Action::Remove, Some(kid)) if !state.ring.has(kid) => Err(Problem::not_found()),
        (Action::Remove, Some(kid)) => {
            let signs = state.ring.signer(now).kid() == kid && !state.ring.is_changing(now);
            let mut wanted = Vec::new();
            if signs {
                wanted.push(publish(None)?);
            }
            let kind = Kind::SigningKey;
            wanted.push(Wanted::plain(
                Action::Remove,
                kind,
                kid,
                &order.reason,
                &signed,
            ));
            Ok(wanted)
        }
        _ => Err(invalid(
            "kid",
            "a removal names a key; a rotation names none",
        )),
    };
    operate::change(state, &operator, &asked, check).await
}

/// A reason stands in the list for good, so it is there, short, and holds nothing that could be a person's number.
fn reasoned(reason: &str) -> Result<(), Problem> {
    let mut run = 0;
    let number = reason.chars().any(|c| {
        run = match c {
            _ if c.is_numeric() => run + 1,
            // Numbers are written with spaces in them too.
            ' ' | '-' | '.' => run,
            _ => 0,
        };
        run >= PERSON_DIGITS
    });
    let length = reason.chars().count();
    let controls = reason.chars().any(char::is_control);
    if reason.trim().is_empty() || length > LONGEST_REASON || controls {
        return Err(invalid(
            "reason",
            "a reason of 1 to 500 characters on one line is needed",
        ));
    }
    if number {
        return Err(invalid(
            "reason",
            "a reason is never about a person, and holds no number of 11 digits",
        ));
    }
    Ok(())
}
