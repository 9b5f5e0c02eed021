//! What an operation is asked, read from a request: a Parameters resource, a form, or nothing (`fhir::operation`).

use crate::outcome::Problem;
use axum::body::Body;
use fhir::json::{Json, Limits};
use fhir::operation::{Input, flat};
use http::HeaderMap;
use http::header;

/// Largest Parameters resource that holds no resource itself.
const BYTES: usize = 64 * 1024;

/// Reads a body: `application/x-www-form-urlencoded`, FHIR JSON holding Parameters, or nothing at all.
///
/// # Errors
/// 400, 413 or 415.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Input, Problem> {
    if !headers.contains_key(header::CONTENT_TYPE) {
        let bytes = crate::body::limited(headers, body, BYTES)
            .await
            .map_err(|_| Problem::too_large(BYTES))?;
        return if bytes.is_empty() {
            Ok(Input::new())
        } else {
            Err(Problem::unsupported_media_type(
                "application/fhir+json or application/x-www-form-urlencoded",
            ))
        };
    }
    if crate::body::media_type_is(headers, &["application/x-www-form-urlencoded"]) {
        return Ok(crate::form::read(headers, body).await?.0);
    }
    let bytes = crate::body::fhir_json(headers, body, BYTES).await?;
    if bytes.is_empty() {
        return Ok(Input::new());
    }
    let json = Json::parse(bytes, Limits::RESOURCE)?;
    flat(json.root()).map_err(Problem::invalid_all)
}
