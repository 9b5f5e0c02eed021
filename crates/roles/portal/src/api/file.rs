//! Files of the bundle (`web/dist`). Their names never change, so they are asked for again each time, by ETag.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::Assets;

/// `GET /assets/{name}`.
pub async fn give(assets: Assets, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = assets(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let hash = hmac_sha256::Hash::hash(&asset.bytes);
    let tag: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|own| own.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.bytes.into_response()
    };
    let own = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, &asset.content_type),
        (header::ETAG, &tag),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            own.insert(name, value);
        }
    }
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
