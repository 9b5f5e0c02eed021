//! Figures for operators, as OpenMetrics text (openmetrics.io 1.0, what Prometheus scrapes) on a listener of their own.
//!
//! Counted by organisation, service, feed and receiver; never by patient, and nothing of anybody's data. Each scrape asks
//! the stores anew, so no figure is older than its scrape.

use crate::roles::Gauged;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use store::Store;

/// The media type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Age of a sharing service's copy, or of one feed's part of it.
pub const COPY_AGE: &str = "delt_copy_age_seconds";
/// Whether that is too old.
pub const COPY_LATE: &str = "delt_copy_late";
/// Whether a feed that is expected has been silent for too long.
pub const FEED_QUIET: &str = "delt_feed_quiet";
/// Whether a home system that the hub expects has been silent for too long.
pub const SENDER_QUIET: &str = "delt_sender_quiet";
/// Subscriptions whose endpoint did not answer.
pub const SUBSCRIPTIONS_IN_ERROR: &str = "delt_subscriptions_in_error";
/// Age of the copy of citizens' settings.
pub const SETTINGS_AGE: &str = "delt_pvk_age_seconds";
/// Whether that is too old.
pub const SETTINGS_LATE: &str = "delt_pvk_late";
/// Pointers that differed from the locator's when they were last compared.
pub const DRIFT: &str = "delt_locator_drift";
/// How often a budget of distinct patients was used up at the locator.
pub const BUDGETS: &str = "delt_locator_budgets_exceeded";
/// Whether a listed address answers with a CapabilityStatement.
pub const LISTED: &str = "delt_endpoint_answers";
/// Whether another organisation answers at a listed address.
pub const TAKEN_OVER: &str = "delt_endpoint_taken_over";
/// Profiles promised by an entry and not claimed at its address.
pub const UNCLAIMED: &str = "delt_endpoint_profiles_unclaimed";
/// Days until the certificate at a listed address ends.
pub const CERTIFICATE: &str = "delt_endpoint_certificate_days";
/// Where a gateway's circuit to a provider stands.
pub const CIRCUIT: &str = "delt_source_circuit";
/// Questions that a gateway sent to a provider.
pub const SOURCE_ASKED: &str = "delt_source_asked";
/// Questions among them that were sent once more.
pub const SOURCE_REPEATED: &str = "delt_source_repeated";
/// Questions among them that failed.
pub const SOURCE_FAILED: &str = "delt_source_failed";

/// Readings that another organisation's assignment held aside.
pub const CLAIMS: &str = "delt_hub_held_by_others_claim";
/// The figures that roles may tell, and what they mean.
pub const NAMES: &[(&str, &str)] = &[
    (
        COPY_AGE,
        "Age of the shared copy: since when everything of the source is known to be here",
    ),
    (
        COPY_LATE,
        "1 where the shared copy is older than it promises (max_lag_minutes)",
    ),
    (
        FEED_QUIET,
        "1 where a feed that is expected (service.expect) has been silent for longer than it may, or was never heard",
    ),
    (
        SENDER_QUIET,
        "1 where a home system that is expected (hub.expect) has sent nothing that was taken in for longer than it may",
    ),
    (
        SUBSCRIPTIONS_IN_ERROR,
        "Subscriptions whose endpoint did not answer: nothing is sent until their subscriber asks for it again",
    ),
    (
        SETTINGS_AGE,
        "Age of the copy of citizens' settings at Personvernkomponenten",
    ),
    (
        SETTINGS_LATE,
        "1 where the copy of citizens' settings is older than it may be (max_age_minutes)",
    ),
    (
        CIRCUIT,
        "A provider as the gateway treats it: 0 asked as usual, 1 tried by one question, 2 rested after failures",
    ),
    (
        SOURCE_ASKED,
        "Questions sent to a provider since the start, repeats not counted",
    ),
    (
        SOURCE_REPEATED,
        "Questions sent to a provider once more; at most a tenth of those asked",
    ),
    (SOURCE_FAILED, "Questions to a provider that failed"),
    (
        DRIFT,
        "Pointers that differed between this service and the locator at the last comparison, and were repaired; 0 at rest",
    ),
    (
        CLAIMS,
        "Times that an organisation's assignment of a device held another organisation's reading aside, since the start; many mean that it claims a model (hub.models)",
    ),
    (
        BUDGETS,
        "Times that a client or a person was refused for asking the locator about too many patients, since the start",
    ),
    (
        LISTED,
        "1 where a listed address answered with a CapabilityStatement when the catalogue last looked, else 0",
    ),
    (
        TAKEN_OVER,
        "1 where another organisation than the entry's owner answers at a listed address",
    ),
    (
        UNCLAIMED,
        "Profiles that an entry promises and its address does not claim",
    ),
    (
        CERTIFICATE,
        "Whole days until the certificate at a listed address ends",
    ),
];

