//! The portal's bundled pages, styles and scripts, embedded in the binary. `cargo xtask pages` makes them.

use std::sync::Arc;

#[derive(rust_embed::RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Bundle;

/// Looks up a bundled file by its path under `/assets/`.
pub fn lookup() -> portal::Assets {
    Arc::new(|path: &str| {
        let file = Bundle::get(path)?;
        Some(portal::Asset {
            bytes: bytes::Bytes::from(file.data.into_owned()),
            content_type: file.metadata.mimetype().to_owned(),
        })
    })
}
