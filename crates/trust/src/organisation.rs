//! Which organisation is responsible: sub-units (underenhet, RESH id) resolve to their controller (CONTRACT section 5),
//! a district to its municipality, a clinic to its hospital.

use fhir::ids::OrganisationNumber;
use fhir::systems;
use std::collections::HashMap;

/// The organisations and units of a region with their controllers. Filled once, at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register {
    names: HashMap<OrganisationNumber, String>,
    units: HashMap<OrganisationNumber, Unit>,
    resh: HashMap<String, Unit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    controller: OrganisationNumber,
    name: String,
}

impl Register {
    /// Adds a main unit (hovedenhet), which is its own controller.
    pub fn add(&mut self, organisation: OrganisationNumber, name: &str) {
        self.names.insert(organisation, name.to_owned());
    }

    /// Adds a sub-unit known by an organisation number.
    pub fn add_unit(
        &mut self,
        unit: OrganisationNumber,
        controller: &OrganisationNumber,
        name: &str,
    ) {
        self.units.insert(
            unit,
            Unit {
                controller: *controller,
                name: name.to_owned(),
            },
        );
    }

    /// Adds a unit known by a RESH id.
    pub fn add_resh(&mut self, resh: &str, controller: &OrganisationNumber, name: &str) {
        self.resh.insert(
            resh.to_owned(),
            Unit {
                controller: *controller,
                name: name.to_owned(),
            },
        );
    }

    /// The controller of an organisation number: itself for a main unit; `None` for a number nobody registered.
    pub fn controller(&self, organisation: &OrganisationNumber) -> Option<OrganisationNumber> {
        if self.names.contains_key(organisation) {
            return Some(*organisation);
        }
        self.units.get(organisation).map(|unit| unit.controller)
    }

    /// The controller of an organisation number, or the number itself where nobody registered it.
    pub fn main_unit(&self, organisation: OrganisationNumber) -> OrganisationNumber {
        self.controller(&organisation).unwrap_or(organisation)
    }

    /// The controller of an identifier as FHIR writes it: organisation number or RESH id, in any published system name.
    pub fn controller_of(&self, system: &str, value: &str) -> Option<OrganisationNumber> {
        match systems::canonical(system) {
            systems::ORGNR => self.controller(&OrganisationNumber::parse(value).ok()?),
            systems::RESH => self.resh.get(value).map(|unit| unit.controller),
            _ => None,
        }
    }

    /// The name of an organisation or sub-unit.
    pub fn name(&self, organisation: &OrganisationNumber) -> Option<&str> {
        let main = self.names.get(organisation);
        main.or_else(|| self.units.get(organisation).map(|unit| &unit.name))
            .map(String::as_str)
    }

    /// The name of an identifier as FHIR writes it.
    pub fn name_of(&self, system: &str, value: &str) -> Option<&str> {
        match systems::canonical(system) {
            systems::ORGNR => self.name(&OrganisationNumber::parse(value).ok()?),
            systems::RESH => self.resh.get(value).map(|unit| unit.name.as_str()),
            _ => None,
        }
    }

    /// All main units, in the order of their numbers.
    pub fn organisations(&self) -> Vec<(OrganisationNumber, &str)> {
        let mut all: Vec<_> = self
            .names
            .iter()
            .map(|(number, name)| (*number, name.as_str()))
            .collect();
        all.sort();
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;

    #[test]
    fn units_resolve_to_their_controller() {
        let (main, unit) = (
            OrganisationNumber::parse("310001074").unwrap(),
            OrganisationNumber::parse("310001007").unwrap(),
        );
        let mut register = Register::default();
        register.add(main, "Prøveheim");
        register.add_unit(unit, &main, "Lungepoliklinikken");
        register.add_resh("4001234", &main, "Lungeavdelingen");
        for (system, value, controller, name) in [
            (systems::ORGNR, "310001074", Some(main), Some("Prøveheim")),
            (
                systems::ORGNR,
                "310001007",
                Some(main),
                Some("Lungepoliklinikken"),
            ),
            (
                systems::RESH,
                "4001234",
                Some(main),
                Some("Lungeavdelingen"),
            ),
            // Of nobody here, of another series, and no number at all.
            (systems::ORGNR, "310001147", None, None),
            (systems::RESH, "4001235", None, None),
            (systems::HPR, "4001234", None, None),
            (systems::ORGNR, "310001075", None, None),
        ] {
            assert_eq!(register.controller_of(system, value), controller, "{value}");
            assert_eq!(register.name_of(system, value), name, "{value}");
        }
        let stranger = OrganisationNumber::parse("310001147").unwrap();
        assert_eq!(register.main_unit(unit), main);
        assert_eq!(register.main_unit(stranger), stranger);
    }

    #[test]
    fn main_units_are_listed_by_number_and_sub_units_are_not() {
        let numbers = ["310001147", "310001007", "310001074"]
            .map(|number| OrganisationNumber::parse(number).unwrap());
        let mut register = Register::default();
        register.add(numbers[0], "Prøvebakken");
        register.add(numbers[2], "Prøveheim");
        register.add_unit(numbers[1], &numbers[2], "Lungepoliklinikken");
        assert_eq!(
            register.organisations(),
            [(numbers[2], "Prøveheim"), (numbers[0], "Prøvebakken")]
        );
    }
}
