//! `GET /authorize` (RFC 6749 section 4.1.1, RFC 9126 section 4): the browser comes with a pushed request. Somebody who is
//! signed in gets a code at once; everybody else gets the sign-in page, or with `prompt=none` an error. Nothing in the
//! address counts but `client_id` and `request_uri`, and only the registered redirect URI of a pushed request is ever
//! redirected to; every response there carries `iss` (RFC 9207).

use super::authorization_code::{Code, KEPT_SECONDS, LIFETIME_SECONDS};
use super::{refresh_token, upstream};
use crate::config::{Client, Demo};
use crate::kept::{self, Ledger, Place};
use crate::login::Login;
use crate::request::Pushed;
use crate::sign_in::browser;
use crate::sign_in::page::{self, Choice, Choose, Door, Message, NamePatient};
use crate::sign_in::ticket::{Ticket, parameters, seal};
use crate::upstream::Provider;
use crate::{State, issue};
use axum::extract::{self, RawQuery};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;
use store::{Change, Expect, StoreError};
use trust::token::Kind;
use url::Url;
use wire::contract::anchor::{REQUEST_URI, SIGN_IN_AT};
use wire::oauth_error::OAuthCode;
use wire::request_id::RequestIds;

/// A pushed request that stands, where it stands, and whose it is.
pub(crate) struct Standing<'a> {
    pub(crate) request: Pushed,
    /// The secret that it was found by.
    pub(crate) secret: String,
    pub(crate) place: Place,
    pub(crate) version: u64,
    pub(crate) client: &'a Client,
}

/// Why a browser gets a page of ours and no redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The address or form is not one of ours.
    Malformed,
    /// The request is unknown, another client's, too late, or answered already.
    Gone,
    /// From another site, or another browser.
    Foreign,
    /// Not the chosen identity provider's answer, or to another browser's question.
    Stranger,
    /// The store does not write now.
    Unavailable,
}

impl Halt {
    pub(crate) fn answer(self, state: &State) -> Response {
        let (status, title, said) = match self {
            Halt::Malformed => (
                StatusCode::BAD_REQUEST,
                "Adressen er ikke fullstendig",
                "Innlogging begynner i systemet du vil bruke. Gå tilbake dit og prøv igjen.",
            ),
            Halt::Gone => (
                StatusCode::BAD_REQUEST,
                "Innloggingen er brukt eller utløpt",
                "En innlogging gjelder i kort tid og bare én gang. Gå tilbake til systemet du kom fra og prøv igjen.",
            ),
            Halt::Foreign => (
                StatusCode::FORBIDDEN,
                "Skjemaet kom ikke herfra",
                "Det ble ikke sendt fra vår side i denne nettleseren. Gå tilbake til systemet du kom fra og prøv igjen.",
            ),
            Halt::Stranger => (
                StatusCode::FORBIDDEN,
                "Svaret hører ikke til denne innloggingen",
                "Det kom ikke fra innloggingstjenesten du valgte, eller ikke til denne nettleseren. Gå tilbake til systemet du kom fra og prøv igjen.",
            ),
            Halt::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Innlogging er ikke tilgjengelig nå",
                "Prøv igjen om litt.",
            ),
        };
        let page = Message {
            path: &state.path,
            demo: state.config.demo.is_some(),
            title,
            said,
        };
        page::answer(state, status, &page, None)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        tracing::error!(%error, "a sign-in could not be read or recorded");
        Halt::Unavailable
    }
}

/// The authorization endpoint.
pub(crate) async fn authorize(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match answer(&state, &ids, query.as_deref(), &headers).await {
        Ok(response) => response,
        Err(halt) => halt.answer(&state),
    }
}

