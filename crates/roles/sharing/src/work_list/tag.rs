//! Tags: what a row, or the list, says in short, so that who has it already is not given it again. A tag is made under the store's own key,
//! so that it tells nobody what it says, and for one caller: this person, at this organisation, by this client and this key of hers. Another's tags, or
//! her own of another sign-in, are no tags here: nobody learns from what a colleague was shown that a patient is as she was. A tag holds for
//! a day of the deployment's zone, since a page may write times of today without their date.

use crate::State;
use fhir::time::Instant;
use serde_json::{Value, json};
use trust::Caller;
use wire::contract::work_list::{Row, WorkList};

/// Makes the tags of one answer.
pub struct Tags<'a> {
    state: &'a State,
    /// To whom, and on which day.
    to: Value,
}

impl<'a> Tags<'a> {
    /// Those to this caller at `now`.
    pub fn to(state: &'a State, caller: &Caller, now: Instant) -> Tags<'a> {
        let person = caller.person.identifier();
        let to = json!([
            state.config.zone.day_of(now),
            caller.jkt,
            caller.client_id,
            caller.organisation.map(|one| one.to_string()),
            person.map(|one| [one.system(), one.value().expose()]),
        ]);
        Tags { state, to }
    }

    /// A row's, whatever tag it has.
    pub fn row(&self, row: &Row) -> String {
        let row = Row {
            tag: String::new(),
            ..row.clone()
        };
        self.of("work list row", &row.to_json())
    }

    /// The list's: by the tags of its rows in their order, and what is said of them together. Its time says nothing.
    pub fn list(&self, list: &WorkList) -> String {
        let said = WorkList {
            tag: String::new(),
            at: Instant(0),
            rows: Vec::new(),
            gone: Vec::new(),
            ..list.clone()
        };
        self.of("work list", &said.to_json())
    }

    fn of(&self, what: &str, said: &Value) -> String {
        let text = json!([self.to, said]).to_string();
        let key = self.state.desk.store.keyed(what, text.as_bytes());
        key.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
