//! `docs/conformance.md`: every claim of the CapabilityStatement with the tests that show it. A claim without a test fails
//! here, and so does a page that tells something else than the service; `cargo xtask conformance` writes it anew, and
//! `cargo xtask check` sees that the tests it names are there.

use crate::house::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Where the tests stand.
const FOLDER: &str = "crates/roles/sharing/tests/it";

/// Claims and the tests that show them, `file::test`. What every type has is also exercised type by type by [`WALK`].
const SHOWN: &[(&str, &[&str])] = &[
    (
        "read",
        &[
            "read.rs::the_patients_own_reading_is_read_and_its_disclosure_is_on_record",
            "read.rs::another_patients_withdrawn_or_live_reading_looks_like_nothing",
        ],
    ),
    (
        "vread",
        &[
            "past.rs::each_version_is_read_by_its_number",
            "past.rs::hidden_unknown_and_impossible_versions_look_the_same",
        ],
    ),
    (
        "update",
        &[
            "write.rs::an_update_names_the_version_it_was_made_from",
            "write.rs::an_update_changes_neither_id_nor_type_nor_patient_and_makes_nothing",
        ],
    ),
    (
        "patch",
        &[
            "patch.rs::what_is_named_changes_and_the_rest_keeps_every_digit",
            "patch.rs::of_many_writers_with_one_version_one_wins",
            "patch.rs::a_patch_by_condition_changes_one_and_never_more",
        ],
    ),
    (
        "delete",
        &["write.rs::what_is_withdrawn_is_gone_for_everybody_and_stays_so"],
    ),
    (
        "history-instance",
        &["past.rs::what_was_withdrawn_is_gone_and_its_past_is_its_owners"],
    ),
    (
        "history-type",
        &["past.rs::a_types_history_is_the_patients_and_pages_to_its_end"],
    ),
    (
        "create",
        &[
            "write.rs::a_reading_is_created_once_however_often_it_is_sent",
            "write.rs::the_same_reading_with_other_content_is_a_conflict_unless_it_is_a_correction",
        ],
    ),
    (
        "search-type",
        &[
            "search.rs::unknown_and_malformed_parameters_are_refused_by_name",
            "by_get.rs::get_and_post_give_the_same",
            "paging.rs::all_is_given_once_and_in_order_whatever_the_page",
        ],
    ),
    (
        "Subscription create",
        &[
            "subscription/told.rs::day_3_the_gp_hears_that_something_came_and_reads_it_by_his_own_right",
            "subscription/right.rs::who_may_not_look_may_not_subscribe",
        ],
    ),
    (
        "Subscription read",
        &[
            "subscription/secrecy.rs::secrets_are_never_shown_again",
            "subscription/secrecy.rs::to_all_others_there_is_none",
        ],
    ),
    (
        "Subscription update",
        &[
            "subscription/away.rs::away_it_is_in_error_the_count_goes_on_and_what_was_missed_has_no_gap",
        ],
    ),
    (
        "Subscription delete",
        &["subscription/secrecy.rs::to_all_others_there_is_none"],
    ),
    (
        "Subscription search-type",
        &[
            "subscription/secrecy.rs::secrets_are_never_shown_again",
            "subscription/secrecy.rs::to_all_others_there_is_none",
        ],
    ),
    (
        "Subscription supportedProfile",
        &[
            "subscription/told.rs::day_3_the_gp_hears_that_something_came_and_reads_it_by_his_own_right",
        ],
    ),
    (
        "Subscription $status",
        &[
            "subscription/away.rs::away_it_is_in_error_the_count_goes_on_and_what_was_missed_has_no_gap",
            "subscription/secrecy.rs::to_all_others_there_is_none",
        ],
    ),
    (
        "Subscription $events",
        &[
            "subscription/away.rs::away_it_is_in_error_the_count_goes_on_and_what_was_missed_has_no_gap",
            "subscription/secrecy.rs::what_she_closes_is_neither_told_nor_counted",
        ],
    ),
    (
        "search-system",
        &[
            "several.rs::several_types_are_one_list_newest_first_of_one_moment",
            "several.rs::without_types_it_is_what_the_caller_may_see",
            "several.rs::what_the_types_do_not_share_is_refused_by_name",
            "several.rs::a_list_narrows_to_its_members_for_who_sees_the_list",
        ],
    ),
    (
        "batch",
        &[
            "bundle.rs::one_bad_entry_costs_only_itself",
            "entries.rs::a_batch_reads_as_alone_and_each_read_is_on_record",
            "entries.rs::a_patch_in_a_batch_is_a_binary_and_does_what_it_does_alone",
            "entries.rs::conditions_in_a_batch_are_what_they_are_alone",
            "entries.rs::what_the_sender_prefers_is_in_each_entry",
            "pmd.rs::a_batch_with_the_pmd_profile_is_answered_entry_by_entry_by_post_and_by_put",
        ],
    ),
    (
        "transaction",
        &[
            "transaction.rs::one_fault_leaves_everything_as_it_was_and_all_faults_are_told",
            "transaction.rs::references_among_entries_become_what_they_mean_and_nothing_else_changes",
            "links.rs::every_kind_of_link_becomes_what_it_means_and_a_canonical_none",
            "links.rs::reads_see_what_the_transaction_wrote_and_one_that_cannot_be_read_stops_it",
            "links.rs::what_only_the_store_can_find_is_told_by_entry_and_all_at_once",
            "links.rs::the_same_transaction_sent_many_times_at_once_makes_one_set",
        ],
    ),
    (
        "supportedProfile",
        &[
            "profiles.rs::a_profile_that_is_claimed_must_be_met",
            "profiles.rs::validate_looks_by_a_profile_that_is_named_in_the_question",
        ],
    ),
    (
        "$validate",
        &[
            "operation/validate.rs::every_finding_is_given_at_once_and_is_what_a_write_is_refused_for",
        ],
    ),
    (
        "$lastn",
        &["operation/lastn.rs::the_newest_of_each_kind_whatever_its_codes"],
    ),
    (
        "$stats",
        &[
            "operation/stats.rs::one_kind_is_counted_in_one_unit_whatever_its_codes",
            "operation/stats.rs::a_curve_of_years_is_one_small_answer",
        ],
    ),
    (
        "$everything",
        &[
            "operation/everything.rs::the_patient_first_then_all_there_is_once_and_in_pages",
            "operation/everything.rs::what_the_permit_does_not_open_is_not_in_it",
        ],
    ),
    (
        "$replace-series",
        &["replace.rs::afterwards_the_store_equals_the_source"],
    ),
    (
        "$reconcile",
        &[
            "reconcile.rs::one_lost_reading_is_found_from_the_municipality_down",
            "reconcile.rs::each_way_to_differ_has_its_word",
        ],
    ),
    (
        "$copy-state",
        &[
            "copy.rs::what_a_feed_says_is_on_every_answer_and_survives_a_restart",
            "copy.rs::every_kind_of_write_is_a_sign_of_life",
        ],
    ),
    (
        "$explain-access",
        &[
            "explain.rs::the_refused_hear_why_and_so_does_the_patient",
            "explain.rs::what_a_block_of_a_kind_hides_is_told_to_the_patient_alone",
        ],
    ),
    (
        "$may-look",
        &[
            "may_look.rs::whoever_is_on_the_list_is_let_in_and_nobody_else_is",
            "may_look.rs::whoever_represents_her_hears_what_is_open_and_nothing_of_what_she_closed",
        ],
    ),
    (
        "$reviews",
        &["review.rs::broken_glass_waits_for_the_controllers_look_across_a_restart"],
    ),
    (
        "$purge",
        &["purge.rs::the_controllers_record_system_erases_one_reading_with_all_its_versions"],
    ),
    (
        "conditionalRead: full-support",
        &["past.rs::who_holds_the_version_is_not_sent_it_again"],
    ),
    (
        "conditionalCreate: true",
        &[
            "conditional.rs::what_is_there_is_given_back_and_not_changed",
            "conditional.rs::any_number_of_equal_requests_at_once_make_one",
        ],
    ),
    (
        "conditionalUpdate: true",
        &["conditional.rs::an_update_by_condition_makes_corrects_or_refuses"],
    ),
    (
        "conditionalDelete: single",
        &["conditional.rs::a_delete_by_condition_takes_back_one_and_never_more"],
    ),
    (
        "readHistory: true",
        &["past.rs::what_was_withdrawn_is_gone_and_its_past_is_its_owners"],
    ),
    (
        "updateCreate: false",
        &["write.rs::an_update_changes_neither_id_nor_type_nor_patient_and_makes_nothing"],
    ),
    (
        "versioning: versioned",
        &["write.rs::an_update_names_the_version_it_was_made_from"],
    ),
    (
        "searchInclude",
        &[
            "include.rs::a_patient_named_by_number_or_by_id_comes_along_once_and_is_on_record",
            "include.rs::what_could_not_be_read_alone_does_not_come_along",
            "include.rs::two_steps_are_followed_and_a_third_is_refused",
            "include.rs::an_answer_of_more_than_a_thousand_is_refused_and_never_cut_short",
        ],
    ),
    (
        "searchRevInclude",
        &["include.rs::what_refers_to_a_match_comes_along"],
    ),
    (
        "SMART-on-FHIR",
        &[
            "smart.rs::it_names_where_tokens_come_from_and_no_endpoint_that_is_not_there",
            "smart.rs::each_scope_is_of_a_type_that_the_statement_lists_and_opens_it",
            "refusals.rs::each_defect_of_the_token_is_a_401_on_record",
        ],
    ),
];

