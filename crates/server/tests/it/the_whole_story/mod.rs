//! STORY.md from day -10 to day 14 in one running region, and from day -21 to -17 in another, by a clock that the test puts (`delt demo --from-day`). What homes and
//! record systems send comes by itself, each thing at its own time; what people do is done here, day by day. Each day's
//! own details have stories of their own; here they are one, in order.

mod after;
mod before;
mod begun;
mod ill;
mod own_gateway;

use crate::kit::lookup::{Screen, receipt, source};
use crate::kit::region;
use crate::kit::side::Side;
use crate::kit::wait::until;
use serde_json::Value;
use testkit::clients::Reply;
use testkit::region::Region;
use wire::contract::demo::{DemoPatient, DemoPractitioner, Purpose};
use wire::receipt::{Receipt, SourceState};

const FJELLVIK: &str = "310001007";
const PROVEHEIM: &str = "310001074";
const PROVEBAKKEN: &str = "310001147";
/// What falls at Fjellvik on day 3: its own servers, and not its service at NordDrift.
const SERVERS: [&str; 2] = ["epj-fjellvik", "gateway-fjellvik"];
/// What waits for somebody.
const OPEN: &[&str] = &["raised", "owned", "acknowledged", "offered"];
/// An alert's topics.
const READINGS: &str = "alert-readings";
const MISSING: &str = "alert-missing";

struct Story<'a> {
    region: &'a Region,
    patient: &'a DemoPatient,
    fjellvik: Side<'a>,
    proveheim: Side<'a>,
}

impl<'a> Story<'a> {
    fn of(region: &'a Region) -> Story<'a> {
        let patient = region.story_patient().unwrap();
        Story {
            region,
            patient,
            fjellvik: Side::own(region, patient, "fjellvik"),
            proveheim: Side::own(region, patient, "proveheim"),
        }
    }

    /// The clock is put, and what is sent until then is sent.
    async fn at(&self, day: i32, time: &str) {
        let played = self.region.play(day, time).await;
        played.unwrap_or_else(|error| panic!("day {day} {time}: {error}"));
    }

    /// The first of an organisation's people.
    fn who(&self, orgnr: &str) -> &'a DemoPractitioner {
        let mut all = self.region.ready.practitioners.iter();
        all.find(|one| one.orgnr == orgnr).unwrap()
    }

    /// At the hospital's gateway, for a purpose.
    async fn screen(&self, who: &DemoPractitioner, purpose: Purpose) -> Screen {
        let gateway = self.region.gateway();
        Screen::with(self.region, &gateway, |caller| {
            let mut request = caller.as_practitioner(who, self.patient, &gateway);
            request.purpose = purpose;
            request
        })
        .await
    }

    /// A look-up at the gateway, with its receipt.
    async fn looks_up(
        &self,
        screen: &Screen,
        kind: &str,
        form: &[(&str, &str)],
    ) -> (Reply, Receipt) {
        let reply = screen.search_for(self.patient, kind, form).await;
        assert_eq!(reply.status, 200, "{kind}: {}", reply.json);
        let account = receipt(&reply);
        (reply, account)
    }

    /// The same, as soon as these sources are complete: after a leap of the clock the locator has not heard of the holders for a while.
    async fn looks_up_whole(
        &self,
        screen: &Screen,
        kind: &str,
        form: &[(&str, &str)],
        complete: &[&str],
    ) -> (Reply, Receipt) {
        until("complete sources", async || {
            let (reply, account) = self.looks_up(screen, kind, form).await;
            let whole = |one: &&str| source(&account, one).state == SourceState::Complete;
            complete.iter().all(whole).then_some((reply, account))
        })
        .await
    }

    /// Alerts of a topic at Fjellvik's, in any of these states.
    async fn alerts(&self, topic: &str, states: &[&str]) -> Vec<Value> {
        let mut all = self.fjellvik.found("Task", &[]).await;
        all.retain(|one| {
            states.contains(&crate::kit::side::state(one))
                && one["code"]["coding"][0]["code"] == topic
        });
        all
    }

    /// Waits until there is one open alert of a topic, and gives it.
    async fn alert(&self, topic: &str) -> Value {
        until(topic, async || {
            let open = self.alerts(topic, OPEN).await;
            assert!(open.len() < 2, "one open alert of a topic: {open:?}");
            open.into_iter().next()
        })
        .await
    }

