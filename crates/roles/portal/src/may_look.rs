//! Who may look, in words: at each holder what is held about her, whose people may see what of it and by which agreement, and who
//! acts for her. What the holders told is shown as they told it (`wire::may_look`); no rule is judged here.

use fhir::resource::InformationService;
use trust::attest::Purpose;
use trust::may_look::{Way, Work};
use wire::may_look::{Ground, Opens, Reader, Representative, Told, Who};

use crate::State;
use crate::calendar::bare_date;
use crate::text::Text;

/// One holder on the page.
pub struct Holder {
    /// Its name.
    pub name: String,
    /// What it holds about her.
    pub held: String,
    /// Who keeps it on its behalf.
    pub kept: Vec<String>,
    /// How many are shut out by name, where there are any.
    pub shut_out: Option<String>,
    /// Whose people may look.
    pub readers: Vec<Line>,
}

/// One organisation whose people may look.
pub struct Line {
    /// Its name.
    pub name: String,
    /// By what.
    pub ground: String,
    /// As what and what for, and what is seen so.
    pub sees: Vec<(String, String)>,
}

/// What each holder told, in words.
pub fn holders(told: &[Told], state: &State, t: &Text) -> Vec<Holder> {
    let holder = |one: &Told| {
        let own = name(&one.holder, state);
        let kept = one.processors.iter().map(|keeper| {
            let values = [
                ("name", name(&keeper.who, state)),
                ("holder", own.clone()),
                ("id", keeper.paper.id.clone()),
                ("from", bare_date(&keeper.paper.from)),
            ];
            t.fill(
                "may.kept",
                &values.each_ref().map(|(key, value)| (*key, value.as_str())),
            )
        });
        Holder {
            held: match one.held.is_empty() {
                true => t.of("may.held_nothing").to_owned(),
                false => t.fill("may.held", &[("kinds", &kinds(&one.held, t))]),
            },
            kept: kept.collect(),
            shut_out: one
                .shut_out
                .filter(|many| *many > 0)
                .map(|many| t.count("may.shut_out", many)),
            readers: one
                .readers
                .iter()
                .map(|reader| line(reader, state, t))
                .collect(),
            name: own,
        }
    };
    told.iter().map(holder).collect()
}

/// Who acts for her, in words.
pub fn acting(acting: &[Representative], t: &Text) -> Vec<String> {
    let one = |one: &Representative| {
        let name = one.name.as_deref().unwrap_or(t.of("may.somebody"));
        let what = kinds(&one.services, t);
        let mut said = vec![t.fill("may.acts", &[("name", name), ("kinds", &what)])];
        for (covered, yes, no) in [
            (one.notes, "may.acts_notes", "may.acts_no_notes"),
            (one.log, "may.acts_log", "may.acts_no_log"),
        ] {
            said.push(t.of(if covered { yes } else { no }).to_owned());
        }
        said.join(", ")
    };
    acting.iter().map(one).collect()
}

fn line(reader: &Reader, state: &State, t: &Text) -> Line {
    let opens = reader
        .opens
        .iter()
        .map(|one| (&one.ways, what(one, state, t)));
    let shut = reader.shut.iter().map(|one| {
        let known = t.find(&format!("shut.{}", one.code));
        let general = trust::explain::of(&one.code);
        let words = known.unwrap_or_else(|| t.among(general.nb, general.nn, general.en));
        (&one.ways, words.to_owned())
    });
    let said = opens.chain(shut);
    let sees = said.flat_map(|(ways, what)| {
        let whose = whose(ways, t).into_iter();
        whose
            .map(move |who| (who, what.clone()))
            .collect::<Vec<_>>()
    });
    Line {
        name: name(&reader.who, state),
        ground: ground(&reader.ground, t),
        sees: sees.collect(),
    }
}

fn ground(ground: &Ground, t: &Text) -> String {
    match ground {
        Ground::Own => t.of("may.own").to_owned(),
        Ground::Register => t.of("may.register").to_owned(),
        Ground::Agreement(paper) => {
            let (id, from) = (paper.id.as_str(), bare_date(&paper.from));
            match &paper.until {
                None => t.fill("may.agreement", &[("id", id), ("from", &from)]),
                Some(until) => {
                    let until = bare_date(until);
                    let values = [("id", id), ("from", from.as_str()), ("until", &until)];
                    t.fill("may.agreement_until", &values)
                }
            }
        }
    }
}

/// What is seen, and what of it is not.
fn what(opens: &Opens, state: &State, t: &Text) -> String {
    if opens.services.is_empty() {
        return t.of("may.nothing").to_owned();
    }
    let mut said = vec![kinds(&opens.services, t)];
    let since = opens.since.as_deref();
    let since = since.and_then(|at| state.calendar.moment(at));
    said.extend(since.map(|at| {
        let day = state.calendar.date(at.millis);
        t.fill("may.since", &[("when", &day)])
    }));
    if !opens.without.is_empty() {
        let known = |code: &str| t.find(&format!("detail.{code}")).map(str::to_owned);
        let details = opens.without.iter();
        let details: Vec<_> = details.filter_map(|one| known(one.code())).collect();
        said.push(t.fill("log.without", &[("details", &details.join(", "))]));
    }
    if opens.broken {
        said.push(t.of("may.broken").to_owned());
    }
    said.join(", ")
}

/// The ways in words: those who work alike and for the same in one phrase.
fn whose(ways: &[Way], t: &Text) -> Vec<String> {
    let mut groups: Vec<(Vec<Work>, Vec<Purpose>)> = Vec::new();
    for work in Work::ALL {
        let of = |(one, purpose): &Way| (*one == work).then_some(*purpose);
        let purposes: Vec<Purpose> = ways.iter().filter_map(of).collect();
        if purposes.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(_, same)| *same == purposes) {
            Some((works, _)) => works.push(work),
            None => groups.push((vec![work], purposes)),
        }
    }
    let phrase = |(works, purposes): (Vec<Work>, Vec<Purpose>)| {
        let works: Vec<_> = match works.len() == Work::ALL.len() {
            true => vec![t.of("may.everybody")],
            false => works.into_iter().map(|work| work_words(work, t)).collect(),
        };
        let purposes: Vec<_> = purposes
            .into_iter()
            .map(|one| purpose_words(one, t))
            .collect();
        let (works, purposes) = (works.join("; "), purposes.join(", "));
        t.fill("may.ways", &[("works", &works), ("purposes", &purposes)])
    };
    groups.into_iter().map(phrase).collect()
}

fn work_words(work: Work, t: &Text) -> &'static str {
    match work {
        Work::Treats => t.of("may.treats"),
        Work::Assists => t.of("may.assists"),
        Work::Unauthorised => t.of("may.unauthorised"),
    }
}

fn purpose_words(purpose: Purpose, t: &Text) -> &'static str {
    match purpose {
        Purpose::Treat => t.of("may.treat"),
        Purpose::EmergencyTreat => t.of("may.acute"),
        Purpose::Coordination => t.of("may.coordination"),
        Purpose::BreakTheGlass => t.of("may.glass"),
    }
}

fn name(who: &Who, state: &State) -> String {
    let number = who.organisation.as_str();
    let known = who.name.as_deref();
    known.unwrap_or(state.name_of(number)).to_owned()
}

fn kinds(services: &[InformationService], t: &Text) -> String {
    let codes: Vec<String> = services.iter().map(ToString::to_string).collect();
    crate::citizen::kinds(&codes, t)
}