/// The test that walks the statement: every interaction of every type, every parameter, and what is not claimed.
const WALK: &str = "metadata.rs::what_is_claimed_works_and_what_is_not_is_refused";

/// A row's members that claim something, besides interactions, parameters and operations.
const MEMBERS: &[&str] = &[
    "versioning",
    "readHistory",
    "updateCreate",
    "conditionalCreate",
    "conditionalRead",
    "conditionalUpdate",
    "conditionalDelete",
];

/// A row's members that list what comes along with its matches.
const ALONG: [&str; 2] = ["searchInclude", "searchRevInclude"];

/// Members of a row that claim nothing by themselves.
const TOLD_ELSEWHERE: &[&str] = &[
    "type",
    "extension",
    "interaction",
    "searchParam",
    "operation",
    "documentation",
];

fn all(of: &Value) -> impl Iterator<Item = &Value> {
    of.as_array().into_iter().flatten()
}

fn text(of: &Value) -> &str {
    of.as_str().unwrap()
}

fn tests(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .map(|name| format!("`{FOLDER}/{name}`"))
        .collect();
    shown.join("<br>")
}

fn shown(claim: &str) -> String {
    let row = SHOWN.iter().find(|(of, _)| *of == claim);
    tests(
        row.unwrap_or_else(|| {
            panic!("the CapabilityStatement claims {claim}: name the tests that show it in SHOWN")
        })
        .1,
    )
}

