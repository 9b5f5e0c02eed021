//! The language switch, and the accessibility statement that every page links to.

use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use super::people::with_cookie;
use super::visit::{Stop, Visit};
use crate::page::{self, Accessibility};
use crate::session;
use crate::text::Language;

/// `POST /language`: remembers the choice in a cookie of its own and goes back to the page.
pub async fn choose(visit: Visit, body: Body) -> Response {
    let chosen = async {
        let form = visit.start_form(body).await?;
        let language = form
            .get("language")
            .and_then(Language::parse)
            .ok_or(Stop::Form)?;
        let back = form
            .get("back")
            .filter(|back| is_own_path(back))
            .unwrap_or("/");
        Ok(with_cookie(
            Redirect::to(back).into_response(),
            &session::set_language_cookie(visit.state.https, language),
        ))
    };
    let result = chosen.await;
    visit.ends(result)
}

/// A path of ours: one slash at the start, then letters, digits and single slashes.
fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/')
}

/// `GET /accessibility`.
pub async fn accessibility(visit: Visit) -> Response {
    page::answer(
        StatusCode::OK,
        &Accessibility {
            shell: visit.shell(),
            t: visit.t,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::is_own_path;

    #[test]
    fn the_way_back_leads_to_ourselves() {
        for path in ["/", "/patients", "/views/0a1b"] {
            assert!(is_own_path(path), "{path}");
        }
        for path in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a?b",
            "/%2f",
            "/a//b",
            "evil",
        ] {
            assert!(!is_own_path(path), "{path}");
        }
    }
}
