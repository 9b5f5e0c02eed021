//! Opening a patient without a record system (SMART App Launch 2.2, "standalone launch"): the user says why here, signs in and names the
//! patient at the anchor, or asks for the list of the organisation's own; for those alone whom the portal's organisation registered. And a
//! citizen's sign-in, about herself.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;

use super::launch::to_the_anchor;
use super::patients::{organisations, stated};
use super::visit::{Stop, Visit};
use crate::launch::{Fault, Launch};
use crate::look_up::own;
use crate::page::{self, Alone};

/// `GET /sign-in`: why.
pub async fn show(visit: Visit) -> Response {
    let result = form(&visit, None).await;
    visit.ends(result)
}

async fn form(visit: &Visit, fault: Option<&'static str>) -> Result<Response, Stop> {
    if visit.state.config.staff.is_empty() {
        return Err(Stop::NotFound);
    }
    let organisations = organisations(visit).await;
    let page = Alone {
        shell: visit.shell(),
        t: visit.t,
        catalogue: organisations.is_some(),
        organisations: organisations.unwrap_or_default(),
        fault,
    };
    let status = match fault {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    Ok(page::answer(status, &page))
}

/// `POST /sign-in`: away to the anchor. The answer is a page that leads on, not a redirect: our forms lead to our own pages only.
pub async fn begin(visit: Visit, body: Body) -> Response {
    let begun = async {
        let mut sent = visit.start_form(body).await?;
        if visit.state.config.staff.is_empty() {
            return Err(Stop::NotFound);
        }
        let Some(stated) = stated(&mut sent)? else {
            return form(&visit, Some(visit.t.of("patients.fault_reason"))).await;
        };
        let launch = Launch::Alone {
            purpose: stated.purpose,
            reason: stated.reason.as_deref(),
            organisations: stated.organisations,
        };
        to_the_anchor(&visit, launch, |on| visit.leads_on(on)).await
    };
    let result = begun.await;
    visit.ends(result)
}

/// `POST /sign-in/list`: away to the anchor, for the list of the organisation's own patients.
pub async fn list(visit: Visit, body: Body) -> Response {
    let begun = async {
        visit.start_form(body).await?;
        let state = &visit.state;
        if state.config.staff.is_empty() {
            return Err(Stop::NotFound);
        }
        let party = state.party.as_ref().ok_or(Stop::Launch(Fault::Anchor))?;
        let service = own::service(state, party.organisation()).await;
        let launch = Launch::List(service.map_err(Stop::LookUp)?);
        to_the_anchor(&visit, launch, |on| visit.leads_on(on)).await
    };
    let result = begun.await;
    visit.ends(result)
}

/// `POST /sign-in/citizen`: away to the anchor, as a citizen about herself.
pub async fn citizen(visit: Visit, body: Body) -> Response {
    let begun = async {
        visit.start_form(body).await?;
        if !visit.state.config.citizens {
            return Err(Stop::NotFound);
        }
        to_the_anchor(&visit, Launch::Citizen, |on| visit.leads_on(on)).await
    };
    let result = begun.await;
    visit.ends(result)
}
