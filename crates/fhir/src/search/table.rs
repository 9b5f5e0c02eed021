//! Which search parameters each type has: the one list that parser and CapabilityStatement read.

use crate::resource::ResourceType;

/// FHIR search parameter types in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// `reference`
    Reference,
    /// `token`
    Token,
    /// `date`
    Date,
    /// A control parameter (`_count`, `_sort`): no `searchParam` in a CapabilityStatement.
    Control,
}

impl ParameterType {
    /// The code in `CapabilityStatement.rest.resource.searchParam.type`; `None` for control parameters.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::Reference => Some("reference"),
            Self::Token => Some("token"),
            Self::Date => Some("date"),
            Self::Control => None,
        }
    }
}

/// What a parameter feeds in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feeds {
    /// `patient`, by logical id.
    Patient,
    /// `patient`, by national number: never in a URL.
    Person,
    /// `codes`.
    Code,
    /// `categories`.
    Category,
    /// `dates`.
    Date,
    /// `status`; holds the code system that may stand before `|`.
    Status(&'static str),
    /// `ids`.
    Id,
    /// `count`.
    Count,
    /// `sort`.
    Sort,
}

/// One parameter of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Name as the client writes it, with chain or modifier.
    pub name: &'static str,
    /// Its FHIR type.
    pub kind: ParameterType,
    /// What it feeds.
    pub feeds: Feeds,
    /// One sentence for the CapabilityStatement.
    pub documentation: &'static str,
}

/// The parameters of one type.
#[derive(Debug, Clone, Copy)]
pub struct Supported {
    /// The type.
    pub resource: ResourceType,
    /// Its parameters, in the order shown to people.
    pub parameters: &'static [Parameter],
}

/// A parameter of the table.
const fn parameter(
    name: &'static str,
    kind: ParameterType,
    feeds: Feeds,
    documentation: &'static str,
) -> Parameter {
    Parameter {
        name,
        kind,
        feeds,
        documentation,
    }
}

const PATIENT: Parameter = parameter(
    "patient",
    ParameterType::Reference,
    Feeds::Patient,
    "Patient/{id} or {id} of a Patient in this store",
);
const PATIENT_IDENTIFIER: Parameter = parameter(
    "patient.identifier",
    ParameterType::Token,
    Feeds::Person,
    "system|value or bare value of fødselsnummer, D-nummer or felles hjelpenummer; POST _search only",
);
const SUBJECT_IDENTIFIER: Parameter = parameter(
    "subject:identifier",
    ParameterType::Token,
    Feeds::Person,
    "as patient.identifier; POST _search only",
);
const CATEGORY: Parameter = parameter(
    "category",
    ParameterType::Token,
    Feeds::Category,
    "system|code, |code, code or system|; comma for or",
);
const ID: Parameter = parameter(
    "_id",
    ParameterType::Token,
    Feeds::Id,
    "logical ids; comma for or",
);
const COUNT: Parameter = parameter(
    "_count",
    ParameterType::Control,
    Feeds::Count,
    "1 to 200 matches on a page",
);
const SORT: Parameter = parameter(
    "_sort",
    ParameterType::Control,
    Feeds::Sort,
    "date or -date (default)",
);

const fn code(documentation: &'static str) -> Parameter {
    parameter("code", ParameterType::Token, Feeds::Code, documentation)
}

const fn date(name: &'static str, documentation: &'static str) -> Parameter {
    parameter(name, ParameterType::Date, Feeds::Date, documentation)
}

const fn status(system: &'static str) -> Parameter {
    parameter(
        "status",
        ParameterType::Token,
        Feeds::Status(system),
        "status codes; comma for or",
    )
}

/// Every type that can be searched, with its parameters.
pub const SUPPORTED: &[Supported] = &[
    Supported {
        resource: ResourceType::OBSERVATION,
        parameters: &[
            PATIENT,
            PATIENT_IDENTIFIER,
            SUBJECT_IDENTIFIER,
            code("system|code, |code, code or system| of the measurement; comma for or"),
            CATEGORY,
            date(
                "date",
                "effective time, with eq ne gt lt ge le sa eb; repeat for and",
            ),
            status("http://hl7.org/fhir/observation-status"),
            ID,
            COUNT,
            SORT,
        ],
    },
    Supported {
        resource: ResourceType::CARE_PLAN,
        parameters: &[
            PATIENT,
            PATIENT_IDENTIFIER,
            SUBJECT_IDENTIFIER,
            CATEGORY,
            date(
                "date",
                "period, with eq ne gt lt ge le sa eb; repeat for and",
            ),
            status("http://hl7.org/fhir/request-status"),
            ID,
            COUNT,
            SORT,
        ],
    },
    Supported {
        resource: ResourceType::MEDICATION_STATEMENT,
        parameters: &[
            PATIENT,
            PATIENT_IDENTIFIER,
            SUBJECT_IDENTIFIER,
            code("system|code, |code, code or system| of the medicine (ATC, FEST); comma for or"),
            CATEGORY,
            date(
                "effective",
                "effective time, with eq ne gt lt ge le sa eb; repeat for and",
            ),
            date("date", "as effective, so that one look-up serves all types"),
            status("http://hl7.org/fhir/CodeSystem/medication-statement-status"),
            ID,
            COUNT,
            SORT,
        ],
    },
    Supported {
        resource: ResourceType::QUESTIONNAIRE_RESPONSE,
        parameters: &[
            PATIENT,
            PATIENT_IDENTIFIER,
            SUBJECT_IDENTIFIER,
            date(
                "authored",
                "when the answers were given, with eq ne gt lt ge le sa eb; repeat for and",
            ),
            date("date", "as authored, so that one look-up serves all types"),
            status("http://hl7.org/fhir/questionnaire-answers-status"),
            ID,
            COUNT,
            SORT,
        ],
    },
    Supported {
        resource: ResourceType::DETECTED_ISSUE,
        parameters: &[
            PATIENT,
            PATIENT_IDENTIFIER,
            code("system|code, |code, code or system| of the alert; comma for or"),
            date(
                "identified",
                "when the alert was raised, with eq ne gt lt ge le sa eb; repeat for and",
            ),
            date(
                "date",
                "as identified, so that one look-up serves all types",
            ),
            ID,
            COUNT,
            SORT,
        ],
    },
    Supported {
        resource: ResourceType::PATIENT,
        parameters: &[
            parameter(
                "identifier",
                ParameterType::Token,
                Feeds::Person,
                "system|value or bare value of fødselsnummer, D-nummer or felles hjelpenummer; POST _search only",
            ),
            ID,
            COUNT,
        ],
    },
    Supported {
        resource: ResourceType::AUDIT_EVENT,
        parameters: &[
            PATIENT,
            PATIENT_IDENTIFIER,
            date(
                "date",
                "time of the access, with eq ne gt lt ge le sa eb; repeat for and",
            ),
            COUNT,
            SORT,
        ],
    },
];

/// What the clustered table answers for every enabled type without a row, as far as the type has the parameter.
pub(super) const SHARED: &[Parameter] =
    &[PATIENT, PATIENT_IDENTIFIER, SUBJECT_IDENTIFIER, ID, COUNT];

/// The row of a type; `None` if it cannot be searched.
#[must_use]
pub fn supported(resource: ResourceType) -> Option<&'static Supported> {
    SUPPORTED.iter().find(|row| row.resource == resource)
}
