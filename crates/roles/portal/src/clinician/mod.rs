//! What a clinician sees of one patient: from what a look-up brought to what the page shows. Pure functions; they hide no
//! reading, join no two lists, and name the source of everything.

pub mod chart;
pub mod medicines;
pub mod plan;
pub mod receipt;
pub mod series;
pub mod sources;

use crate::calendar::Calendar;
use crate::look_up::LookUp;
use crate::text::Text;
use sources::Sources;

/// The whole page about one patient.
pub struct PatientPage {
    /// The organisations on the page, each with its mark.
    pub sources: Sources,
    /// The completeness receipt.
    pub receipt: receipt::ReceiptView,
    /// The five curves with their tables.
    pub series: Vec<series::SeriesView>,
    /// Readings of other kinds.
    pub other: Vec<series::OtherRow>,
    /// Medication lists side by side.
    pub medicines: medicines::MedicinesView,
    /// The plan in force and those before it.
    pub plans: plan::PlansView,
    /// When it was asked.
    pub asked_at: String,
    /// Data for the curves, safe to stand in a script element.
    pub chart: String,
}

/// Builds the page. `own` is the clinician's organisation, whose mark comes first.
pub fn page(found: &LookUp, sources: Sources, calendar: &Calendar, text: &Text) -> PatientPage {
    let mut sources = sources;
    for reading in &found.readings {
        if let Some(named) = series::source_of(reading) {
            sources.add(&named.number, named.name.as_deref());
        }
    }
    sources.arrange();
    let receipt = receipt::view(found, &sources, calendar, text);
    let (series, other) = series::view(found, &sources, calendar, text);
    let medicines = medicines::view(&found.medicines, &sources, calendar, text);
    let plans = plan::view(&found.plans, found.at, &sources, calendar, text);
    let chart = chart::data(found, &series, &sources, calendar, text);
    PatientPage {
        receipt,
        series,
        other,
        medicines,
        plans,
        asked_at: calendar.date_time(found.at),
        chart,
        sources,
    }
}
