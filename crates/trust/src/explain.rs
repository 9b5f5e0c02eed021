//! Why was I refused, and what was left out: each refusal and each narrowing in plain Norwegian (both) and English, for the caller's own
//! organisation and for the patient (patients' right to know: pasientjournalloven § 18; personvernforordningen art. 12 and 15).
//!
//! What a block of a kind hides is told to the patient alone: to everybody else it is as if the data were not there.

use crate::audit::{OTHERS_ACCESS, Outcome, Record};
use crate::detail::Detail;
use fhir::resource::InformationService;

/// Words for people, with what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// What they explain: a refusal's code, or `narrowed:` (kinds), `reduced:` (details of what was given) or `broken:` and a
    /// rule's name, or `detail:` and a detail's code.
    pub code: &'static str,
    /// Norwegian (bokmål).
    pub nb: &'static str,
    /// Norwegian (nynorsk).
    pub nn: &'static str,
    /// English.
    pub en: &'static str,
}

const fn words(code: &'static str, nb: &'static str, nn: &'static str, en: &'static str) -> Words {
    Words { code, nb, nn, en }
}

const WORDS: &[Words] = &[
    words(
        "access_denied",
        "Denne typen bruker eller system har ikke lov til dette her.",
        "Denne typen brukar eller system har ikkje lov til dette her.",
        "This kind of user or system may not do this here.",
    ),
    words(
        "insufficient_scope",
        "Systemet ba ikke om rett til dette da det logget på. Leverandøren må be om riktig omfang (scope).",
        "Systemet bad ikkje om rett til dette då det logga på. Leverandøren må be om rett omfang (scope).",
        "The system did not ask for the right to this when it signed in. Its supplier must ask for the right scope.",
    ),
    words(
        "attestation_missing",
        "Oppslaget manglet erklæring om tjenstlig behov.",
        "Oppslaget mangla erklæring om tenstleg behov.",
        "The look-up came without a statement of professional need.",
    ),
    words(
        "attestation_has_expired",
        "Erklæringen om tjenstlig behov var eldre enn 60 minutter. Åpne pasienten på nytt.",
        "Erklæringa om tenstleg behov var eldre enn 60 minutt. Opne pasienten på nytt.",
        "The statement of professional need was more than 60 minutes old. Open the patient again.",
    ),
    words(
        "attestation_not_yet_valid",
        "Erklæringen om tjenstlig behov var datert fram i tid. Kontroller klokken i systemet.",
        "Erklæringa om tenstleg behov var datert fram i tid. Kontroller klokka i systemet.",
        "The statement of professional need was dated in the future. Check the system's clock.",
    ),
    words(
        "attestation_incomplete",
        "Erklæringen om tjenstlig behov sa ikke hvilken virksomhet eller hvilket behandlingssted den gjelder.",
        "Erklæringa om tenstleg behov sa ikkje kva verksemd eller kva behandlingsstad ho gjeld.",
        "The statement of professional need did not say which organisation or which place of care it is for.",
    ),
    words(
        "attestation_organisation",
        "Erklæringen om tjenstlig behov gjaldt en annen virksomhet enn den som spurte.",
        "Erklæringa om tenstleg behov gjaldt ei anna verksemd enn den som spurde.",
        "The statement of professional need was for another organisation than the one that asked.",
    ),
    words(
        "attestation_practitioner",
        "Erklæringen om tjenstlig behov var gitt av en annen enn den som var logget inn.",
        "Erklæringa om tenstleg behov var gitt av ein annan enn den som var logga inn.",
        "The statement of professional need was made by somebody else than who was signed in.",
    ),
    words(
        "assurance_too_low",
        "Innloggingen var ikke på høyt sikkerhetsnivå.",
        "Innlogginga var ikkje på høgt tryggingsnivå.",
        "The sign-in was not at a high level of assurance.",
    ),
    words(
        "authorisation_unknown",
        "Autorisasjonen som var oppgitt, gir ikke grunnlag for å se pasientopplysninger her.",
        "Autorisasjonen som var oppgitt, gir ikkje grunnlag for å sjå pasientopplysningar her.",
        "The stated authorisation is no ground for seeing patients' data here.",
    ),
    words(
        "authorisation_without_number",
        "Det var oppgitt en autorisasjon, men ikke noe HPR-nummer. Da gir autorisasjonen ingen tilgang.",
        "Det var oppgitt ein autorisasjon, men ikkje noko HPR-nummer. Då gir autorisasjonen ingen tilgang.",
        "An authorisation was stated without an HPR number, and gives no access.",
    ),
    words(
        "authorisation_missing",
        "Akutt oppslag og nødrett er for autorisert helsepersonell.",
        "Akutt oppslag og naudrett er for autorisert helsepersonell.",
        "Emergency look-ups are for authorised health personnel.",
    ),
    words(
        "hpr_differs",
        "HPR-nummeret i erklæringen er et annet enn innloggingens.",
        "HPR-nummeret i erklæringa er eit anna enn det i innlogginga.",
        "The HPR number in the statement is another than that of the sign-in.",
    ),
    words(
        "purpose_missing",
        "Oppslaget sa ikke hva opplysningene skulle brukes til.",
        "Oppslaget sa ikkje kva opplysningane skulle brukast til.",
        "The look-up did not say what the data was for.",
    ),
    words(
        "care_relationship_missing",
        "Oppslaget sa ikke hvilket behandlingsforhold det bygde på.",
        "Oppslaget sa ikkje kva behandlingsforhold det bygde på.",
        "The look-up did not say which relation of care it rested on.",
    ),
    words(
        "care_relationship_other",
        "Grunnen som var oppgitt, er ikke et behandlingsforhold.",
        "Grunnen som var oppgitt, er ikkje eit behandlingsforhold.",
        "The stated ground is no relation of care.",
    ),
    words(
        "decision_ref_missing",
        "Oppslaget viste ikke til noen beslutning om helsehjelp.",
        "Oppslaget viste ikkje til noka avgjerd om helsehjelp.",
        "The look-up referred to no decision about care.",
    ),
    words(
        "patient_binding_missing",
        "Oppslaget var ikke knyttet til én bestemt pasient.",
        "Oppslaget var ikkje knytt til éin bestemt pasient.",
        "The look-up was not bound to one patient.",
    ),
    words(
        "list_bound_to_patient",
        "Tilgangen var knyttet til én pasient. En slik tilgang åpner den pasienten og ingen liste.",
        "Tilgangen var knytt til éin pasient. Ein slik tilgang opnar den pasienten og inga liste.",
        "The access was bound to one patient. It opens that patient and no list.",
    ),
    words(
        "list_purpose",
        "En arbeidsliste er for vanlig oppfølging. Akutt oppslag, samordning og nødrett gjelder én pasient.",
        "Ei arbeidsliste er for vanleg oppfølging. Akutt oppslag, samordning og naudrett gjeld éin pasient.",
        "A work list is for ordinary care. Every other purpose is about one patient.",
    ),
    words(
        "list_through_gateway",
        "En arbeidsliste hentes hos virksomhetens egen tjeneste.",
        "Ei arbeidsliste blir henta hos verksemda si eiga teneste.",
        "A work list is fetched at the organisation's own service.",
    ),
    words(
        "list_shared_register",
        "Et register som flere virksomheter har sammen, har ingen felles arbeidsliste.",
        "Eit register som fleire verksemder har saman, har inga felles arbeidsliste.",
        "A register that several organisations share has no joint work list.",
    ),
    words(
        "not_own_data",
        "Innbyggere ser egne opplysninger, eller dem de har fullmakt for. Å være pårørende er ikke nok.",
        "Innbyggjarar ser eigne opplysningar, eller dei til nokon dei har fullmakt for. Å vere pårørande er ikkje nok.",
        "Citizens see their own data, or that of those they represent. Being next of kin is not enough.",
    ),
    words(
        "other_patient",
        "Det ble spurt om en annen pasient enn den innloggingen gjaldt.",
        "Det vart spurt om ein annan pasient enn den innlogginga gjaldt.",
        "Another patient was asked for than the sign-in was about.",
    ),
    words(
        OTHERS_ACCESS,
        "Noen spurte om deg med en tilgang som gjaldt en annen pasient. Ingenting ble gitt ut.",
        "Nokon spurde om deg med ein tilgang som gjaldt ein annan pasient. Ingenting vart gitt ut.",
        "Somebody asked about you with access that was for another patient. Nothing was given.",
    ),
    words(
        "outside_representation",
        "Fullmakten omfatter ikke dette.",
        "Fullmakta omfattar ikkje dette.",
        "The power of attorney does not cover this.",
    ),
    words(
        "agreement_missing",
        "Det finnes ingen gyldig avtale om deling mellom virksomhetene.",
        "Det finst inga gyldig avtale om deling mellom verksemdene.",
        "No agreement on sharing between the organisations is in force.",
    ),
    words(
        "reserved",
        "Pasienten har reservert seg mot deling med andre virksomheter.",
        "Pasienten har reservert seg mot deling med andre verksemder.",
        "The patient has reserved against sharing with other organisations.",
    ),
    words(
        "blocked",
        "Pasienten har sperret opplysningene. I en nødssituasjon kan sperren brytes med en skriftlig grunn; pasienten ser det.",
        "Pasienten har sperra opplysningane. I ein naudsituasjon kan sperra brytast med ein skriftleg grunn; pasienten ser det.",
        "The patient has closed the record. In an emergency it can be opened with a written reason; the patient sees it.",
    ),
    words(
        "blocked_at_helsenorge",
        "Pasienten har sperret opplysningene på Helsenorge. I en nødssituasjon kan sperren brytes med en skriftlig grunn; pasienten ser det.",
        "Pasienten har sperra opplysningane på Helsenorge. I ein naudsituasjon kan sperra brytast med ein skriftleg grunn; pasienten ser det.",
        "The patient has closed the record at Helsenorge. In an emergency it can be opened with a written reason; the patient sees it.",
    ),
    words(
        "reserved_at_helsenorge",
        "Pasienten har på Helsenorge reservert seg mot deling med andre virksomheter.",
        "Pasienten har på Helsenorge reservert seg mot deling med andre verksemder.",
        "The patient has, at Helsenorge, reserved against sharing with other organisations.",
    ),
    words(
        "settings_unknown",
        "Virksomheten vet ikke hva innbyggere nylig har sperret på Helsenorge, og gir derfor ikke ut noe før den vet det. Prøv igjen senere.",
        "Verksemda veit ikkje kva innbyggjarar nyleg har sperra på Helsenorge, og gir difor ikkje ut noko før ho veit det. Prøv igjen seinare.",
        "The organisation does not know what citizens have recently closed at Helsenorge, and gives nothing until it does. Try again later.",
    ),
    words(
        "practitioner_blocked",
        "Pasienten har sperret for akkurat denne personen. Ingen nødrett opphever det; be en kollega.",
        "Pasienten har sperra for akkurat denne personen. Ingen naudrett opphevar det; be ein kollega.",
        "The patient has closed the record to this very person. No emergency lifts that; ask a colleague.",
    ),
    words(
        "narrowed:agreement",
        "Avtalen mellom virksomhetene omfatter ikke alle slags opplysninger.",
        "Avtala mellom verksemdene omfattar ikkje alle slags opplysningar.",
        "The agreement between the organisations does not cover all kinds of data.",
    ),
    words(
        "narrowed:authorisation",
        "Arbeidet som autorisasjonen gjelder, trenger ikke alle slags opplysninger.",
        "Arbeidet som autorisasjonen gjeld, treng ikkje alle slags opplysningar.",
        "The work that the authorisation is for does not need all kinds of data.",
    ),
    words(
        "narrowed:minimisation",
        "Formålet trenger ikke alle slags opplysninger, eller ikke så langt tilbake.",
        "Føremålet treng ikkje alle slags opplysningar, eller ikkje så langt tilbake.",
        "The purpose does not need all kinds of data, or not as far back.",
    ),
    words(
        "narrowed:representation",
        "Fullmakten omfatter ikke alle slags opplysninger.",
        "Fullmakta omfattar ikkje alle slags opplysningar.",
        "The power of attorney does not cover all kinds of data.",
    ),
    words(
        "narrowed:block",
        "Du har sperret disse opplysningene. Listen over sperringene dine sier hvor hver av dem er laget.",
        "Du har sperra desse opplysningane. Lista over sperrene dine seier kvar kvar av dei er laga.",
        "You have closed these data. The list of your blocks says where each of them was made.",
    ),
    words(
        "reduced:authorisation",
        "Arbeidet som autorisasjonen gjelder, trenger ikke alle detaljer i opplysningene.",
        "Arbeidet som autorisasjonen gjeld, treng ikkje alle detaljar i opplysningane.",
        "The work that the authorisation is for does not need every detail of the data.",
    ),
    words(
        "reduced:minimisation",
        "Formålet trenger ikke alle detaljer i opplysningene.",
        "Føremålet treng ikkje alle detaljar i opplysningane.",
        "The purpose does not need every detail of the data.",
    ),
    words(
        "reduced:representation",
        "Fullmakten omfatter ikke notater.",
        "Fullmakta omfattar ikkje notat.",
        "The power of attorney does not cover notes.",
    ),
    words(
        "detail_closed",
        "Søket spurte etter detaljer som rollen eller formålet ikke åpner for.",
        "Søket spurde etter detaljar som rolla eller føremålet ikkje opnar for.",
        "The search asked about details that the role or the purpose does not open.",
    ),
    words(
        "detail:narrative",
        "sammendraget i fri tekst",
        "samandraget i fri tekst",
        "the narrative",
    ),
    words(
        "detail:notes",
        "notater i fri tekst",
        "notat i fri tekst",
        "free-text notes",
    ),
    words(
        "detail:contact",
        "adresse, telefon og pårørende",
        "adresse, telefon og pårørande",
        "address, telephone and next of kin",
    ),
    words(
        "detail:background",
        "sivilstand, fødselsrekkefølge og bilder",
        "sivilstand, fødselsrekkjefølgje og bilete",
        "marital status, birth order and photographs",
    ),
    words(
        "subscription_purpose",
        "Abonnement kan bare opprettes for behandling eller samordning, ikke ved øyeblikkelig hjelp eller med nødrett.",
        "Abonnement kan berre opprettast for behandling eller samordning, ikkje ved akutt hjelp eller med naudrett.",
        "A subscription is made for treatment or coordination only, not in acute care or by break the glass.",
    ),
    words(
        "broken:block",
        "Sperren ble brutt med en skriftlig grunn. Virksomheten skal gå gjennom det.",
        "Sperra vart broten med ein skriftleg grunn. Verksemda skal gå gjennom det.",
        "The block was broken with a written reason. The organisation is to review it.",
    ),
];