async fn answer(
    state: &State,
    ids: &RequestIds,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Halt> {
    let form = parameters(query)?;
    let client_id = form.get("client_id").ok_or(Halt::Malformed)?;
    let secret = form
        .get("request_uri")
        .and_then(|uri| uri.strip_prefix(REQUEST_URI))
        .ok_or(Halt::Malformed)?;
    let standing = standing(state, secret).await?;
    let now = (state.house.clock)().seconds();
    if standing.request.client_id != client_id || now > standing.request.until {
        return Err(Halt::Gone);
    }
    let request = &standing.request;
    let cookie = browser::secret(state, headers);
    let session = cookie.and_then(|secret| state.sessions.visitor(secret, now));
    let session = session.filter(|login| {
        !request.login
            && request.is_answered_by(login)
            && request
                .max_age
                .is_none_or(|oldest| now - login.at <= oldest)
    });
    if let Some(login) = session {
        return complete(state, ids, standing, login, cookie.unwrap_or_default()).await;
    }
    if request.silent {
        return refuse(
            state,
            ids,
            standing,
            None,
            OAuthCode::LoginRequired,
            "nobody is signed in",
        )
        .await;
    }
    let fresh = cookie.is_none().then(|| browser::new_secret(state));
    let browser = cookie.or(fresh.as_deref()).unwrap_or_default();
    let ticket = Ticket::of(state, secret, browser, None);
    let demo = state.config.demo.is_some();
    let mut response = match state.providers.for_request(&standing.request).as_slice() {
        [] if !demo => {
            let words = "nobody whom these scopes are for can sign in here";
            return refuse(state, ids, standing, None, OAuthCode::AccessDenied, words).await;
        }
        [only] if !demo => upstream::begin(state, &standing, only, &ticket).await?,
        _ => choose(state, &standing, &ticket, StatusCode::OK, None)?,
    };
    if let Some(fresh) = fresh {
        browser::set_secret(state, &mut response, Some(&fresh));
    }
    Ok(response)
}

/// The pushed request behind a secret.
pub(crate) async fn standing<'a>(state: &'a State, secret: &str) -> Result<Standing<'a>, Halt> {
    let place = kept::place_of(Ledger::Pushed, secret).ok_or(Halt::Gone)?;
    let (request, version) = kept::get::<Pushed>(state, &place)
        .await?
        .ok_or(Halt::Gone)?;
    // A client that is registered no longer gets no answer either.
    let client = state
        .registry
        .client(&request.client_id)
        .filter(|client| client.redirect_uris.contains(&request.redirect_uri))
        .ok_or(Halt::Gone)?;
    Ok(Standing {
        request,
        secret: secret.to_owned(),
        place,
        version,
        client,
    })
}

/// The page to choose on: an identity provider, in the demo a person. `notice` says what did not go well.
pub(crate) fn choose(
    state: &State,
    standing: &Standing<'_>,
    ticket: &Ticket,
    status: StatusCode,
    notice: Option<String>,
) -> Result<Response, Halt> {
    let nobody = Demo::default();
    let demo = state.config.demo.as_ref().unwrap_or(&nobody);
    let name_of = |number: &fhir::ids::PersonIdentifier| {
        demo.people
            .iter()
            .find(|person| person.number == *number)
            .map_or("en annen", |person| person.name.as_str())
    };
    let (mut practitioners, mut citizens) = (Vec::new(), Vec::new());
    for (index, person) in demo.people.iter().enumerate() {
        let login = Login::of(state, person, None);
        if !standing.request.is_for(login.kind) {
            continue;
        }
        if login.kind == Kind::Practitioner {
            practitioners.push(Choice {
                value: index.to_string(),
                name: person.name.clone(),
                under: person
                    .authorization
                    .as_ref()
                    .map_or_else(String::new, |(_, words)| words.clone()),
            });
            continue;
        }
        citizens.push(Choice {
            value: index.to_string(),
            name: person.name.clone(),
            under: "På egne vegne".to_owned(),
        });
        for (at, one) in demo
            .represents
            .iter()
            .enumerate()
            .filter(|(_, one)| one.citizen == person.number)
        {
            citizens.push(Choice {
                value: format!("{index}.{at}"),
                name: person.name.clone(),
                under: format!("På vegne av {}", name_of(&one.patient)),
            });
        }
    }
    let register = &state.registry.organisations;
    let ticket = seal(state, ticket)?;
    let query = wire::form::write([("ticket", ticket.as_str())]);
    let door = |provider: &Provider| Door {
        name: provider.config.name.clone(),
        href: format!(
            "{}{}?{query}",
            state.path,
            SIGN_IN_AT.replace("{provider}", &provider.config.id)
        ),
    };
    let doors = state.providers.for_request(&standing.request);
    let page = Choose {
        path: &state.path,
        demo: state.config.demo.is_some(),
        notice,
        doors: doors.into_iter().map(door).collect(),
        organisation: register
            .name(&standing.request.organisation(standing.client))
            .unwrap_or(&standing.client.client_id),
        ticket,
        practitioners,
        citizens,
    };
    let origin = origin(&standing.request)?;
    Ok(page::answer(state, status, &page, Some(&origin)))
}

/// The page on which health personnel names the patient. `browser` is the value of the cookie that the browser has with it.
pub(crate) fn name_patient(
    state: &State,
    standing: &Standing<'_>,
    login: Login,
    browser: &str,
    fault: bool,
) -> Result<Response, Halt> {
    let name = login.name.clone().unwrap_or_default();
    let ticket = Ticket::of(state, &standing.secret, browser, Some(login));
    let organisation = standing.request.organisation(standing.client);
    let purpose = standing.request.statement.as_ref();
    let purpose = purpose.and_then(|one| one.care_relationship.purpose_of_use.as_ref());
    let page = NamePatient {
        path: &state.path,
        demo: state.config.demo.is_some(),
        name: &name,
        organisation: state
            .registry
            .organisations
            .name(&organisation)
            .unwrap_or(&standing.client.client_id),
        purpose: purpose.map_or("", |code| page::purpose(&code.code)),
        ticket: seal(state, &ticket)?,
        fault,
    };
    let status = match fault {
        true => StatusCode::UNPROCESSABLE_ENTITY,
        false => StatusCode::OK,
    };
    let origin = origin(&standing.request)?;
    Ok(page::answer(state, status, &page, Some(&origin)))
}

