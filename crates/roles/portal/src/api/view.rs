//! One patient's page. Each time it is asked for, everything is looked up anew; nothing is kept between two requests. Who it is about,
//! why and with which token come from one view, whatever else the browser has open.

use std::sync::Arc;

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use wire::contract::Hidden;

use super::row;
use super::visit::{Stop, Visit};
use crate::calendar::{bare_date, person_number};
use crate::clinician;
use crate::launch::Opened;
use crate::look_up::{self, Asked, LookUp, LookUpError, token};
use crate::page::{self, Need, Patient};
use crate::session::{Chosen, View};

/// `GET /views/{id}`.
pub async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    let shown = async {
        let (secret, _) = visit.signed_in()?;
        let view = visit.state.sessions.view(secret, &id);
        let view = view.ok_or(Stop::NotFound)?;
        if row::is_to_be_opened(&visit, &view) {
            return row::open(&visit, &id, format!("/views/{id}")).await;
        }
        let page = match view {
            View::Chosen(ref view) => chosen(&visit, view).await?,
            View::Launched(ref opened) => match launched(&visit, opened).await {
                // What a record system opened, it opens again.
                Err(Stop::LookUp(LookUpError::Ended))
                    if row::is_to_be_opened_anew(&visit, &view) =>
                {
                    return row::open(&visit, &id, format!("/views/{id}")).await;
                }
                page => page?,
            },
        };
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = shown.await;
    visit.ends(result)
}

/// A patient chosen from the list.
async fn chosen(visit: &Visit, view: &Chosen) -> Result<Patient, Stop> {
    let state = &visit.state;
    let (_, visitor, person) = visit.clinician()?;
    let token = token::for_view(state, person, &visitor.key, view)
        .await
        .map_err(Stop::LookUp)?;
    let found = whole(
        look_up::look_up(
            state,
            Asked {
                key: &visitor.key,
                token: token.access_token,
                number: &view.number,
                organisations: &view.organisations,
            },
        )
        .await,
    )?;
    let about = About {
        number: &view.number,
        name: view.name.clone(),
        purpose: view.purpose.as_str(),
        organisation: &person.orgnr,
        need: None,
    };
    Ok(page(visit, &found, about))
}

/// A patient that a launch opened.
async fn launched(visit: &Visit, opened: &Arc<Opened>) -> Result<Patient, Stop> {
    let state = &visit.state;
    let party = state.party.as_ref().ok_or(Stop::NotFound)?;
    let token = opened
        .tokens
        .token(party, state.now())
        .await
        .map_err(Stop::LookUp)?;
    let found = whole(
        look_up::look_up(
            state,
            Asked {
                key: &opened.tokens.key,
                token,
                number: &opened.number,
                organisations: &opened.organisations,
            },
        )
        .await,
    )?;
    let need = Need {
        by_record_system: opened.by_record_system,
        organisation: state.name_of(&opened.organisation).to_owned(),
        grounds: opened.grounds.clone(),
        decision: opened.decision.clone(),
        reason: opened.reason.clone(),
    };
    let about = About {
        number: &opened.number,
        name: opened.patient.clone(),
        purpose: &opened.purpose,
        organisation: &opened.organisation,
        need: Some(need),
    };
    Ok(page(visit, &found, about))
}

/// All questions refused or unanswered: there is no page to show, and the reason is worth a page of its own.
fn whole(found: LookUp) -> Result<LookUp, Stop> {
    match found.failed.first() {
        Some((_, error)) if found.receipts.is_empty() => Err(Stop::LookUp(error.clone())),
        _ => Ok(found),
    }
}

/// Whom a page is about, and why.
struct About<'a> {
    number: &'a Hidden,
    /// The name to show where no source has one.
    name: Option<String>,
    purpose: &'a str,
    /// The organisation that asks.
    organisation: &'a str,
    need: Option<Need>,
}

fn page(visit: &Visit, found: &LookUp, about: About<'_>) -> Patient {
    let (state, t) = (&visit.state, visit.t);
    let named = found.person.name.clone().or(about.name);
    Patient {
        shell: visit.shell(),
        t,
        name: named.unwrap_or_else(|| t.of("launch.no_name").to_owned()),
        number: person_number(about.number.expose()),
        born: found.person.birth_date.as_deref().map(bare_date),
        purpose: match about.purpose {
            "ETREAT" => t.of("purpose.etreat"),
            "COC" => t.of("purpose.coc"),
            "BTG" => t.of("purpose.btg"),
            _ => t.of("purpose.treat"),
        },
        need: about.need,
        page: clinician::page(
            found,
            state.sources(about.organisation),
            &state.calendar,
            &t,
        ),
    }
}