    /// What was measured at or after a story day's hour or, `judged`, what the assessment says of it.
    async fn since(&self, day: i32, hour: i8, judged: bool) -> Vec<Value> {
        let date = format!("ge{}", self.moment(day, hour));
        let form = [("date", date.as_str()), ("_count", "200")];
        let mut all = self.fjellvik.found("Observation", &form).await;
        all.retain(|one| one["method"].is_object() == judged);
        all
    }

    /// A full hour of a story day.
    fn moment(&self, day: i32, hour: i8) -> fhir::time::Instant {
        self.calendar().hour(day, hour)
    }

    fn calendar(&self) -> testkit::calendar::Calendar {
        let kept = std::fs::read(self.region.data().join("demo.json")).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        let day_zero = kept["day_zero"].as_str().unwrap();
        testkit::calendar::Calendar::from_day0(day_zero.parse().unwrap())
    }

    /// Zones of readings since then, in order; waits until there are `count`.
    async fn zones(&self, day: i32, hour: i8, count: usize) -> Vec<String> {
        until("the zones", async || {
            let all = self.since(day, hour, true).await;
            let zones = all.iter().filter_map(zone);
            let mut zones: Vec<String> = zones.map(str::to_owned).collect();
            zones.sort();
            (zones.len() >= count).then_some(zones)
        })
        .await
    }

    /// The newest early warning score since then.
    async fn news2(&self, day: i32, hour: i8) -> Value {
        until("a score", async || {
            let all = self.since(day, hour, true).await;
            let mut scores: Vec<Value> = all
                .into_iter()
                .filter(|one| one["code"]["coding"][0]["code"] == "1104051000000101")
                .collect();
            scores.sort_by_key(|one| one["effectiveDateTime"].to_string());
            scores.pop()
        })
        .await
    }
}

/// The zone that a result gives.
fn zone(result: &Value) -> Option<&str> {
    if result["code"]["coding"][0]["code"] != "zone" {
        return None;
    }
    result["valueCodeableConcept"]["coding"][0]["code"].as_str()
}

#[tokio::test]
async fn from_the_plan_to_the_first_readings() {
    let own = region::own(&["--from-day", "-21"]).await;
    let region = &own.region;
    let story = Story::of(region);
    begun::day_minus_21_the_plan_is_made(&story).await;
    begun::day_minus_18_the_oximeter_is_hers(&story).await;
    begun::day_minus_17_the_first_readings_by_two_organisations_devices(&story).await;
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    crate::kit::stores::all_trails_are_whole(&data).await;
}

#[tokio::test]
async fn from_the_phone_that_was_off_to_the_evaluation() {
    let own = region::own(&["--from-day", "-10"]).await;
    let region = &own.region;
    let story = Story::of(region);
    before::day_minus_8_nothing_has_come_for_two_days(&story).await;
    before::day_minus_7_the_backlog_comes_shuffled_and_doubled(&story).await;
    before::day_0_is_green(&story).await;
    ill::day_1_is_yellow_and_the_nurse_owns_it(&story).await;
    let changes = ill::day_2_the_score_says_what_it_lacks_and_the_gp_looks_up(&story).await;
    let subscribed = ill::day_2_the_gps_record_system_subscribes(&story).await;
    ill::day_3_is_red_and_handed_over(&story).await;
    let looked = own_gateway::day_3_the_nurse_looks_up_at_her_own(&story).await;
    let filed = own_gateway::day_3_the_municipalitys_servers_fall(&story, &looked).await;
    ill::day_3_the_physician_looks_up_though_servers_fell(&story).await;
    ill::day_3_the_clinic_makes_plan_v2_and_hands_back(&story, &subscribed).await;
    after::day_4_the_servers_return(&story, &filed).await;
    after::day_4_the_record_system_has_everything_once(&story).await;
    let again = own_gateway::day_4_it_is_there_as_it_was(&story, &looked, &filed).await;
    after::day_6_the_alert_is_closed_and_day_3_still_shows_plan_v1(&story).await;
    after::day_7_she_sees_who_looked_and_closes_the_door(&story).await;
    after::day_9_who_has_no_part_in_it_and_her_husband(&story).await;
    after::day_12_breathless_at_sorlia(&story).await;
    after::day_14_one_page_of_what_changed(&story, &changes).await;
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    crate::kit::stores::all_trails_are_whole(&data).await;
    own_gateway::its_trail_is_one(&data, [&looked.request, &again]).await;
}
