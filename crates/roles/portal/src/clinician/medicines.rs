//! Medication lists side by side, one column an organisation. Two lists that say different things about one medicine are
//! shown as different; nothing is joined, and nobody is declared right.

use std::collections::BTreeMap;

use super::sources::{Source, Sources};
use crate::calendar::Calendar;
use crate::look_up::medicine::Medicine;
use crate::text::Text;

/// All lists.
pub struct MedicinesView {
    /// One an organisation.
    pub lists: Vec<MedicineList>,
    /// Medicines in use on several lists, not said alike.
    pub differences: Vec<Difference>,
}

/// One organisation's list.
pub struct MedicineList {
    /// Whose.
    pub source: Source,
    /// In use first, then ended.
    pub rows: Vec<MedicineRow>,
}

/// One medicine on one list.
pub struct MedicineRow {
    /// Name as the list writes it.
    pub name: String,
    /// ATC code.
    pub atc: Option<String>,
    /// Dosage in words.
    pub dosage: String,
    /// From when, to when.
    pub period: String,
    /// Why.
    pub reason: Option<String>,
    /// Status in words.
    pub status: String,
    /// No longer in use.
    pub ended: bool,
    /// Another list says something else.
    pub differs: bool,
    /// In use on this list alone, though another organisation has a list too.
    pub only_here: bool,
}

/// One medicine on which lists differ.
pub struct Difference {
    /// Its name, with ATC code.
    pub name: String,
    /// (organisation, what its list says)
    pub said: Vec<(String, String)>,
}

/// One organisation's medicines before they become rows.
struct Own<'a> {
    source: Source,
    medicines: Vec<&'a Medicine>,
}

fn in_use(medicine: &Medicine) -> bool {
    matches!(medicine.status.as_str(), "active" | "intended" | "on-hold")
}

/// Dosage compared without case and spacing, so that only what is said counts.
fn plain(dosage: Option<&String>) -> String {
    dosage
        .map(|text| {
            text.to_lowercase()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .unwrap_or_default()
}

fn owner(medicine: &Medicine, sources: &Sources) -> Option<Source> {
    let named = medicine
        .organisation
        .as_ref()
        .map(|named| sources.of(named));
    named.or_else(|| medicine.routes.first().map(|number| sources.get(number)))
}

/// Lists side by side.
pub fn view(
    medicines: &[Medicine],
    sources: &Sources,
    calendar: &Calendar,
    text: &Text,
) -> MedicinesView {
    let unknown = || Source {
        number: String::new(),
        name: text.of("source.unknown").to_owned(),
        mark: None,
    };
    let mut by_atc: BTreeMap<String, Vec<(Source, &Medicine)>> = BTreeMap::new();
    let mut lists: BTreeMap<(usize, String), Own<'_>> = BTreeMap::new();
    for medicine in medicines
        .iter()
        .filter(|medicine| medicine.status != "entered-in-error")
    {
        let source = owner(medicine, sources).unwrap_or_else(unknown);
        if let Some(atc) = medicine.atc.as_ref().filter(|_| in_use(medicine)) {
            by_atc
                .entry(atc.clone())
                .or_default()
                .push((source.clone(), medicine));
        }
        let key = (source.mark.unwrap_or(usize::MAX), source.name.clone());
        lists
            .entry(key)
            .or_insert_with(|| Own {
                source,
                medicines: Vec::new(),
            })
            .medicines
            .push(medicine);
    }
    let several = lists.len() > 1;
    let on_one: Vec<String> = by_atc
        .iter()
        .filter(|(_, own)| {
            own.iter()
                .all(|(source, _)| source.number == own[0].0.number)
        })
        .map(|(atc, _)| atc.clone())
        .collect();
    by_atc.retain(|_, own| {
        let organisations = own
            .iter()
            .any(|(source, _)| source.number != own[0].0.number);
        let dosages = own.iter().any(|(_, medicine)| {
            plain(medicine.dosage.as_ref()) != plain(own[0].1.dosage.as_ref())
        });
        organisations && dosages
    });
    let differences = by_atc
        .iter()
        .map(|(atc, own)| Difference {
            name: own
                .first()
                .map(|(_, medicine)| format!("{} ({atc})", medicine.name))
                .unwrap_or_default(),
            said: own
                .iter()
                .map(|(source, medicine)| {
                    let dosage = medicine
                        .dosage
                        .clone()
                        .unwrap_or_else(|| text.of("medicine.no_dosage").to_owned());
                    (source.name.clone(), dosage)
                })
                .collect(),
        })
        .collect();
    let lists = lists
        .into_values()
        .map(
            |Own {
                 source,
                 medicines: mut own,
             }| {
                own.sort_by_key(|medicine| {
                    (
                        !in_use(medicine),
                        medicine.name.to_lowercase(),
                        std::cmp::Reverse(medicine.from),
                    )
                });
                let rows = own
                    .into_iter()
                    .map(|medicine| MedicineRow {
                        name: if medicine.name.is_empty() {
                            text.of("medicine.unnamed").to_owned()
                        } else {
                            medicine.name.clone()
                        },
                        atc: medicine.atc.clone(),
                        dosage: medicine
                            .dosage
                            .clone()
                            .unwrap_or_else(|| text.of("medicine.no_dosage").to_owned()),
                        period: period(medicine, calendar, text),
                        reason: medicine.reason.clone(),
                        status: text
                            .find(&format!(
                                "medicine.status_{}",
                                medicine.status.replace('-', "_")
                            ))
                            .unwrap_or(text.of("medicine.status_unknown"))
                            .to_owned(),
                        ended: !in_use(medicine),
                        only_here: several
                            && in_use(medicine)
                            && medicine
                                .atc
                                .as_ref()
                                .is_some_and(|atc| on_one.contains(atc)),
                        differs: in_use(medicine)
                            && medicine
                                .atc
                                .as_ref()
                                .is_some_and(|atc| by_atc.contains_key(atc)),
                    })
                    .collect();
                MedicineList { source, rows }
            },
        )
        .collect();
    MedicinesView { lists, differences }
}

fn period(medicine: &Medicine, calendar: &Calendar, text: &Text) -> String {
    let day = |moment: crate::calendar::Moment| calendar.date(moment.millis);
    match (medicine.from.map(day), medicine.to.map(day)) {
        (Some(from), Some(to)) => format!("{from} – {to}"),
        (Some(from), None) => text.fill("plan.from", &[("from", &from)]),
        (None, Some(to)) => text.fill("plan.to", &[("to", &to)]),
        (None, None) => String::new(),
    }
}
