//! What the catalogue lists, in words: who offers what at which address, whose word that is, whether it counts, and what was seen
//! there. Text from members is text: the template escapes it, and only https terms become a link.

use wire::contract::catalogue::EndpointStatus;

use crate::State;
use crate::look_up::catalogue::{Listed, Seen, Word};
use crate::text::Text;

/// From so many days on a certificate is warned of (threats-and-faults section 12).
const WARN_DAYS: i64 = 30;

/// Words, and whether they are a warning.
pub struct Said {
    /// In words.
    pub words: String,
    /// Whether somebody should do something.
    pub warns: bool,
}

impl Said {
    fn well(words: impl Into<String>) -> Said {
        let words = words.into();
        Said {
            words,
            warns: false,
        }
    }

    fn warning(words: impl Into<String>) -> Said {
        let words = words.into();
        Said { words, warns: true }
    }
}

/// One service on the page.
pub struct Offer {
    /// The responsible organisation.
    pub name: String,
    /// Its number, in words.
    pub number: String,
    /// What the service is called, where that says more than the organisation's name.
    pub service: Option<String>,
    /// In which form, and by whom it is run.
    pub concept: Vec<String>,
    /// Kinds of information.
    pub kinds: String,
    /// Who takes part, and whether that counts.
    pub members: Vec<Said>,
    /// The follow-up service's telephone.
    pub telephone: Option<String>,
    /// The terms of use, https.
    pub terms: Option<String>,
    /// The FHIR base, as text: it is no page.
    pub address: String,
    /// Whether it counts, and whose word it is.
    pub standing: Vec<Said>,
    /// When the catalogue last looked.
    pub looked: Option<String>,
    /// What it saw.
    pub seen: Vec<Said>,
}

/// The services in words, by name.
pub fn offers(listed: &[Listed], state: &State, t: &Text) -> Vec<Offer> {
    let mut offers: Vec<Offer> = listed.iter().map(|one| offer(one, state, t)).collect();
    offers.sort_by_key(|one| (one.name.to_lowercase(), one.address.clone()));
    offers
}

fn offer(listed: &Listed, state: &State, t: &Text) -> Offer {
    let endpoint = &listed.endpoint;
    let named = endpoint.managing_name.clone();
    let name = named.unwrap_or_else(|| state.name_of(&endpoint.managing).to_owned());
    let concept = endpoint.concept.as_deref();
    let concept = concept.and_then(|code| t.find(&format!("concept.{code}")));
    let supplier = endpoint.supplier.as_deref().map(|number| {
        let name = state.name_of(number);
        t.fill("offers.run_by", &[("name", name)])
    });
    let member = |one: &crate::look_up::catalogue::Member| {
        let name = state.name_of(&one.number);
        match one.counts {
            true => Said::well(name),
            false => Said::warning(t.fill("offers.member_not", &[("name", name)])),
        }
    };
    Offer {
        number: t.fill("patients.orgnr", &[("number", &endpoint.managing)]),
        service: Some(endpoint.name.clone()).filter(|own| !own.is_empty() && *own != name),
        concept: concept
            .map(str::to_owned)
            .into_iter()
            .chain(supplier)
            .collect(),
        kinds: kinds(&endpoint.payload_kinds, t),
        members: listed.members.iter().map(member).collect(),
        telephone: listed.telephone.clone(),
        terms: listed.terms.clone(),
        address: endpoint.address.clone(),
        standing: standing(listed, t),
        looked: listed.seen.as_ref().and_then(|seen| {
            let moment = state.calendar.moment(&seen.at)?;
            Some(state.calendar.moment_text(moment))
        }),
        seen: listed
            .seen
            .as_ref()
            .map_or_else(Vec::new, |seen| saw(seen, t)),
        name,
    }
}

/// `IT17` with its name, where it has one here.
fn kinds(codes: &[String], t: &Text) -> String {
    let name = |code: &String| match t.find(&format!("kind.{code}")) {
        Some(name) => format!("{code} {name}"),
        None => code.clone(),
    };
    codes.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn standing(listed: &Listed, t: &Text) -> Vec<Said> {
    let counts = match listed.endpoint.status {
        _ if listed.lapsed => Said::warning(t.of("offers.lapsed")),
        EndpointStatus::Active => Said::well(t.of("offers.active")),
        EndpointStatus::Test => Said::well(t.of("offers.test")),
        EndpointStatus::Suspended => Said::warning(t.of("offers.suspended")),
        EndpointStatus::Error => Said::warning(t.of("offers.error")),
        EndpointStatus::Off | EndpointStatus::EnteredInError => Said::warning(t.of("offers.off")),
    };
    match listed.word {
        Word::Owners => vec![counts, Said::well(t.of("offers.owners"))],
        Word::Operators => vec![counts, Said::well(t.of("offers.operators"))],
        // Whatever it says of itself.
        Word::Unverified => vec![Said::warning(t.of("offers.unverified"))],
    }
}

fn saw(seen: &Seen, t: &Text) -> Vec<Said> {
    let mut said = vec![match (seen.reachable, seen.capability) {
        (false, _) => Said::warning(t.of("offers.silent_there")),
        (true, false) => Said::warning(t.of("offers.no_capability")),
        (true, true) => Said::well(match &seen.version {
            Some(version) => t.fill("offers.answers_version", &[("version", version)]),
            None => t.of("offers.answers").to_owned(),
        }),
    }];
    match seen.owner.as_str() {
        "other" => said.push(Said::warning(t.of("offers.another"))),
        "unsaid" if seen.capability => said.push(Said::well(t.of("offers.unsaid"))),
        _ => {}
    }
    if seen.missing > 0 {
        said.push(Said::warning(t.count("offers.missing", seen.missing)));
    }
    if seen.unserved > 0 {
        said.push(Said::warning(t.count("offers.unserved", seen.unserved)));
    }
    match seen.certificate_days {
        Some(days) if days < 0 => said.push(Said::warning(t.of("offers.certificate_over"))),
        Some(days) => {
            let words = t.count("offers.certificate", days);
            said.push(match days <= WARN_DAYS {
                true => Said::warning(words),
                false => Said::well(words),
            });
        }
        None => {}
    }
    said
}
