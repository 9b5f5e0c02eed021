//! What travels with a browser and is ours: sealed by the store (AES-GCM), so that nobody else reads, makes or changes it. The ticket of our
//! forms, and whatever else comes back from a way that we sent a browser on.

use crate::State;
use crate::api::authorize::Halt;
use crate::login::Login;
use crate::sign_in::{PAGE_SECONDS, browser};
use http::HeaderMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use trust::encoding::sha256_base64url;
use wire::form::Form;

/// What a form of our pages brings back: which request it is for, at which browser, until when.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ticket {
    /// The secret of the request; empty where it is for none.
    pub(crate) request: String,
    /// Hash of the browser's cookie.
    pub(crate) browser: String,
    /// Unix seconds.
    pub(crate) until: i64,
    /// Who signed in, for the page on which the patient is named.
    #[serde(default)]
    pub(crate) login: Option<Login>,
}

impl Ticket {
    /// For a page that is shown now, at the browser whose cookie has the value `cookie`.
    pub(crate) fn of(state: &State, request: &str, cookie: &str, login: Option<Login>) -> Ticket {
        Ticket {
            request: request.to_owned(),
            browser: sha256_base64url(cookie.as_bytes()),
            until: (state.house.clock)().seconds() + PAGE_SECONDS,
            login,
        }
    }

    /// The form's own value, made by us for this browser; and the browser's cookie.
    pub(crate) fn in_form<'a>(
        state: &State,
        headers: &'a HeaderMap,
        form: &Form,
    ) -> Result<(Ticket, &'a str), Halt> {
        let ticket: Ticket = unseal(state, form.get("ticket").ok_or(Halt::Malformed)?)?;
        let cookie = browser::secret(state, headers).ok_or(Halt::Foreign)?;
        if ticket.browser != sha256_base64url(cookie.as_bytes()) {
            return Err(Halt::Foreign);
        }
        if (state.house.clock)().seconds() > ticket.until {
            return Err(Halt::Gone);
        }
        Ok((ticket, cookie))
    }
}

/// Seals what is to come back.
pub(crate) fn seal(state: &State, value: &impl Serialize) -> Result<String, Halt> {
    let plain = serde_json::to_vec(value).map_err(|_| Halt::Unavailable)?;
    Ok(state.store.seal(&plain)?)
}

/// What came back, if it is ours and of this kind.
pub(crate) fn unseal<T: DeserializeOwned>(state: &State, sealed: &str) -> Result<T, Halt> {
    let plain = state.store.unseal(sealed).ok_or(Halt::Malformed)?;
    serde_json::from_slice(&plain).map_err(|_| Halt::Malformed)
}

/// The parameters of an address, each once.
pub(crate) fn parameters(query: Option<&str>) -> Result<Form, Halt> {
    Form::parse(query.unwrap_or_default().as_bytes())
        .and_then(Form::once)
        .map_err(|_| Halt::Malformed)
}
