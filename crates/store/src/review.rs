//! Broken glass that the controller has yet to look at: one entry for each request that overrode what a patient closed, made in
//! the commit that records it. The entries name a request, never a person; who and whom the audit trail tells.

use fhir::ids::OrganisationNumber;
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use trust::audit::{Outcome, Record};

use crate::commit::{Expect, LedgerWrite};
use crate::errors::StoreError;
use crate::store::Store;

const OPEN: &str = "review";
const CLOSED: &str = "reviewed";

/// One request that broke the glass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The request's id.
    pub request: String,
    /// When it was.
    pub when: Instant,
    /// From which organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationNumber>,
    /// The rules that it overrode.
    pub rules: Vec<String>,
    /// What the controller found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Finding>,
}

/// What the controller found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// When it was closed.
    pub when: Instant,
    /// `justified` or `unjustified`.
    pub outcome: String,
    /// Who looked at it, as the controller names them.
    pub by: String,
    /// In the controller's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The entry that queues what a record tells of, where it tells of broken glass.
pub fn opened(record: &Record) -> Option<LedgerWrite> {
    if record.broken.is_empty() || record.outcome != Outcome::Allowed {
        return None;
    }
    let review = Review {
        request: record.request_id.clone(),
        when: record.when,
        organisation: record.organisation,
        rules: record.broken.clone(),
        found: None,
    };
    Some(LedgerWrite {
        ledger: OPEN,
        key: review.request.as_bytes().to_vec(),
        value: serde_json::to_vec(&review).ok(),
        expect: Expect::Any,
    })
}

impl Store {
    /// Reviews that wait, or that are closed; at most `limit`, by request.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn reviews(&self, closed: bool, limit: usize) -> Result<Vec<Review>, StoreError> {
        let ledger = if closed { CLOSED } else { OPEN };
        let entries = self.ledger_scan(ledger, b"", None, limit).await?;
        entries.iter().map(|entry| read(&entry.value)).collect()
    }

    /// The entries that close a review with what was found; `None` when none waits for this request.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn review_closed(
        &self,
        request: &str,
        found: Finding,
    ) -> Result<Option<Vec<LedgerWrite>>, StoreError> {
        let key = request.as_bytes().to_vec();
        let Some(entry) = self.ledger_get(OPEN, &key).await? else {
            return Ok(None);
        };
        let review = Review {
            found: Some(found),
            ..read(&entry.value)?
        };
        let value = serde_json::to_vec(&review).map_err(|_| StoreError::Bug)?;
        Ok(Some(vec![
            LedgerWrite {
                ledger: OPEN,
                key: key.clone(),
                value: None,
                // Another use of the same request since, or somebody else's closing, is not closed unseen.
                expect: Expect::Version(entry.version),
            },
            LedgerWrite {
                ledger: CLOSED,
                key,
                value: Some(value),
                expect: Expect::Any,
            },
        ]))
    }
}

fn read(value: &[u8]) -> Result<Review, StoreError> {
    serde_json::from_slice(value)
        .map_err(|_| StoreError::Damaged("a review of broken glass does not read again"))
}
