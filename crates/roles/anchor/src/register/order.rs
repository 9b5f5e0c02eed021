//! An order to register something: checked as a whole with everything that is there, made durable as one more entry of the
//! list of changes, and in force from the next request on.

use super::document::{Document, organisation};
use super::{keys_of, merge, merged, representation};
use crate::State;
use crate::operate::{self, Operator, Standings, Wanted};
use crate::registry::Registry;
use fhir::outcome::IssueCode;
use std::sync::{Arc, PoisonError};
use trust::jws;
use wire::contract::operate::{Action, Changes, Kind, RegisterOrder, Standing};
use wire::contract::register::{DOCUMENT_TYP, ENTRY_TYP, Entry, LONGEST_DOCUMENT, MOST_SIGNATURES};
use wire::outcome::Problem;

/// As many digits in a row may be a person's number.
const PERSON_DIGITS: usize = 11;
/// Longest id, in characters.
const LONGEST_ID: usize = 100;

fn invalid(expression: &str, text: impl Into<String>) -> Problem {
    Problem::invalid(IssueCode::Value, expression, text)
}

/// Registers a document, or the signatures that were missing on it.
pub(crate) async fn register(
    state: &Arc<State>,
    operator: &Operator,
    asked: &str,
    order: RegisterOrder,
    signed: String,
) -> Result<Changes, Problem> {
    let document = match readable(&order) {
        Ok(document) => document,
        Err(problem) => return Err(operator.failed(state, asked, problem).await),
    };
    let asked = format!("{asked} {:?} {}", order.kind, document.id());
    let next = std::sync::Mutex::new(None);
    let kept = || next.lock().unwrap_or_else(PoisonError::into_inner);
    let check = |standings: &Standings| {
        // Under the list's lock: what is newest now stays so until this is durable.
        let now = state.latest();
        let (wanted, following) = admitted(&now, operator, standings, &order, &document, signed)?;
        *kept() = Some(following);
        Ok(vec![wanted])
    };
    operate::change_and(state, operator, &asked, check, || {
        if let Some(next) = kept().take() {
            state.publish(next);
        }
    })
    .await
}

/// What can be read without looking at the register.
fn readable(order: &RegisterOrder) -> Result<Document, Problem> {
    if order.document.len() > LONGEST_DOCUMENT {
        return Err(Problem::too_large(LONGEST_DOCUMENT));
    }
    if order.signatures.len() > MOST_SIGNATURES {
        return Err(invalid("signatures", "more than 32 signatures"));
    }
    let names_a_person = |text: &str| {
        let mut run = 0;
        text.bytes().any(|b| {
            run = if b.is_ascii_digit() { run + 1 } else { 0 };
            run == PERSON_DIGITS
        })
    };
    let about_people = order.kind == Kind::Representation;
    if !about_people && names_a_person(&order.document) {
        return Err(invalid(
            "document",
            "a document is never about a person, and holds no number of 11 digits",
        ));
    }
    let document =
        Document::parse(order.kind, &order.document).map_err(|text| invalid("document", text))?;
    let id = document.id();
    if names_a_person(id) {
        return Err(invalid("document", "an id is nobody's number"));
    }
    if about_people && !order.signatures.is_empty() {
        return Err(invalid(
            "signatures",
            "a representation is the operator's word; nobody else signs it here",
        ));
    }
    let named = !id.is_empty()
        && id.chars().count() <= LONGEST_ID
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b));
    match named {
        true => Ok(document),
        false => Err(invalid(
            "document",
            "an id is 1 to 100 letters, digits and -_.:/",
        )),
    }
}

