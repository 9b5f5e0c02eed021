//! A citizen's page of who looked: each look-up and each refusal, with a button that shuts the person out.

use axum::response::Response;
use http::StatusCode;

use super::visit::{Stop, Visit};
use crate::citizen;
use crate::look_up::mine::Mine;
use crate::page::{self, Log};

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
