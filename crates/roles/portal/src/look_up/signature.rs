//! What its author's signature is worth, before a page says whose words an assessment is: held against the keys that the anchor
//! publishes, wherever the copy came from.

use crate::State;
use fhir::json::Node;
use serde_json::Value;
use std::sync::Arc;
use wire::members::Members;
use wire::signed::{self, Worth};

/// The members of one look-up, asked for when something signed is met.
pub struct Signatures<'a> {
    state: &'a State,
    members: Option<Arc<Members>>,
    renewed: bool,
}

impl<'a> Signatures<'a> {
    /// None is asked for yet.
    pub fn new(state: &'a State) -> Self {
        Self {
            state,
            members: None,
            renewed: false,
        }
    }

    /// What the signature of an assessment is worth; [`Worth::Fails`] where nothing can be verified. A key may be new, so the
    /// members are asked for anew once.
    pub async fn worth(&mut self, assessment: Node<'_>) -> Worth {
        let Ok(assessment) = serde_json::from_str::<Value>(assessment.raw()) else {
            return Worth::Fails;
        };
        let Some(book) = self.state.reader.as_ref().map(|one| one.members()) else {
            return Worth::Fails;
        };
        if self.members.is_none() {
            self.members = book.current().await;
        }
        let now = (self.state.house.clock)();
        let of = |members: &Option<Arc<Members>>| {
            let members = members.as_ref();
            members.map_or(Worth::Fails, |members| {
                signed::worth(&assessment, members, now)
            })
        };
        let worth = of(&self.members);
        if worth != Worth::Fails || std::mem::replace(&mut self.renewed, true) {
            return worth;
        }
        self.members = book.renewed().await;
        of(&self.members)
    }
}
