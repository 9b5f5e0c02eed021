//! The list of the organisation's own patients under follow-up. The page is whole by itself; a script asks for its rows again while it
//! is open, which keeps nobody signed in.

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use wire::contract::Hidden;
use wire::contract::work_list::{Row, TAG, WorkList};
use wire::form::Form;

use super::visit::{Stop, Visit, at_own_service};
use crate::State;
use crate::list::{self, Shown};
use crate::look_up::own::{Own, ROWS};
use crate::page::{self, List, Rows};

/// Longest list of tags: its own and those of the rows of a page.
const TAGS: usize = (ROWS + 1) * (TAG + 1);

/// What the address asks for.
struct Asked {
    from: usize,
    known: Option<String>,
}

fn asked(query: Option<&str>) -> Result<Asked, Stop> {
    let form = Form::parse(query.unwrap_or_default().as_bytes())
        .and_then(Form::once)
        .map_err(|_| Stop::NotFound)?;
    let from = form.get("from").map(str::parse).transpose();
    let known = form.get("known");
    let known = known.filter(|tags| !tags.is_empty() && tags.len() <= TAGS);
    Ok(Asked {
        from: from.map_err(|_| Stop::NotFound)?.unwrap_or(0),
        known: known.map(str::to_owned),
    })
}

/// The name that the service knows, or that the demo's people have.
fn name(state: &State, row: &Row) -> Option<String> {
    let number = row.patient.value().expose();
    let mut known = state.patients().iter();
    let known = known.find(|one| one.fnr.expose() == number);
    let named = known.map(|one| one.name.expose().to_owned());
    row.name.clone().or(named)
}

async fn list(visit: &Visit, asked: &Asked) -> Result<WorkList, Stop> {
    let (_, by) = visit.personnel()?;
    let own = Own::of(&visit.state, by).await.map_err(at_own_service)?;
    let found = own.list(asked.from, asked.known.as_deref()).await;
    let mut found = found.map_err(at_own_service)?;
    for row in &mut found.rows {
        row.name = name(&visit.state, row);
    }
    Ok(found)
}

fn shown(visit: &Visit, found: &WorkList) -> Result<Shown, Stop> {
    let (secret, _) = visit.personnel()?;
    let state = &visit.state;
    let rows = found.rows.iter();
    let patients = rows.map(|row| (Hidden::from(row.patient.value().expose()), row.name.clone()));
    let addresses = state.sessions.list(secret, patients, &*state.house.ids);
    let addresses = addresses.ok_or(Stop::SignedOut)?;
    Ok(list::shown(found, addresses, state, &visit.t))
}

/// `GET /list`.
pub async fn show(visit: Visit, RawQuery(query): RawQuery) -> Response {
    let result = async {
        let asked = asked(query.as_deref())?;
        let found = list(
            &visit,
            &Asked {
                known: None,
                ..asked
            },
        )
        .await?;
        let page = List {
            shell: visit.shell(),
            t: visit.t,
            list: shown(&visit, &found)?,
        };
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = result.await;
    visit.ends(result)
}

/// `GET /list/rows`: the rows alone, of those that the page has their places; 204 where nothing has changed.
pub async fn rows(visit: Visit, RawQuery(query): RawQuery) -> Response {
    let result = async {
        let asked = asked(query.as_deref())?;
        let found = list(&visit, &asked).await?;
        if found.same {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let rows = Rows {
            t: visit.t,
            list: shown(&visit, &found)?,
        };
        let mut response = page::answer(StatusCode::OK, &rows);
        let vary = HeaderValue::from_static("cookie");
        response.headers_mut().insert(header::VARY, vary);
        Ok(response)
    };
    let result = result.await;
    visit.ends(result)
}
