//! Who may look, as a holder tells the patient and as the gateway and her page read it: FHIR R4 Parameters
//! (parameters.html). One shape for all three, so that what is told is what is shown.

use crate::parts::{named, read_all};
use fhir::ids::OrganisationNumber;
use fhir::resource::InformationService;
use serde_json::{Value, json};
use trust::Detail;
use trust::attest::Purpose;
use trust::may_look::{Way, Work};

use crate::contract::ORGANISATION_NUMBER_SYSTEM;

/// Most parts of one kind that are read of an answer; a holder that names more is not believed.
const MOST: usize = 5_000;

/// What one holder tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who is responsible for the data.
    pub holder: Who,
    /// When the rules were asked, RFC 3339 in UTC.
    pub as_of: String,
    /// Kinds of information that it holds about her.
    pub held: Vec<InformationService>,
    /// How many people are shut out by name, always; `None` where that is not the asker's to know.
    pub shut_out: Option<u64>,
    /// Whose people may look: its own, members of a register that it shares, and others by agreement.
    pub readers: Vec<Reader>,
    /// Suppliers that keep it on the holder's behalf and look at nothing for themselves.
    pub processors: Vec<Processor>,
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Its number.
    pub organisation: OrganisationNumber,
    /// Its name, where it is known.
    pub name: Option<String>,
}

/// A signed agreement, by the anchor's documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Its id.
    pub id: String,
    /// First day in force, `YYYY-MM-DD`.
    pub from: String,
    /// Last day in force; `None`: open-ended.
    pub until: Option<String>,
}

/// By what an organisation's people may look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// They are the holder's own.
    Own,
    /// They share the register (pasientjournalloven § 9).
    Register,
    /// An agreement on sharing is in force.
    Agreement(Paper),
}

/// One organisation whose people may look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Who.
    pub who: Who,
    /// By what.
    pub ground: Ground,
    /// What they would be given; `services` of what is held.
    pub opens: Vec<Opens>,
    /// What they would be refused.
    pub shut: Vec<Shut>,
}

/// What is given, the same for all these ways ([`trust::may_look::Opening`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opens {
    /// As what, and what for.
    pub ways: Vec<Way>,
    /// Kinds.
    pub services: Vec<InformationService>,
    /// Nothing older than this, RFC 3339.
    pub since: Option<String>,
    /// Details that are left out.
    pub without: Vec<Detail>,
    /// Whether a block must be broken for it, with a written reason.
    pub broken: bool,
}

/// What is refused, the same for all these ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    /// As what, and what for.
    pub ways: Vec<Way>,
    /// Code of the refusal, for which [`trust::explain::of`] has words.
    pub code: String,
}

/// A supplier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Who.
    pub who: Who,
    /// By which data processing agreement.
    pub paper: Paper,
}

/// Somebody who acts for the patient, as the anchor knows it; the gateway tells it, and no holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representative {
    /// Name, where it is known.
    pub name: Option<String>,
    /// Kinds that she chose.
    pub services: Vec<InformationService>,
    /// Whether the log of who looked is among it, and with it who may look.
    pub log: bool,
    /// Whether notes are.
    pub notes: bool,
}

impl Representative {
    fn part(&self) -> Value {
        let name = self.name.iter();
        let mut parts: Vec<Value> = name
            .map(|name| json!({"name": "name", "valueString": name}))
            .collect();
        parts.extend(codes("service", &self.services));
        for (name, covered) in [("log", self.log), ("notes", self.notes)] {
            parts.push(json!({"name": name, "valueBoolean": covered}));
        }
        json!({"name": REPRESENTATIVE, "part": parts})
    }

    fn read(part: &Value) -> Option<Representative> {
        let parts = part["part"].as_array()?;
        let one = |name| named(parts, name).next();
        Some(Representative {
            name: match one("name") {
                Some(name) => Some(text(name, "valueString")?),
                None => None,
            },
            services: read_all(parts, "service", MOST, service)?,
            log: one("log")?["valueBoolean"].as_bool()?,
            notes: one("notes")?["valueBoolean"].as_bool()?,
        })
    }
}

const REPRESENTATIVE: &str = "representative";

/// What the gateway makes of what the holders told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Everywhere {
    /// Each holder that told.
    pub holders: Vec<Told>,
    /// Who acts for her; told to herself alone.
    pub representatives: Vec<Representative>,
    /// The signed receipt ([`crate::receipt::Receipt`]): who told and who did not.
    pub receipt: Value,
}

