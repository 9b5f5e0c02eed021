//! Stories told to the real binary: whole regions started as `delt demo`, roles apart as `delt serve`, each on its own
//! ports and in its own folder. Every wait is a poll of something that can be seen, with a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failing test may panic, and a harness that meets real processes meets their clock"
)]

mod kit;

mod a_bent_audit_trail_is_found_by_its_kept_heads;
mod a_block_at_helsenorge_closes_the_door_here;
mod a_certificate_ends_soon;
mod a_citizen_signs_in_to_her_own_pages;
mod a_days_note_arrives_once;
mod a_device_and_a_questionnaire_find_their_way;
mod a_gateway_starts_on_a_bad_day;
mod a_hub_that_dies_at_night_stands_on_the_list;
mod a_look_up_needs_the_documented_need;
mod a_look_up_without_a_locator;
mod a_lost_delivery_is_found_and_repaired;
mod a_member_is_suspended_in_the_middle_of_a_day;
mod a_municipality_moves_to_another_supplier;
mod a_new_consumer_makes_its_first_look_up;
mod a_nurse_closes_an_alert_from_her_list;
mod a_patient_sees_who_looked_and_closes_the_door;
mod a_reading_arrives_at_another_organisations_screen;
mod a_record_system_feeds_its_own_service;
mod a_record_system_opens_the_patients_page;
mod a_resend_changes_nothing;
mod a_service_lists_itself_in_the_catalogue;
mod a_token_for_one_patient_shows_nothing_of_another;
mod an_alert_changes_hands;
mod an_alert_from_the_home_system_is_shared_by_look_up;
mod an_import_is_reported_entry_by_entry;
mod an_organisation_runs_a_gateway_of_its_own;
mod bad_input_is_refused_aloud;
mod check_refuses_what_the_law_does_not_allow;
mod every_party_in_a_process_of_its_own;
mod everything_survives_a_power_cut;
mod many_kills_lose_and_double_nothing;
mod nobody_was_forgotten;
mod one_bad_source_costs_only_its_own_data;
mod operations_over_the_region_agree_with_its_look_ups;
mod plan_and_medicines_by_the_same_path;
mod pointers_go_missing_and_keys_change;
mod published_examples_go_through_the_hub;
mod simulated_homes_send_what_a_hub_takes;
mod ten_organisations_six_of_them_in_trouble;
mod the_gp_is_told_and_reads_it_by_his_own_right;
mod the_gp_looks_up_files_and_later_reads_what_changed;
mod the_portal_shows_what_the_catalogue_lists;
mod the_ready_line_is_the_contracts;
mod the_whole_story;
mod who_signs_in_has_the_list;
