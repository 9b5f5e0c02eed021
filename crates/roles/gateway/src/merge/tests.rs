//! Folders of bundles in (`cases/{case}/{organisation}.json`), one list out (`out.json`): order does not matter, twice is
//! once, copies that disagree are flagged, plans and medicines stand side by side, nothing vanishes without a word.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use crate::examine::{self, Dropped, Expected};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::resource::ResourceType;
use fhir::time::Zone;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PATIENT: &str = "14835210260";

/// What a source's searchset gives; nothing of it is left out.
pub fn given(resource: ResourceType, orgnr: &str, source: usize, bundle: Bytes) -> Vec<Given> {
    let patient = PersonIdentifier::guess(PATIENT, PersonNumbers::Strict).unwrap();
    let expected = Expected {
        resource,
        patient: &patient,
        base: &format!("https://{orgnr}.example/fhir"),
        orgnr,
        source,
        zone: &Zone::default(),
        numbers: PersonNumbers::Strict,
        withheld: &[],
    };
    let page = examine::page(bundle, &expected).unwrap();
    assert_eq!(page.dropped, Dropped::default(), "{orgnr}");
    page.given
}

struct Case {
    name: String,
    folder: PathBuf,
    rule: Rule,
    sources: Vec<Vec<Given>>,
}

impl Case {
    fn read(folder: PathBuf) -> Case {
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap()
            .map(|one| one.unwrap().path())
            .collect();
        files.retain(|file| !file.ends_with("out.json"));
        files.sort();
        let first: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
        let resource = first
            .pointer("/entry/0/resource/resourceType")
            .unwrap()
            .as_str()
            .unwrap();
        let resource = ResourceType::parse(resource).unwrap();
        let read = |(number, file): (usize, &PathBuf)| {
            let orgnr = file.file_stem().unwrap().to_str().unwrap();
            given(resource, orgnr, number, fs::read(file).unwrap().into())
        };
        let sources = files.iter().enumerate().map(read).collect();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        Case {
            name,
            folder,
            rule: Rule::of(resource),
            sources,
        }
    }

    fn all(&self) -> Vec<Given> {
        self.sources.concat()
    }
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/merge/cases");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 8);
    folders.into_iter().map(Case::read).collect()
}

pub fn roads(entry: &Merged) -> Vec<&str> {
    entry
        .routes
        .iter()
        .map(|route| route.full_url.as_str())
        .collect()
}

pub fn told(merged: &[Merged]) -> Value {
    let entry = |entry: &Merged| {
        let shown: Value = serde_json::from_slice(&entry.body).unwrap();
        let mut told =
            json!({"shown": shown["id"], "roads": roads(entry), "disagrees": entry.disagrees});
        if let Some(kin) = &entry.kin {
            told["same-substance"] =
                json!({"code": kin.atc, "dose": kin.dose.as_str(), "lines": kin.others});
        }
        told
    };
    merged.iter().map(entry).collect()
}

#[test]
fn every_folder_gives_its_list() {
    for case in cases() {
        let merged = told(&merge(case.all(), case.rule, Sort::DateDesc));
        let file = case.folder.join("out.json");
        let expected: Value =
            serde_json::from_slice(&fs::read(&file).unwrap_or_default()).unwrap_or_default();
        assert_eq!(merged, expected, "{}: {merged:#}", case.name);
    }
}

#[test]
fn the_order_of_the_answers_does_not_matter() {
    for case in cases() {
        let expected = told(&merge(case.all(), case.rule, Sort::DateDesc));
        let mut copies = case.all();
        for _ in 0..copies.len() {
            copies.rotate_left(1);
            assert_eq!(
                told(&merge(copies.clone(), case.rule, Sort::DateDesc)),
                expected,
                "{}",
                case.name
            );
            let turned = copies.iter().rev().cloned().collect();
            assert_eq!(
                told(&merge(turned, case.rule, Sort::DateDesc)),
                expected,
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn twice_is_once() {
    for case in cases() {
        let expected = told(&merge(case.all(), case.rule, Sort::DateDesc));
        let twice = [case.all(), case.all()].concat();
        assert_eq!(
            told(&merge(twice, case.rule, Sort::DateDesc)),
            expected,
            "{}",
            case.name
        );
    }
}

#[test]
fn nothing_vanishes_and_each_copy_has_one_place() {
    for case in cases() {
        let merged = merge(case.all(), case.rule, Sort::DateAsc);
        let mut found: Vec<&str> = merged.iter().flat_map(roads).collect();
        found.sort_unstable();
        let all = case.all();
        let given: BTreeSet<&str> = all
            .iter()
            .map(|copy| copy.route.full_url.as_str())
            .collect();
        assert_eq!(
            found,
            given.into_iter().collect::<Vec<_>>(),
            "{}",
            case.name
        );
        for entry in &merged {
            let shown = all
                .iter()
                .find(|copy| copy.route == entry.routes[0])
                .unwrap();
            assert_eq!(
                shown.body, entry.body,
                "{}: the shown copy is the first road's, byte for byte",
                case.name
            );
        }
    }
}

#[test]
fn oldest_first_turns_the_times_and_leaves_the_undated_last() {
    for case in cases() {
        let at = |sort| -> Vec<Option<i64>> {
            merge(case.all(), case.rule, sort)
                .iter()
                .map(|entry| entry.at)
                .collect()
        };
        let (mut newest, oldest) = (at(Sort::DateDesc), at(Sort::DateAsc));
        let dated = newest.iter().take_while(|at| at.is_some()).count();
        newest[..dated].reverse();
        assert_eq!(newest, oldest, "{}", case.name);
    }
}