impl Everywhere {
    /// As Parameters.
    pub fn to_json(&self) -> Value {
        let holders = self.holders.iter();
        let holders = holders.map(|one| json!({"name": "holder", "resource": one.to_json()}));
        let acting = self.representatives.iter().map(Representative::part);
        let last = json!({"name": "receipt", "resource": self.receipt});
        let parameters: Vec<Value> = holders.chain(acting).chain([last]).collect();
        json!({"resourceType": "Parameters", "parameter": parameters})
    }

    /// Reads Parameters; `None` for what is not of this shape.
    pub fn read(parameters: &Value) -> Option<Everywhere> {
        if parameters["resourceType"] != "Parameters" {
            return None;
        }
        let all = parameters["parameter"].as_array()?;
        Some(Everywhere {
            holders: read_all(all, "holder", MOST, |one| Told::read(&one["resource"]))?,
            representatives: read_all(all, REPRESENTATIVE, MOST, Representative::read)?,
            receipt: named(all, "receipt").next()?["resource"].clone(),
        })
    }
}

impl Told {
    /// As Parameters.
    pub fn to_json(&self) -> Value {
        let mut parameters = vec![
            self.holder.part("holder", Vec::new()),
            json!({"name": "as-of", "valueInstant": self.as_of}),
        ];
        parameters.extend(codes("held", &self.held));
        parameters.extend(
            self.shut_out
                .map(|many| json!({"name": "shut-out", "valueInteger": many})),
        );
        parameters.extend(self.readers.iter().map(Reader::part));
        parameters.extend(
            self.processors
                .iter()
                .map(|one| one.who.part("processor", vec![one.paper.part()])),
        );
        json!({"resourceType": "Parameters", "parameter": parameters})
    }

    /// Reads Parameters; `None` for what is not of this shape.
    pub fn read(parameters: &Value) -> Option<Told> {
        if parameters["resourceType"] != "Parameters" {
            return None;
        }
        let all = parameters["parameter"].as_array()?;
        let one = |name| named(all, name).next();
        Some(Told {
            holder: Who::read(one("holder")?)?,
            as_of: text(one("as-of")?, "valueInstant")?,
            held: read_all(all, "held", MOST, service)?,
            shut_out: match one("shut-out") {
                Some(told) => Some(told["valueInteger"].as_u64()?),
                None => None,
            },
            readers: read_all(all, "reader", MOST, Reader::read)?,
            processors: read_all(all, "processor", MOST, Processor::read)?,
        })
    }
}

impl Who {
    fn part(&self, name: &str, more: Vec<Value>) -> Value {
        let number = json!({"system": ORGANISATION_NUMBER_SYSTEM, "value": self.organisation});
        let mut parts = vec![json!({"name": "identifier", "valueIdentifier": number})];
        let told = self.name.iter();
        parts.extend(told.map(|name| json!({"name": "name", "valueString": name})));
        parts.extend(more);
        json!({"name": name, "part": parts})
    }

    fn read(part: &Value) -> Option<Who> {
        let parts = part["part"].as_array()?;
        let number = &named(parts, "identifier").next()?["valueIdentifier"]["value"];
        let name = named(parts, "name").next();
        Some(Who {
            organisation: OrganisationNumber::parse(number.as_str()?).ok()?,
            name: match name {
                Some(name) => Some(text(name, "valueString")?),
                None => None,
            },
        })
    }
}

impl Paper {
    fn part(&self) -> Value {
        let mut parts = vec![
            json!({"name": "id", "valueString": self.id}),
            json!({"name": "from", "valueDate": self.from}),
        ];
        let until = self.until.iter();
        parts.extend(until.map(|until| json!({"name": "until", "valueDate": until})));
        json!({"name": "agreement", "part": parts})
    }

    fn read(part: &Value) -> Option<Paper> {
        let parts = part["part"].as_array()?;
        let one = |name| named(parts, name).next();
        Some(Paper {
            id: text(one("id")?, "valueString")?,
            from: text(one("from")?, "valueDate")?,
            until: match one("until") {
                Some(until) => Some(text(until, "valueDate")?),
                None => None,
            },
        })
    }
}

impl Reader {
    fn part(&self) -> Value {
        let (ground, paper) = match &self.ground {
            Ground::Own => ("own", None),
            Ground::Register => ("register", None),
            Ground::Agreement(paper) => ("agreement", Some(paper.part())),
        };
        let mut parts = vec![json!({"name": "ground", "valueCode": ground})];
        parts.extend(paper);
        parts.extend(self.opens.iter().map(Opens::part));
        parts.extend(self.shut.iter().map(Shut::part));
        self.who.part("reader", parts)
    }

