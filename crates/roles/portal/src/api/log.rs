//! A citizen's page of who looked: each look-up and each refusal, with a button that shuts the person out; and why
//! somebody was refused.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;

use super::visit::{Stop, Visit};
use crate::citizen;
use crate::look_up::mine::Mine;
use crate::page::{self, Log, WhyRefused};

/// `GET /log`.
pub async fn show(visit: Visit) -> Response {
    let shown = async {
        let person = visit.citizen()?;
        let state = &visit.state;
        let mine = Mine::of(state, person).await.map_err(Stop::LookUp)?;
        let (events, sources) = mine.log().await.map_err(Stop::LookUp)?;
        let missing = citizen::done(&sources, &visit.t);
        let page = Log {
            shell: visit.shell(),
            t: visit.t,
            lines: citizen::log(&events, state, &visit.t),
            missing: missing.into_iter().filter(|one| !one.done).collect(),
        };
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = shown.await;
    visit.ends(result)
}

/// `POST /why`: of the request that an entry names. By POST, so that the id stands in no address.
pub async fn why(visit: Visit, body: Body) -> Response {
    let shown = async {
        let person = visit.citizen()?;
        let form = visit.form(body).await?;
        let request = form.get("request").ok_or(Stop::Form)?;
        if uuid::Uuid::parse_str(request).is_err() {
            return Err(Stop::Form);
        }
        let state = &visit.state;
        let mine = Mine::of(state, person).await.map_err(Stop::LookUp)?;
        let (told, sources) = mine.why(request).await.map_err(Stop::LookUp)?;
        let missing = citizen::done(&sources, &visit.t).into_iter();
        let page = WhyRefused {
            shell: visit.shell(),
            t: visit.t,
            parties: citizen::why(&told, state, &visit.t),
            missing: missing.filter(|one| !one.done).collect(),
        };
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = shown.await;
    visit.ends(result)
}
