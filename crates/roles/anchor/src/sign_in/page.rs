//! The anchor's pages, in Norwegian bokmål, as askama templates (`templates/`): choosing a synthetic person, naming a
//! patient, who is signed in, and what went wrong. Everything is escaped; nothing runs in the browser.

use crate::State;
use crate::login::Login;
use crate::sign_in::browser;
use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use trust::token::Kind;

/// Somebody to sign in as.
pub(crate) struct Choice {
    /// What the form sends.
    pub(crate) value: String,
    pub(crate) name: String,
    /// What stands under the name.
    pub(crate) under: String,
}

impl Choice {
    /// Up to two first letters.
    fn initials(&self) -> String {
        let mut words = self
            .name
            .split_whitespace()
            .filter_map(|word| word.chars().next());
        let first = words.next();
        first.into_iter().chain(words.next_back()).collect()
    }
}

/// An identity provider to sign in at.
pub(crate) struct Door {
    pub(crate) name: String,
    pub(crate) href: String,
}

/// Choosing a person, or where to prove who one is.
#[derive(Template)]
#[template(path = "choose.html")]
pub(crate) struct Choose<'a> {
    /// The issuer's path, in front of our addresses.
    pub(crate) path: &'a str,
    pub(crate) demo: bool,
    /// Something that did not go well.
    pub(crate) notice: Option<String>,
    pub(crate) doors: Vec<Door>,
    /// Whom it is for: the client's organisation.
    pub(crate) organisation: &'a str,
    /// The form's own value.
    pub(crate) ticket: String,
    pub(crate) practitioners: Vec<Choice>,
    pub(crate) citizens: Vec<Choice>,
}

/// Naming the patient.
#[derive(Template)]
#[template(path = "name_patient.html")]
pub(crate) struct NamePatient<'a> {
    pub(crate) path: &'a str,
    pub(crate) demo: bool,
    /// Who signed in.
    pub(crate) name: &'a str,
    /// In whose name.
    pub(crate) organisation: &'a str,
    /// What for, in words.
    pub(crate) purpose: &'static str,
    /// The form's own value.
    pub(crate) ticket: String,
    /// Whether what was sent was no number.
    pub(crate) fault: bool,
}

/// Saying for whom.
#[derive(Template)]
#[template(path = "act_for.html")]
pub(crate) struct ActFor<'a> {
    pub(crate) path: &'a str,
    pub(crate) demo: bool,
    /// Whom it is for: the client's organisation.
    pub(crate) organisation: &'a str,
    /// The form's own value.
    pub(crate) ticket: String,
    pub(crate) choices: Vec<Choice>,
}

/// A purpose of use in words.
pub(crate) fn purpose(code: &str) -> &'static str {
    match code {
        "TREAT" => "Behandling (TREAT)",
        "ETREAT" => "Akutt behandling (ETREAT)",
        "COC" => "Samordning (COC)",
        "BTG" => "Nødrett (BTG)",
        _ => "",
    }
}

/// Who is signed in.
#[derive(Template)]
#[template(path = "signed_in.html")]
pub(crate) struct SignedIn<'a> {
    pub(crate) path: &'a str,
    pub(crate) demo: bool,
    pub(crate) name: Option<&'a str>,
    pub(crate) role: &'static str,
    pub(crate) ticket: String,
    /// Where it goes on after a sign-out that a client asked for, sealed.
    pub(crate) after: Option<String>,
}

/// Nobody is signed in any longer.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOut<'a> {
    pub(crate) path: &'a str,
    pub(crate) demo: bool,
    /// What is to be read on the way on.
    pub(crate) label: String,
    /// Where it goes on.
    pub(crate) on: Option<String>,
}

/// What went wrong.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) path: &'a str,
    pub(crate) demo: bool,
    pub(crate) title: &'static str,
    pub(crate) said: &'static str,
}

/// What the person is called.
pub(crate) fn name(login: &Login) -> &str {
    login.name.as_deref().unwrap_or("Navnet er ikke kjent")
}

/// What kind of person, in a word.
pub(crate) fn role(login: &Login) -> &'static str {
    match login.kind {
        Kind::Practitioner => "Helsepersonell",
        _ => "Innbygger",
    }
}

/// A template as an answer. `client` as for [`browser::seal`].
pub(crate) fn answer(
    state: &State,
    status: StatusCode,
    page: &impl Template,
    client: Option<&str>,
) -> Response {
    let mut response = match page.render() {
        Ok(html) => (status, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    browser::seal(state, &mut response, client);
    response
}