/// The origin that an answer leads to.
pub(super) fn origin(request: &Pushed) -> Result<String, Halt> {
    Url::parse(&request.redirect_uri)
        .map(|url| url.origin().ascii_serialization())
        .map_err(|_| Halt::Gone)
}

/// Answers the request with a code, once; where the patient is still to be named, with the page for that. `browser` is the value of
/// the cookie that the browser has with the answer.
pub(crate) async fn complete(
    state: &State,
    ids: &RequestIds,
    standing: Standing<'_>,
    login: Login,
    browser: &str,
) -> Result<Response, Halt> {
    let statement = standing.request.statement.clone();
    let organisation = standing.request.organisation(standing.client);
    if let Some(Err(words)) = statement.map(|one| login.attest(state, &organisation, one)) {
        return refuse(
            state,
            ids,
            standing,
            Some(login),
            OAuthCode::AccessDenied,
            &words,
        )
        .await;
    }
    if standing.request.leaves_patient_open() {
        if standing.request.silent {
            let (code, words) = (OAuthCode::LoginRequired, "the patient must be named");
            return refuse(state, ids, standing, Some(login), code, words).await;
        }
        return name_patient(state, &standing, login, browser, false);
    }
    let Standing {
        request,
        place,
        version,
        client,
        ..
    } = standing;
    let now = (state.house.clock)().seconds();
    let grant = kept::new_grant(state, refresh_token::until(&login));
    let (secret, at) = kept::secret(state, Ledger::Code, now + KEPT_SECONDS);
    let mut record = issue::record(state, ids, client, "authorize");
    record.person = Some(login.asker());
    let to = response_uri(state, &request, &[("code", &secret)])?;
    let code = Code {
        request,
        login,
        until: now + LIFETIME_SECONDS,
        grant: kept::grant_name(&grant),
        used: false,
    };
    let made = kept::put(state, &at, &code, Expect::Absent).map_err(|_| Halt::Unavailable)?;
    let change = Change {
        audit: Some(record),
        ledger: vec![kept::end(&place, Expect::Version(version)), made],
        ..Change::default()
    };
    redirect(state, change, &to).await
}

/// Answers the request with an error, once.
pub(crate) async fn refuse(
    state: &State,
    ids: &RequestIds,
    standing: Standing<'_>,
    login: Option<Login>,
    code: OAuthCode,
    words: &str,
) -> Result<Response, Halt> {
    let mut record = issue::record(state, ids, standing.client, "authorize");
    record.person = login.map(|login| login.asker());
    record.outcome = issue::refused("authorize", code);
    let parameters = [("error", code.as_str()), ("error_description", words)];
    let to = response_uri(state, &standing.request, &parameters)?;
    let change = Change {
        audit: Some(record),
        ledger: vec![kept::end(
            &standing.place,
            Expect::Version(standing.version),
        )],
        ..Change::default()
    };
    redirect(state, change, &to).await
}

fn response_uri(
    state: &State,
    request: &Pushed,
    parameters: &[(&str, &str)],
) -> Result<String, Halt> {
    let mut url = Url::parse(&request.redirect_uri).map_err(|_| Halt::Gone)?;
    {
        let mut pairs = url.query_pairs_mut();
        pairs.extend_pairs(parameters);
        if let Some(sent) = &request.state {
            pairs.append_pair("state", sent);
        }
        pairs.append_pair("iss", &state.config.issuer);
    }
    Ok(url.into())
}

/// Durable first, then to the client. Of two at once, one wins.
async fn redirect(state: &State, change: Change, to: &str) -> Result<Response, Halt> {
    match state.store.commit(change).await {
        Ok(_) => {}
        Err(StoreError::LedgerMismatch { .. }) => return Err(Halt::Gone),
        Err(error) => return Err(error.into()),
    }
    see_other(state, to)
}

/// A redirect that a browser follows with GET.
pub(crate) fn see_other(state: &State, to: &str) -> Result<Response, Halt> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let to = HeaderValue::from_str(to).map_err(|_| Halt::Malformed)?;
    response.headers_mut().insert(header::LOCATION, to);
    browser::seal(state, &mut response, None);
    Ok(response)
}