/// The page.
fn page(statement: &Value) -> String {
    let rest = &statement["rest"][0];
    // Claim, and the types that it is made for.
    let mut claims: BTreeMap<(u8, String), Vec<&str>> = BTreeMap::new();
    let (mut parameters, mut along) = (String::new(), String::new());
    for row in all(&rest["resource"]) {
        let name = text(&row["type"]);
        // A subscription is no patient's resource, and has tests of its own.
        let own = match name {
            "Subscription" => "Subscription ",
            _ => "",
        };
        let mut claim = |rank, of: String| {
            let claims = claims.entry((rank, format!("{own}{of}")));
            claims.or_default().push(name);
        };
        for interaction in all(&row["interaction"]) {
            claim(0, text(&interaction["code"]).to_owned());
        }
        for operation in all(&row["operation"]) {
            claim(1, format!("${}", text(&operation["name"])));
        }
        for (member, value) in row.as_object().unwrap() {
            if ALONG.contains(&member.as_str()) || member == "supportedProfile" {
                claim(2, member.clone());
            } else if MEMBERS.contains(&member.as_str()) {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                claim(2, format!("{member}: {value}"));
            } else {
                assert!(
                    TOLD_ELSEWHERE.contains(&member.as_str()),
                    "{member} is new in the statement"
                );
            }
        }
        let names: Vec<String> = all(&row["searchParam"])
            .map(|p| format!("`{}`", text(&p["name"])))
            .collect();
        if !names.is_empty() {
            writeln!(parameters, "| {name} | {} |", names.join(", ")).unwrap();
        }
        let listed = |member: &str| -> String {
            let names: Vec<String> = all(&row[member])
                .map(|one| format!("`{}`", text(one)))
                .collect();
            names.join(", ")
        };
        let [forwards, backwards] = ALONG.map(listed);
        if !(forwards.is_empty() && backwards.is_empty()) {
            writeln!(along, "| {name} | {forwards} | {backwards} |").unwrap();
        }
    }
    // Subscriptions are no patient's resource.
    let types = all(&rest["resource"]).count() - 1;
    let mut table = String::new();
    for ((_, claim), of) in &claims {
        let whom = match of.len() {
            n if n == types => "every type".to_owned(),
            n if n == types - 1 && !of.contains(&"AuditEvent") => {
                "every type but AuditEvent".to_owned()
            }
            n if n == types - 2 && !of.contains(&"AuditEvent") && !of.contains(&"Consent") => {
                "every type but AuditEvent and Consent".to_owned()
            }
            _ => of.join(", "),
        };
        writeln!(table, "| `{claim}` | {whom} | {} |", shown(claim)).unwrap();
    }
    for interaction in all(&rest["interaction"]) {
        let code = text(&interaction["code"]);
        writeln!(table, "| `{code}` | the service | {} |", shown(code)).unwrap();
    }
    for operation in all(&rest["operation"]) {
        let name = format!("${}", text(&operation["name"]));
        writeln!(table, "| `{name}` | the service | {} |", shown(&name)).unwrap();
    }
    for service in all(&rest["security"]["service"]) {
        let code = text(&service["coding"][0]["code"]);
        writeln!(table, "| `{code}` | the service | {} |", shown(code)).unwrap();
    }
    let joins = tests(&[
        "join.rs::a_condition_on_what_is_referred_to_or_refers",
        "join.rs::what_could_not_be_read_alone_decides_nothing",
        "join.rs::any_order_and_the_number_of_all",
    ]);
    let (walk, parts, number) = (
        tests(&[WALK]),
        tests(&[
            "part.rs::the_part_that_is_asked_for_is_given_and_says_so",
            "part.rs::a_summary_is_of_what_comes_along_too_and_elements_are_of_the_matches",
            "part.rs::a_count_is_all_that_a_count_gives",
            "part.rs::what_is_not_understood_is_refused",
        ]),
        tests(&["search.rs::a_number_in_a_url_points_to_post_and_reaches_no_record"]),
    );
    format!(
        "# Conformance: what a sharing service claims, and the tests that show it

Written by `cargo xtask conformance` from the CapabilityStatement that a service gives at `metadata`; a test fails when the two
differ, or when a claim has no test. FHIR {} over JSON.

| Claim | For | Shown by |
| --- | --- | --- |
{table}
## Search parameters

Each is asked for each type, and each that a type does not list is refused, by {walk}; those that carry a person's number
are taken by POST alone ({number}).

| Type | Parameters |
| --- | --- |
{parameters}
Chains, `_has` (two one after the other at most), `_sort` by any parameter but composites, `_total`, and pages that answer as of the
first: {joins}; against an oracle in memory: `crates/store/tests/it/join.rs`, `crates/store/tests/it/snapshot.rs`.

## What comes along

Includes with `:iterate` go two steps from a match; an answer holds at most 1,000 resources, and more is refused. Each is asked
for each type, and each that a type does not list is refused, by {walk}.

| Type | `_include` | `_revinclude` |
| --- | --- | --- |
{along}
`_summary` (`true`, `text`, `data`, `false`) and `_elements` are taken by searches, reads, vreads and histories, `_summary=count` by
searches alone: {parts}.

## Shown from outside

`cargo xtask test interop` lets strangers' libraries (Python `fhirclient`, `fhirpy`, `fhir.resources`; Node `fhir-kit-client`,
`@medplum/core`) do a record system's day against a running demo, a search by every listed parameter included;
`interop/README.md` tells what each does and cannot do. `cargo xtask test oracle` compares search paths with the published FHIRPath
expressions.
",
        text(&statement["fhirVersion"])
    )
}

#[tokio::test]
async fn the_page_tells_every_claim_and_the_tests_that_show_it() {
    let service = Service::subscribed(crate::subscription::subscribers(), |_| {}).await;
    let told = page(&service.door.get("/metadata").send().await.json);
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/conformance.md");
    if std::env::var("DELT_CONFORMANCE").is_ok_and(|asked| asked == "write") {
        std::fs::write(&place, &told).unwrap();
    }
    let stands = std::fs::read_to_string(&place).unwrap();
    assert!(
        stands == told,
        "docs/conformance.md is stale; `cargo xtask conformance` writes it anew"
    );
    // A name without a test is a claim without one.
    for (claim, names) in SHOWN {
        let claimed = told.contains(&format!("`{claim}`"));
        for name in names.iter().filter(|_| claimed) {
            let (file, test) = name.split_once("::").unwrap();
            let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/it")
                .join(file);
            let there = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                there.contains(&format!("async fn {test}()")),
                "{claim}: {name} is not there"
            );
        }
    }
}
