//! A citizen's page of who may look, at each holder, as the rules stand now; beside the page of who did.

use axum::response::Response;
use http::StatusCode;

use super::visit::{Stop, Visit};
use crate::look_up::mine::Mine;
use crate::page::{self, MayLook};
use crate::{citizen, may_look};

/// `GET /may-look`.
pub async fn show(visit: Visit) -> Response {
    let shown = async {
        let person = visit.citizen()?;
        let (state, t) = (&visit.state, &visit.t);
        let mine = Mine::of(state, person).await.map_err(Stop::LookUp)?;
        let (told, sources) = mine.may_look().await.map_err(Stop::LookUp)?;
        let missing = citizen::done(&sources, t).into_iter();
        let page = MayLook {
            shell: visit.shell(),
            t: visit.t,
            holders: may_look::holders(&told.holders, state, t),
            acting: may_look::acting(&told.representatives, t),
            missing: missing.filter(|one| !one.done).collect(),
        };
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = shown.await;
    visit.ends(result)
}