type Labels = Vec<(String, String)>;
type Figures = Family<Labels, Gauge<f64, AtomicU64>>;

/// What is asked at each scrape.
pub struct Sources {
    /// The stores of this process, for their outboxes and audit trails.
    pub stores: Vec<Store>,
    /// What roles say of themselves.
    pub gauged: Vec<Gauged>,
    /// Now.
    pub clock: store::Clock,
}

/// `GET /metrics`.
pub fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(Arc::new(sources))
}

async fn scrape(State(sources): State<Arc<Sources>>) -> Response {
    match page(&sources).await {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the figures could not be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// The page, with every figure of this moment.
async fn page(sources: &Sources) -> anyhow::Result<String> {
    let mut registry = Registry::default();
    let mut family = |name: &str, help: &str| {
        let figures = Figures::default();
        registry.register(name, help, figures.clone());
        figures
    };
    let pending = family("delt_outbox_pending", "Deliveries not made yet");
    let oldest = family(
        "delt_outbox_oldest_seconds",
        "Age of the oldest delivery not made yet",
    );
    let dead = family("delt_outbox_dead", "Deliveries given up, to be looked at");
    let audited = family("delt_audit_records", "Records in the audit trail");
    let own: Vec<(&str, Figures)> = NAMES
        .iter()
        .map(|(name, help)| (*name, family(name, help)))
        .collect();
    let now = (sources.clock)();
    for store in &sources.stores {
        let owner = ("store".to_owned(), store.owner().to_owned());
        for receiver in store.outbox_receivers().await? {
            let stands = store.outbox_state(&receiver).await?;
            let labels = vec![owner.clone(), ("receiver".to_owned(), receiver)];
            let waited = stands
                .oldest
                .map_or(0, |at| now.0.saturating_sub(at.0).max(0));
            pending.get_or_create(&labels).set(stands.pending as f64);
            dead.get_or_create(&labels).set(stands.dead as f64);
            oldest.get_or_create(&labels).set(waited as f64 / 1e6);
        }
        let head = store.audit_head().await?;
        audited
            .get_or_create(&vec![owner])
            .set(head.sequence as f64);
    }
    for gauged in &sources.gauged {
        for one in gauged() {
            let labels = one.labels.into_iter();
            let labels: Labels = labels.map(|(name, of)| (name.to_owned(), of)).collect();
            if let Some((_, figures)) = own.iter().find(|(name, _)| *name == one.name) {
                figures.get_or_create(&labels).set(one.value);
            }
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::Figure;
    use fhir::time::Instant;

    #[tokio::test]
    async fn a_scrape_tells_what_waits_and_how_old_the_copy_is() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let clock: store::Clock = Arc::new(|| Instant::from_seconds(1_800_000_000));
        let surroundings = store::Surroundings {
            clock: clock.clone(),
            ids: crate::surroundings::ids(),
        };
        let store = Store::open(folder.path(), "fjellvik", surroundings)?;
        store
            .commit(store::Change {
                outbox: vec![store::OutboxEntry {
                    topic: "reading",
                    receivers: vec!["310001007/sharing".into()],
                    partition: "p".into(),
                    key: "k".into(),
                    body: "{}".into(),
                }],
                ..store::Change::default()
            })
            .await?;
        let later: store::Clock = Arc::new(|| Instant::from_seconds(1_800_000_060));
        let text = page(&Sources {
            stores: vec![store],
            gauged: vec![Arc::new(|| {
                let feed = |name, value| Figure {
                    name,
                    labels: vec![("service", "fjellvik".into()), ("feed", "epj".into())],
                    value,
                };
                let whole = |name, value| Figure {
                    name,
                    labels: vec![("service", "fjellvik".into())],
                    value,
                };
                vec![
                    feed(COPY_AGE, 90.0),
                    feed(COPY_LATE, 1.0),
                    whole(SETTINGS_AGE, 90.0),
                    whole(SETTINGS_LATE, 1.0),
                ]
            })],
            clock: later,
        })
        .await?;
        for line in [
            r#"delt_outbox_pending{store="fjellvik",receiver="310001007/sharing"} 1.0"#,
            r#"delt_outbox_oldest_seconds{store="fjellvik",receiver="310001007/sharing"} 60.0"#,
            r#"delt_outbox_dead{store="fjellvik",receiver="310001007/sharing"} 0.0"#,
            r#"delt_audit_records{store="fjellvik"} 0.0"#,
            r#"delt_copy_age_seconds{service="fjellvik",feed="epj"} 90.0"#,
            r#"delt_copy_late{service="fjellvik",feed="epj"} 1.0"#,
            r#"delt_pvk_age_seconds{service="fjellvik"} 90.0"#,
            r#"delt_pvk_late{service="fjellvik"} 1.0"#,
            "# EOF",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
        Ok(())
    }
}