const GENERAL: Words = words(
    "",
    "Oppslaget ble ikke tillatt.",
    "Oppslaget vart ikkje tillate.",
    "The look-up was not allowed.",
);

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The patient.
    Patient,
    /// The organisation that asked, and the one that was asked.
    Organisation,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The rule, with its version where the record has it.
    pub rule: String,
    /// The words.
    pub words: Words,
    /// Kinds that were left out because of it.
    pub withheld: Vec<InformationService>,
    /// Details that were left out of everything that was given.
    pub left_out: Vec<Detail>,
}

impl Explanation {
    fn of(rule: &str, words: Words) -> Self {
        Self {
            rule: rule.to_owned(),
            words,
            withheld: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

impl Detail {
    /// What it is called.
    pub fn words(self) -> Words {
        of(&format!("detail:{}", self.code()))
    }
}

/// The words for a refusal's code, or for what was narrowed, reduced or broken by a rule.
pub fn of(code: &str) -> Words {
    let known = WORDS.iter().find(|one| one.code == code);
    known.copied().unwrap_or(GENERAL)
}

/// What a record's decision withheld and why; empty where nothing was.
pub fn explain(record: &Record, told: Told) -> Vec<Explanation> {
    let mut list = Vec::new();
    if let Outcome::Refused { rule, code } = &record.outcome {
        list.push(Explanation::of(rule, of(code)));
    }
    for (rule, withheld) in &record.narrowed {
        // Whoever learned that a kind is blocked would know that there is some.
        if rule == "block" && told != Told::Patient {
            continue;
        }
        list.push(Explanation {
            withheld: withheld.clone(),
            ..Explanation::of(rule, of(&format!("narrowed:{rule}")))
        });
    }
    for (rule, left_out) in &record.reduced {
        list.push(Explanation {
            left_out: left_out.clone(),
            ..Explanation::of(rule, of(&format!("reduced:{rule}")))
        });
    }
    for rule in &record.broken {
        list.push(Explanation::of(rule, of(&format!("broken:{rule}"))));
    }
    list
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;
    use crate::interaction::Interaction;
    use crate::rules::people::{Case, permit, service};
    use crate::wish::Closed;

    /// The second text of each refusal that a rule's source makes: its code.
    fn codes(source: &str) -> Vec<String> {
        let body = source.split("#[cfg(test)]").next().unwrap_or_default();
        let mut codes = Vec::new();
        for call in ["deny(", "refusal("] {
            for after in body.split(call).skip(1) {
                let texts: Vec<&str> = after.split('"').collect();
                // `"rule", "code", …` right after the bracket; a definition of the function has none.
                if texts.first().is_some_and(|first| first.trim().is_empty()) {
                    codes.extend(texts.get(3).map(|code| (*code).to_owned()));
                }
            }
        }
        codes
    }

    #[test]
    fn every_refusal_of_every_rule_has_words() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                for code in codes(&std::fs::read_to_string(&path).unwrap()) {
                    seen += 1;
                    assert!(
                        of(&code) != GENERAL,
                        "{code} in {} has no words",
                        path.display()
                    );
                }
            }
        }
        assert!(seen > 20, "only {seen} refusals were found");
    }

