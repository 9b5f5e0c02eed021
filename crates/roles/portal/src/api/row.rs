//! A patient of the list, for somebody who signed in: her page rests on a further request to the anchor, in which that patient is named
//! (decision 0053). Who is signed in there comes back without being asked.

use axum::response::{IntoResponse, Redirect, Response};

use super::launch::to_the_anchor;
use super::visit::{Stop, Visit};
use crate::launch::{Launch, Row};
use crate::session::{Key, View};

/// Tokens that end sooner are not asked for again without a word, in seconds.
const SHORTEST_SECONDS: i64 = 60;

/// Whether the anchor must still be asked about this patient.
pub fn is_to_be_opened(visit: &Visit, view: &View) -> bool {
    visit.working().is_some() && matches!(view, View::Chosen(_))
}

/// Whether a patient of the list whose tokens ended is asked for anew. Tokens that were given just now are not: a browser would go round
/// and round.
pub fn is_to_be_opened_anew(visit: &Visit, view: &View) -> bool {
    let View::Launched(opened) = view else {
        return false;
    };
    opened.service.is_some() && opened.tokens.age(visit.state.now()) >= SHORTEST_SECONDS
}

/// Away to the anchor for the patient of an address of the list, and then on to a page of ours.
pub async fn open(visit: &Visit, id: &str, on: String) -> Result<Response, Stop> {
    // Neither in somebody's frame nor as somebody's image.
    if visit.is_embedded() {
        return Err(Stop::CrossSite);
    }
    let (secret, _) = visit.signed_in()?;
    let working = visit.working().ok_or(Stop::NotFound)?;
    let patient = visit.state.sessions.row(secret, id);
    let row = Row {
        session: Key::of(secret),
        working: working.clone(),
        id: id.to_owned(),
        patient: patient.ok_or(Stop::NotFound)?,
        on,
    };
    let launch = Launch::Row(Box::new(row));
    to_the_anchor(visit, launch, |to| Redirect::to(&to).into_response()).await
}
