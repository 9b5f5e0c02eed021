//! The pages as askama templates (`templates/`), and what all of them share. Everything is escaped by askama; the one
//! thing that is not is the chart's data, which `clinician::chart` makes safe itself.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::alert::AlertPage;
use crate::api::Fault;
use crate::citizen::{Done, LogLine, Why, WishLine};
use crate::clinician::PatientPage;
use crate::list::Shown;
use crate::may_look::Holder;
use crate::offers::Offer;
use crate::text::{Language, Text};

/// What stands around every page.
pub struct Shell {
    /// Where the language form returns to.
    pub path: String,
    /// The value that forms carry.
    pub form: String,
    /// Whether everybody here is synthetic.
    pub demo: bool,
    /// Who is signed in.
    pub who: Option<Who>,
    /// Whether that is a citizen, who has pages of her own.
    pub citizen: bool,
    /// Whether that is somebody who chooses among patients.
    pub clinician: bool,
    /// Whether she has the list of her organisation's own patients.
    pub list: bool,
}

/// The signed-in person as the page's head shows them.
pub struct Who {
    /// Name.
    pub name: String,
    /// Role and organisation.
    pub role: String,
}

/// Someone to be, or a patient to open.
pub struct Choice {
    /// What the form sends.
    pub value: String,
    /// Name.
    pub name: String,
    /// What stands under it.
    pub under: String,
    /// Chosen beforehand.
    pub chosen: bool,
}

impl Choice {
    /// Up to two first letters.
    pub fn initials(&self) -> String {
        let mut words = self
            .name
            .split_whitespace()
            .filter_map(|word| word.chars().next());
        let first = words.next();
        let last = words.next_back();
        first.into_iter().chain(last).collect()
    }
}

/// Choice of a person.
#[derive(Template)]
#[template(path = "people.html")]
pub struct People {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Health personnel who may be chosen.
    pub people: Vec<Choice>,
    /// Citizens who may be chosen.
    pub citizens: Vec<Choice>,
    /// Whether health personnel may sign in at the anchor from here.
    pub alone: bool,
    /// Whether citizens may.
    pub own: bool,
}

/// Why a patient is to be opened, before anybody signed in.
#[derive(Template)]
#[template(path = "alone.html")]
pub struct Alone {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Organisations from the catalogue.
    pub organisations: Vec<Choice>,
    /// Whether the catalogue answered.
    pub catalogue: bool,
    /// What was wrong with the last try.
    pub fault: Option<&'static str>,
}

/// On the way to a patient that a launch opened.
#[derive(Template)]
#[template(path = "opening.html")]
pub struct Opening {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// The address that the page leads on to.
    pub on: String,
}

/// What a launch said of the need.
pub struct Need {
    /// Whether a record system opened the page.
    pub by_record_system: bool,
    /// The organisation in whose name.
    pub organisation: String,
    /// Finer grounds.
    pub grounds: Option<String>,
    /// Reference of the decision.
    pub decision: String,
    /// The reason in somebody's own words.
    pub reason: Option<String>,
}

/// Choice of a patient and a purpose.
#[derive(Template)]
#[template(path = "patients.html")]
pub struct Patients {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Who may be opened.
    pub patients: Vec<Choice>,
    /// Organisations from the catalogue.
    pub organisations: Vec<Choice>,
    /// Whether the catalogue answered.
    pub catalogue: bool,
    /// What was wrong with the last try.
    pub fault: Option<&'static str>,
}

/// The list of the organisation's own patients.
#[derive(Template)]
#[template(path = "list.html")]
pub struct List {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// The list.
    pub list: Shown,
}

/// What of it changes while it is open: how many there are, the rows and the way to the others.
#[derive(Template)]
#[template(path = "update.html")]
pub struct Rows {
    /// Words.
    pub t: Text,
    /// The list.
    pub list: Shown,
}

/// One patient's alerts.
#[derive(Template)]
#[template(path = "alerts.html")]
pub struct Alerts {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// The session's address of the patient's page.
    pub id: String,
    /// Name.
    pub name: String,
    /// The number, in groups.
    pub number: String,
    /// The newest first.
    pub alerts: Vec<AlertPage>,
    /// Organisations that one may be handed over to.
    pub organisations: Vec<Choice>,
    /// Why the last step was not taken.
    pub fault: Option<Fault>,
}

/// One patient.
#[derive(Template)]
#[template(path = "patient.html")]
pub struct Patient {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Name.
    pub name: String,
    /// The number, in groups.
    pub number: String,
    /// Birth date, when a source gives it.
    pub born: Option<String>,
    /// Purpose in words.
    pub purpose: &'static str,
    /// What a launch said of the need; nothing for a patient chosen from the list.
    pub need: Option<Need>,
    /// The rest.
    pub page: PatientPage,
}

/// Something to say and a way on.
#[derive(Template)]
#[template(path = "message.html")]
pub struct Message {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Heading.
    pub title: &'static str,
    /// What happened.
    pub said: &'static str,
    /// (address, words)
    pub on: (&'static str, &'static str),
}

/// Who looked.
#[derive(Template)]
#[template(path = "log.html")]
pub struct Log {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Newest first.
    pub lines: Vec<LogLine>,
    /// Who did not tell theirs.
    pub missing: Vec<Done>,
}

/// Why somebody was refused.
#[derive(Template)]
#[template(path = "why.html")]
pub struct WhyRefused {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Each party that knows of it.
    pub parties: Vec<Why>,
    /// Who did not tell.
    pub missing: Vec<Done>,
}

/// Who may look.
#[derive(Template)]
#[template(path = "may_look.html")]
pub struct MayLook {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Each holder that told.
    pub holders: Vec<Holder>,
    /// Who acts for her.
    pub acting: Vec<String>,
    /// Who did not tell.
    pub missing: Vec<Done>,
}

/// A citizen's wishes.
#[derive(Template)]
#[template(path = "blocks.html")]
pub struct Blocks {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// What holds.
    pub wishes: Vec<WishLine>,
    /// Who did not tell theirs.
    pub missing: Vec<Done>,
    /// Kinds of information that may be closed.
    pub kinds: Vec<Choice>,
    /// Organisations that may be shut out.
    pub organisations: Vec<Choice>,
}

/// What became of a change.
#[derive(Template)]
#[template(path = "sent.html")]
pub struct Sent {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// Whether everybody did it.
    pub whole: bool,
    /// Whether something was taken back.
    pub ended: bool,
    /// What each holder did.
    pub done: Vec<Done>,
    /// Where the form goes that sends it again.
    pub to: &'static str,
    /// Its fields.
    pub again: Vec<(String, String)>,
}

/// What the catalogue lists.
#[derive(Template)]
#[template(path = "offers.html")]
pub struct Offers {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
    /// By name; `None` when the catalogue does not answer.
    pub offers: Option<Vec<Offer>>,
    /// Entries that could not be read.
    pub unreadable: usize,
}

/// The accessibility statement.
#[derive(Template)]
#[template(path = "accessibility.html")]
pub struct Accessibility {
    /// Around it.
    pub shell: Shell,
    /// Words.
    pub t: Text,
}

/// Languages for the head's form.
pub fn languages() -> [Language; 3] {
    Language::ALL
}

/// A template as an answer.
pub fn answer(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => {
            let mut response = (status, html).into_response();
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            );
            response
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