    #[test]
    fn words_stand_once_and_in_every_language() {
        for (at, one) in WORDS.iter().enumerate() {
            assert!(
                WORDS[..at].iter().all(|other| other.code != one.code),
                "{}",
                one.code
            );
            assert!(!one.nb.is_empty() && !one.nn.is_empty() && !one.en.is_empty());
            assert_eq!(of(one.code), *one);
        }
        assert_eq!(of("nothing-like-it"), GENERAL);
    }

    #[test]
    fn what_was_left_out_of_each_resource_is_told_by_name_to_both() {
        for detail in Detail::ALL {
            assert_ne!(detail.words(), GENERAL, "{detail:?}");
        }
        for rule in ["authorisation", "minimisation", "representation"] {
            assert_ne!(of(&format!("reduced:{rule}")), GENERAL, "{rule}");
        }
        assert_ne!(of("detail_closed"), GENERAL);
        let mut case = Case::practitioner();
        case.purpose("COC", None);
        let record = Record::new(case.facts.now, "r", Interaction::Search, "")
            .by(&case.caller)
            .permitted(&permit(&case));
        for told in [Told::Patient, Told::Organisation] {
            let last = explain(&record, told).pop().unwrap();
            assert_eq!(last.words.code, "reduced:minimisation");
            assert_eq!(last.left_out, Detail::ALL);
            assert_eq!(last.withheld, []);
        }
    }

