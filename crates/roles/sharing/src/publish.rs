//! The publishing policy of the organisation (tilpasse datamengde), as far as it is not the store's work: what time alone
//! changes, and what the CapabilityStatement says.
//!
//! `store::Publishing` narrows every search and read by others. A reading that grows older than the policy's period ceases
//! to be published without anybody writing anything; here that is looked for, so that the locator hears of it.

use crate::State;
use std::sync::Arc;
use std::time::Duration;
use store::{Published, Share};
use wire::Worker;

/// How often it is looked for what time has turned.
const LOOK: Duration = Duration::from_secs(3600);
/// Patients looked at in one commit.
const PART: usize = 500;

/// The look after what time turns; none where no locator is told.
pub fn workers(state: Arc<State>) -> Option<Worker> {
    state.locator.as_ref()?;
    Some(Worker::new("publish", async move {
        let pause = state.house.pause.clone();
        loop {
            if let Err(error) = state.settle_presence().await {
                tracing::warn!(service = state.config.id, %error, "what is published could not be looked over");
            }
            // Without a policy nothing turns by itself; the one look was for a policy that was there before.
            if state.config.publish.is_everything() {
                return;
            }
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(LOOK) => {}
            }
        }
    }))
}

impl State {
    /// Looks over every patient: has what is published turned by time, or by a new policy? The locator hears of each turn.
    ///
    /// # Errors
    /// As a commit of the store.
    pub async fn settle_presence(&self) -> Result<(), store::StoreError> {
        let mut from = 0;
        loop {
            from = self.desk.store.settle_presence(from, PART).await?;
            if from == 0 || self.house.stop.is_stopped() {
                return Ok(());
            }
        }
    }
}

/// The policy in words, for whoever asks what is to be found here.
pub fn in_words(policy: &store::Publishing) -> String {
    if policy.is_everything() {
        return "This service publishes everything it holds.".to_owned();
    }
    let parts: Vec<String> = policy.shares.iter().map(share).collect();
    format!(
        "To others than the organisation itself this service publishes {}.",
        parts.join("; and ")
    )
}

fn share(share: &Share) -> String {
    let kinds: Vec<String> = share
        .kinds
        .iter()
        .map(|kind| match kind {
            Published::Service(service) => service.to_string(),
            Published::Type(resource) => resource.as_str().to_owned(),
            Published::Measurement(id) => format!("measurements of {id}"),
        })
        .collect();
    let mut words = if kinds.is_empty() {
        "all kinds".to_owned()
    } else {
        kinds.join(", ")
    };
    if let Some(back) = share.back {
        words.push_str(&format!(" of the last {} days", back / 86_400_000_000));
    }
    if !share.status.is_empty() {
        words.push_str(&format!(" with status {}", share.status.join(", ")));
    }
    words
}