/// Whether the order can be carried out as things stand; what it writes, and the register that follows.
fn admitted(
    state: &State,
    operator: &Operator,
    standings: &Standings,
    order: &RegisterOrder,
    document: &Document,
    signed: String,
) -> Result<(Wanted, State), Problem> {
    let (kind, id) = (order.kind, document.id());
    if standings.of(kind, id, None).state == Standing::Ended {
        return Err(Problem::conflict(
            "it is ended, for good; register a new one",
        ));
    }
    let version = merge::version(&state.base, standings, kind, id);
    if order.expect != version {
        return Err(Problem::precondition_failed(format!(
            "the order expects version {} and it is {version}: somebody else changed it, or it is not what you think; look at it first",
            order.expect
        )));
    }
    for orgnr in document.names().map_err(|text| invalid("document", text))? {
        if state.registry.controller(&orgnr) != Some(orgnr) {
            let text = format!("{orgnr} is no participant by its main unit; register it first");
            return Err(invalid("document", text));
        }
    }
    // What parties once signed and then agreed otherwise on is not put back by an operator who kept their signatures.
    if !document.binds().is_empty() && state.book.was_replaced(kind, id, &order.document) {
        return Err(Problem::conflict(
            "other words have taken the place of these; what is to be in force again is written and signed anew, with another date for example",
        ));
    }
    let before = state
        .book
        .get(kind, id)
        .filter(|held| held.text == order.document);
    let (signatures, signed_by) = signatures(state, order, document, before)?;
    if signatures > MOST_SIGNATURES {
        return Err(invalid("signatures", "more than 32 signatures"));
    }
    if before.is_some_and(|held| held.signatures.len() == signatures) {
        return Err(Problem::conflict(
            "it stands there already, with these signatures",
        ));
    }
    let mut wanted = Wanted {
        action: Action::Register,
        kind,
        id: id.to_owned(),
        kid: None,
        from: None,
        reason: order.reason.clone(),
        signed_by,
        order: signed,
        beside: None,
    };
    let mut book = state.book.clone();
    book.apply(&operate::document(
        state,
        operator,
        standings,
        wanted.clone(),
    ));
    if kind == Kind::Representation {
        // The list names nobody: the order lies sealed beside it.
        let sealed = representation::sealed(&state.store, &std::mem::take(&mut wanted.order))?;
        wanted.beside = Some(operate::Beside {
            ledger: representation::LEDGER,
            key: id.as_bytes().to_vec(),
            value: sealed,
        });
    }
    let config = merged(&state.base, &book, standings).map_err(|said| {
        let refused = said
            .into_iter()
            .map(|text| fhir::outcome::Issue::error(IssueCode::BusinessRule, "document", text));
        Problem::unprocessable(refused.collect())
    })?;
    let registry = Registry::new(&config, state.registry.book.clone())
        .map_err(|error| invalid("document", error.to_string()))?;
    // Nobody registers away the key they speak by, nor themselves.
    let speaks = registry.client(&operator.caller.client_id);
    if kind == Kind::Client && id == operator.caller.client_id || speaks.is_none() {
        return Err(Problem::conflict(
            "that would change the client you speak by; another operator's client does this",
        ));
    }
    Ok((wanted, state.with(config, registry, book)))
}

/// How many signatures the document then has, those of before included, and whose they are. One that does not stand refuses the order:
/// nothing is taken that nobody can verify.
fn signatures(
    state: &State,
    order: &RegisterOrder,
    document: &Document,
    before: Option<&super::Held>,
) -> Result<(usize, Vec<String>), Problem> {
    let mut all = before.map_or(0, |held| held.signatures.len());
    let mut by = before
        .map(|held| held.signed_by.clone())
        .unwrap_or_default();
    let binds = document.binds();
    for (at, one) in order
        .signatures
        .iter()
        .enumerate()
        .filter(|(_, one)| !all_has(before, one))
    {
        let verifies = |orgnr: &&String| {
            let number = organisation(orgnr).ok();
            let keys = number.and_then(|number| keys_of(&state.config, &number));
            keys.is_some_and(|keys| {
                jws::verify_detached(one, DOCUMENT_TYP, order.document.as_bytes(), keys).is_ok()
            })
        };
        let signer = binds.iter().find(verifies).ok_or_else(|| {
            invalid(
                &format!("signatures[{at}]"),
                "no organisation that the document binds made this signature over this text with a key it has registered",
            )
        })?;
        all += 1;
        if !by.contains(signer) {
            by.push(signer.clone());
        }
    }
    by.sort();
    Ok((all, by))
}

fn all_has(before: Option<&super::Held>, one: &String) -> bool {
    before.is_some_and(|held| held.signatures.contains(one))
}

/// Everything that was registered by orders, each entry signed.
pub(crate) fn registered(state: &Arc<State>) -> Result<Vec<String>, trust::keys::KeyError> {
    let state = state.latest();
    let (standings, key) = (state.registry.book.standings(), state.key());
    let one = |held: &super::Held| {
        let entry = Entry {
            iss: state.config.issuer.clone(),
            kind: held.kind,
            id: held.id.clone(),
            version: merge::version(&state.base, &standings, held.kind, &held.id),
            state: standings.of(held.kind, &held.id, None).state,
            document: match held.kind {
                Kind::Representation => String::new(),
                _ => held.text.clone(),
            },
            signatures: held.signatures.clone(),
            unsigned_by: held.unsigned_by(),
        };
        let claims = serde_json::to_value(entry).map_err(|_| trust::keys::KeyError::Malformed)?;
        jws::sign(ENTRY_TYP, &claims, &key)
    };
    state.book.all().map(one).collect()
}
