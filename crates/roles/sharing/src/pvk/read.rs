//! The active settings of one definition, read from Personvernkomponenten page by page to the end.

use super::{Definition, Fault, Pvk};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use std::collections::{BTreeSet, HashSet};
use trust::wish::Closed;
use wire::client::{Party, PeerError, Request};
use wire::contract::pvk::{
    ACCESS_LIMITATION, ACTIVE, ActivePage, DEFINITION, FIRST_PAGE, PAGE, PART, RESERVATION,
};

/// Largest page, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Most pages of one definition.
const MOST_PAGES: usize = 10_000;
/// Most citizens of one definition.
const MOST_CITIZENS: usize = 1_000_000;

/// Who has the setting, as far as could be read, and whether that is all of them.
pub(super) struct Active {
    pub(super) citizens: BTreeSet<PersonIdentifier>,
    pub(super) whole: Result<(), Fault>,
}

pub(super) async fn active(
    source: &Pvk,
    party: &Party,
    numbers: PersonNumbers,
    definition: &Definition,
) -> Active {
    let mut citizens = BTreeSet::new();
    let whole = all(source, party, numbers, definition, &mut citizens).await;
    Active { citizens, whole }
}

async fn all(
    source: &Pvk,
    party: &Party,
    numbers: PersonNumbers,
    definition: &Definition,
    citizens: &mut BTreeSet<PersonIdentifier>,
) -> Result<(), Fault> {
    let mut page = FIRST_PAGE.to_owned();
    let mut seen = HashSet::new();
    let mut unread = false;
    for _ in 0..MOST_PAGES {
        if !seen.insert(page.clone()) {
            return Err(Fault::Shape("its pages go in a circle"));
        }
        let got = one(source, party, definition, &page).await?;
        for setting in &got.personvern_innstillinger {
            match PersonIdentifier::guess(setting.innbygger_fnr.expose(), numbers) {
                Ok(person) => drop(citizens.insert(person)),
                Err(_) => unread = true,
            }
        }
        if citizens.len() > MOST_CITIZENS {
            return Err(Fault::Shape("it tells of more citizens than there can be"));
        }
        page = got.paging_reference.as_text();
        if page == FIRST_PAGE {
            // Whose setting it is cannot be told: the others count, and the copy is not whole.
            return match unread {
                true => Err(Fault::Shape("it names a citizen by no number that is one")),
                false => Ok(()),
            };
        }
    }
    Err(Fault::Shape("its pages do not end"))
}

async fn one(
    source: &Pvk,
    party: &Party,
    definition: &Definition,
    page: &str,
) -> Result<ActivePage, Fault> {
    let id = definition.id.to_string();
    let query = wire::form::write([
        (DEFINITION, id.as_str()),
        (PART, source.part.as_str()),
        (PAGE, page),
    ]);
    let url = format!("{}{ACTIVE}?{query}", source.url);
    let request = Request::get(url).answer_bytes(PAGE_BYTES);
    let answer = party.send(&source.audience, &source.scope, request).await?;
    if !answer.status.is_success() {
        return Err(PeerError::Status(answer.status.as_u16()).into());
    }
    let got: ActivePage = trust::json::read(&answer.body)
        .map_err(|_| Fault::Shape("a page is not what is published"))?;
    let kind = match definition.closed {
        Closed::Sharing => RESERVATION,
        _ => ACCESS_LIMITATION,
    };
    if !got.definisjon_guid.eq_ignore_ascii_case(&id)
        || got.part_kode != source.part
        || got.type_pi != kind
    {
        return Err(Fault::Shape(
            "a page is about another definition, party or kind of setting",
        ));
    }
    Ok(got)
}