    fn read(part: &Value) -> Option<Reader> {
        let parts = part["part"].as_array()?;
        let one = |name| named(parts, name).next();
        Some(Reader {
            who: Who::read(part)?,
            ground: match one("ground")?["valueCode"].as_str()? {
                "own" => Ground::Own,
                "register" => Ground::Register,
                "agreement" => Ground::Agreement(Paper::read(one("agreement")?)?),
                _ => return None,
            },
            opens: read_all(parts, "opens", MOST, Opens::read)?,
            shut: read_all(parts, "shut", MOST, Shut::read)?,
        })
    }
}

impl Opens {
    fn part(&self) -> Value {
        let mut parts: Vec<Value> = self.ways.iter().map(way_part).collect();
        parts.extend(codes("service", &self.services));
        let since = self.since.iter();
        parts.extend(since.map(|since| json!({"name": "since", "valueInstant": since})));
        let without = self.without.iter().map(|one| one.code());
        parts.extend(without.map(|code| json!({"name": "without", "valueCode": code})));
        if self.broken {
            parts.push(json!({"name": "broken", "valueBoolean": true}));
        }
        json!({"name": "opens", "part": parts})
    }

    fn read(part: &Value) -> Option<Opens> {
        let parts = part["part"].as_array()?;
        let one = |name| named(parts, name).next();
        Some(Opens {
            ways: read_all(parts, "for", MOST, way)?,
            services: read_all(parts, "service", MOST, service)?,
            since: match one("since") {
                Some(since) => Some(text(since, "valueInstant")?),
                None => None,
            },
            without: read_all(parts, "without", MOST, detail)?,
            broken: one("broken").is_some_and(|one| one["valueBoolean"] == true),
        })
    }
}

impl Shut {
    fn part(&self) -> Value {
        let words = trust::explain::of(&self.code);
        let told = |language: &str, words: &str| {
            json!({"name": "text", "part": [
                {"name": "language", "valueCode": language},
                {"name": "value", "valueString": words},
            ]})
        };
        let mut parts: Vec<Value> = self.ways.iter().map(way_part).collect();
        parts.push(json!({"name": "code", "valueCode": self.code}));
        parts.extend([told("nb", words.nb), told("en", words.en)]);
        json!({"name": "shut", "part": parts})
    }

    fn read(part: &Value) -> Option<Shut> {
        let parts = part["part"].as_array()?;
        Some(Shut {
            ways: read_all(parts, "for", MOST, way)?,
            code: text(named(parts, "code").next()?, "valueCode")?,
        })
    }
}

impl Processor {
    fn read(part: &Value) -> Option<Processor> {
        let parts = part["part"].as_array()?;
        Some(Processor {
            who: Who::read(part)?,
            paper: Paper::read(named(parts, "agreement").next()?)?,
        })
    }
}

fn text(part: &Value, value: &str) -> Option<String> {
    part[value].as_str().map(str::to_owned)
}

fn codes(name: &str, services: &[InformationService]) -> impl Iterator<Item = Value> {
    let codes = services.iter().map(ToString::to_string);
    codes.map(move |code| json!({"name": name, "valueCode": code}))
}

fn service(part: &Value) -> Option<InformationService> {
    InformationService::parse(part["valueCode"].as_str()?)
}

fn detail(part: &Value) -> Option<Detail> {
    let code = part["valueCode"].as_str()?;
    Detail::ALL.into_iter().find(|one| one.code() == code)
}

fn way_part((work, purpose): &Way) -> Value {
    json!({"name": "for", "part": [
        {"name": "work", "valueCode": work.code()},
        {"name": "purpose", "valueCode": purpose.code()},
    ]})
}