    #[test]
    fn what_a_block_hides_is_the_patients_alone_to_know() {
        let mut case = Case::practitioner();
        case.agreement(&["IT03", "IT08", "IT17"]);
        case.wish(Closed::Services {
            services: vec![service("IT17")],
        });
        case.purpose("COC", None);
        let record = Record::new(case.facts.now, "r", Interaction::Search, "")
            .by(&case.caller)
            .permitted(&permit(&case));
        let rules = |told| {
            explain(&record, told)
                .into_iter()
                .map(|one| one.rule)
                .collect::<Vec<_>>()
        };
        let purpose = ["minimisation", "minimisation"];
        assert_eq!(
            rules(Told::Patient),
            [&["agreement", "block"], &purpose[..]].concat()
        );
        assert_eq!(
            rules(Told::Organisation),
            [&["agreement"], &purpose[..]].concat()
        );
        let told = explain(&record, Told::Patient);
        let block = told.iter().find(|one| one.rule == "block").unwrap();
        assert_eq!(block.withheld, [service("IT17")]);
        let told = explain(&record, Told::Organisation);
        let named: Vec<_> = told.iter().flat_map(|one| &one.withheld).collect();
        // Measurements are blocked, and would have been open otherwise: nothing tells of them.
        assert!(!named.contains(&&service("IT17")));
    }
}
