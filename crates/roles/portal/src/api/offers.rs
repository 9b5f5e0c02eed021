//! The page for those who build and operate: what the catalogue lists. Whoever is signed in may see it; it is about nobody.

use axum::response::Response;
use http::StatusCode;

use super::visit::Visit;
use crate::look_up::catalogue;
use crate::offers;
use crate::page::{self, Offers};

/// `GET /offers`.
pub async fn show(visit: Visit) -> Response {
    let shown = async {
        visit.signed_in()?;
        let found = catalogue::everything(&visit.state).await;
        let found = found.inspect_err(|error| tracing::warn!(%error, "nothing from the catalogue"));
        let found = found.ok();
        let page = Offers {
            shell: visit.shell(),
            t: visit.t,
            unreadable: found.as_ref().map_or(0, |found| found.unreadable),
            offers: found.map(|found| offers::offers(&found.listed, &visit.state, &visit.t)),
        };
        let status = match page.offers {
            Some(_) => StatusCode::OK,
            None => StatusCode::BAD_GATEWAY,
        };
        Ok(page::answer(status, &page))
    };
    let result = shown.await;
    visit.ends(result)
}