fn way(part: &Value) -> Option<Way> {
    let parts = part["part"].as_array()?;
    let code = |name| named(parts, name).next()?["valueCode"].as_str();
    Some((
        Work::parse(code("work")?)?,
        Purpose::parse(code("purpose")?)?,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn who(number: &str, name: Option<&str>) -> Who {
        Who {
            organisation: OrganisationNumber::parse(number).unwrap(),
            name: name.map(str::to_owned),
        }
    }

    fn told() -> Told {
        let paper = |until: Option<&str>| Paper {
            id: "AVT-1".into(),
            from: "2026-01-01".into(),
            until: until.map(str::to_owned),
        };
        let (treats, helps) = (Work::Treats, Work::Assists);
        let reader = |who: Who, ground: Ground| Reader {
            who,
            ground,
            opens: vec![
                Opens {
                    ways: vec![(treats, Purpose::Treat), (helps, Purpose::EmergencyTreat)],
                    services: vec![InformationService::PLANS, InformationService::MEASUREMENTS],
                    since: None,
                    without: vec![],
                    broken: false,
                },
                Opens {
                    ways: vec![(treats, Purpose::BreakTheGlass)],
                    services: vec![],
                    since: Some("2025-01-01T00:00:00Z".into()),
                    without: vec![Detail::Narrative, Detail::Notes],
                    broken: true,
                },
            ],
            shut: vec![Shut {
                ways: vec![(Work::Unauthorised, Purpose::BreakTheGlass)],
                code: "authorisation_missing".into(),
            }],
        };
        Told {
            holder: who("310001007", Some("Fjellvik")),
            as_of: "2026-11-21T09:00:00Z".into(),
            held: vec![InformationService::PLANS],
            shut_out: Some(1),
            readers: vec![
                reader(who("310001007", None), Ground::Own),
                reader(who("310001422", None), Ground::Register),
                reader(
                    who("310001074", Some("Prøveheim")),
                    Ground::Agreement(paper(None)),
                ),
            ],
            processors: vec![Processor {
                who: who("310001287", Some("NordDrift")),
                paper: paper(Some("2027-01-01")),
            }],
        }
    }

    #[test]
    fn what_is_told_reads_back() {
        let one = told();
        assert_eq!(Told::read(&one.to_json()), Some(one.clone()));
        let less = Told {
            shut_out: None,
            readers: vec![],
            processors: vec![],
            held: vec![],
            ..one
        };
        assert_eq!(Told::read(&less.to_json()), Some(less));
    }

    #[test]
    fn what_the_gateway_tells_reads_back() {
        let husband = |name: Option<&str>| Representative {
            name: name.map(str::to_owned),
            services: vec![InformationService::PLANS],
            log: false,
            notes: true,
        };
        let all = Everywhere {
            holders: vec![told()],
            representatives: vec![husband(Some("Odd")), husband(None)],
            receipt: json!({"resourceType": "OperationOutcome"}),
        };
        assert_eq!(Everywhere::read(&all.to_json()), Some(all.clone()));
        for (at, wrong) in [
            (0, json!({"name": "holder", "resource": {}})),
            (1, json!({"name": "representative", "part": []})),
            (3, json!({"name": "no receipt"})),
        ] {
            let mut broken = all.to_json();
            broken["parameter"][at] = wrong;
            assert_eq!(Everywhere::read(&broken), None, "{at}");
        }
        assert_eq!(Everywhere::read(&json!({"parameter": []})), None);
    }

    #[test]
    fn why_not_is_told_in_words() {
        let shown = told().to_json().to_string();
        let words = trust::explain::of("authorisation_missing");
        assert!(shown.contains(words.nb) && shown.contains(words.en));
    }

    #[test]
    fn what_is_of_another_shape_is_not_read() {
        let sound = told().to_json();
        let of = |change: &dyn Fn(&mut Value)| {
            let mut broken = sound.clone();
            change(&mut broken);
            Told::read(&broken)
        };
        let at = |name: &str| {
            let all = sound["parameter"].as_array().unwrap().iter();
            all.clone().position(|one| one["name"] == name).unwrap()
        };
        assert!(of(&|_| {}).is_some());
        assert!(of(&|one| one["resourceType"] = json!("Bundle")).is_none());
        assert!(of(&|one| one["parameter"] = json!({})).is_none());
        for (name, value) in [
            ("holder", json!({"part": []})),
            ("as-of", json!({"valueInstant": 1})),
            ("held", json!({"valueCode": "IT99"})),
            ("shut-out", json!({"valueInteger": -1})),
            (
                "reader",
                json!({"part": [{"name": "ground", "valueCode": "own"}]}),
            ),
            ("processor", json!({"part": []})),
        ] {
            let place = at(name);
            let mut wrong = value.clone();
            wrong["name"] = json!(name);
            let read = of(&|one| one["parameter"][place] = wrong.clone());
            assert!(read.is_none(), "{name}");
        }
        // Within a reader: another ground, an agreement without its paper, a purpose that is none.
        let reader = at("reader") + 2;
        let ground = |one: &mut Value, word: &str| {
            one["parameter"][reader]["part"][2]["valueCode"] = json!(word);
        };
        assert_eq!(sound["parameter"][reader]["part"][2]["name"], "ground");
        assert!(of(&|one| ground(one, "kinship")).is_none());
        assert!(of(&|one| one["parameter"][reader]["part"][3]["part"] = json!([])).is_none());
        let text = sound
            .to_string()
            .replace("\"COC\"", "\"X\"")
            .replace("\"ETREAT\"", "\"X\"");
        assert!(Told::read(&serde_json::from_str(&text).unwrap()).is_none());
        let many = vec![json!({"name": "held", "valueCode": "IT17"}); MOST + 1];
        assert!(
            of(&|one| one["parameter"]
                .as_array_mut()
                .unwrap()
                .extend(many.clone()))
            .is_none()
        );
    }
}
