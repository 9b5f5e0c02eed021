//! FHIR operations (R4 operations.html): the routes whose names start with `$`, one file each.

pub mod alert;
pub mod everything;
pub mod explain;
pub mod lastn;
pub mod may_look;
pub mod purge;
mod question;
pub mod replace;
pub mod stats;
pub mod tell;
pub mod validate;
pub mod work_list;

use serde_json::{Value, json};

/// An operation of one resource type, for the CapabilityStatement.
struct Offered {
    /// The type it is called on; `*` for every type that is written, empty for the whole service.
    resource: &'static str,
    name: &'static str,
    definition: &'static str,
    documentation: &'static str,
}

/// What is offered; a new operation is one more row, its route and its file.
const OFFERED: &[Offered] = &[
    Offered {
        resource: "",
        name: "replace-series",
        definition: "https://delt.example/fhir/OperationDefinition/replace-series",
        documentation: "POST Parameters: patient (Identifier), type (code), code (Coding, may be left out) and series (Bundle of type collection, at most 10000 entries). By the organisation's own record system: afterwards the series here is what was sent, in one commit; what was not sent is withdrawn.",
    },
    Offered {
        resource: "",
        name: "reconcile",
        definition: "https://delt.example/fhir/OperationDefinition/reconcile",
        documentation: "POST Parameters: type (code), code (Coding, may be left out), and one of: series (patient, count, digest) with or without ending (1 to 4 digits: complete for the patients whose number ends so); patient (Identifier) and bucket (month, count, digest); patient, month (yyyy-mm or undated, may be left out) and entry (digest, identifier). By the organisation's own record system: what does not agree, each with its state (differs, missing, withdrawn, extra). Nothing is changed. At most 5000 rows.",
    },
    Offered {
        resource: "",
        name: "copy-state",
        definition: "https://delt.example/fhir/OperationDefinition/copy-state",
        documentation: "GET by the organisation's own record system: how old the shared copy is, feed by feed. POST Parameters with as_of (instant) by a feed: up to then everything of its source is here; or with alive (true): it is there and has nothing new, and silent names the senders that it has not heard for longer than expected. Answers that give data say as much in the headers delt-copy-as-of and delt-copy-state.",
    },
    Offered {
        resource: "",
        name: "explain-access",
        definition: "https://delt.example/fhir/OperationDefinition/explain-access",
        documentation: "POST a form or Parameters with request: the X-Request-Id of an earlier answer. Why it was refused or narrowed, by which rules, in Norwegian and English. Told to the patient, to personnel of the organisation that asked, and to the organisation's own record system.",
    },
    Offered {
        resource: "",
        name: "may-look",
        definition: "https://delt.example/fhir/OperationDefinition/may-look",
        documentation: "POST without parameters, by the patient or by whoever represents her where that covers the log: whose people may look at what is held here about her now (reader: the organisation's own, members of a shared register, others by agreement), which kinds by which work and purpose, from when and until when by which agreement, what is refused and why, and who keeps the data on behalf of the holder (processor).",
    },
    Offered {
        resource: "",
        name: "reviews",
        definition: "https://delt.example/fhir/OperationDefinition/reviews",
        documentation: "By the organisation's own record system. GET (state: open or closed): each request that broke the glass, with who, whom and why. POST a form or Parameters with request, outcome (justified or unjustified), by and note: what was found closes it.",
    },
    Offered {
        resource: "",
        name: "purge",
        definition: "https://delt.example/fhir/OperationDefinition/purge",
        documentation: "POST Parameters: ground (deletion-decision, copy-withdrawn, end-of-processing), order, decision, scope (resource, patient, store) and with it resource (Reference) or patient (Identifier). By the controller's own record system alone. Erases every version; leaves an audit record.",
    },
    Offered {
        resource: "*",
        name: "validate",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        documentation: "POST the resource, or Parameters with resource, mode (create or update) and profile (the base profile). All findings at once; nothing is stored.",
    },
    Offered {
        resource: "Observation",
        name: "lastn",
        definition: "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        documentation: "POST a form or Parameters: subject, patient, patient.identifier or subject:identifier (a person's token may leave it out), code, category, date, status, max (1 to 100, default 1). The newest max of each measurement kind, whichever of its codes they carry; codes of no known kind by LOINC code. Without status, what is entered in error or cancelled is left out. At most 1000 resources; more is refused.",
    },
    Offered {
        resource: "Observation",
        name: "stats",
        definition: "http://hl7.org/fhir/OperationDefinition/Observation-stats",
        documentation: "POST a form or Parameters: the patient as for lastn; code, system, coding (a code means its measurement kind, whichever of the kind's codes a reading carries; a component's code that part); period (or start, end) or duration; statistic (FHIR's codes but skew and kurtosis; ours: 5-percent, 95-percent); ours: bucket (day, week, month, year, or 1 to 1000 equal parts) for a curve with count, minimum, average, maximum, first and last. Counted in one unit per kind; what cannot be brought to it, entered in error, cancelled, or only a bound is left out and said in an OperationOutcome. Percentiles interpolate linearly, std-dev and variance are of a sample, regression is the slope per day; at most two decimals more than the finest reading, halves away from zero. include gives the readings that a value was taken from, newest first; limit (1 to 1000) how many; without it more than 1000 are refused. At most 100000 readings are looked at, in one snapshot; more is refused.",
    },
    Offered {
        resource: "Task",
        name: "own",
        definition: "https://delt.example/fhir/OperationDefinition/alert-own",
        documentation: "POST Task/{id}/$own with If-Match: whoever asks owns the alert from then on. By the organisation's own personnel, about the token's patient. note (a form or Parameters) says why it is taken over, where a colleague owns it. 409 and 412 say who owns it.",
    },
    Offered {
        resource: "Task",
        name: "acknowledge",
        definition: "https://delt.example/fhir/OperationDefinition/alert-acknowledge",
        documentation: "POST Task/{id}/$acknowledge with If-Match: its owner has looked into it; note may say what was found.",
    },
    Offered {
        resource: "Task",
        name: "note",
        definition: "https://delt.example/fhir/OperationDefinition/alert-note",
        documentation: "POST Task/{id}/$note with If-Match and note (at most 4000 characters): a person's assessment, kept with name, organisation and time of who asks. Also of an alert that is closed. With shared = true (here, at acknowledge and at resolve) it is an Observation of its own too, which others look up.",
    },
    Offered {
        resource: "Task",
        name: "resolve",
        definition: "https://delt.example/fhir/OperationDefinition/alert-resolve",
        documentation: "POST Task/{id}/$resolve with If-Match and note: its owner closes the alert and says why. Nothing else closes one.",
    },
    Offered {
        resource: "Task",
        name: "join",
        definition: "https://delt.example/fhir/OperationDefinition/alert-join",
        documentation: "POST Task/{id}/$join with If-Match, with (the other alert as it was seen, Task/{id}/_history/{version}) and note: who owns both makes one of two alerts of a patient and topic. This one stays: it rests on what both rest on, has the graver colour, the earlier deadline and the higher level; the other ends as joined. Not while either is offered, or its acceptance has not been heard by who offered it.",
    },
    Offered {
        resource: "Task",
        name: "hand-over",
        definition: "https://delt.example/fhir/OperationDefinition/alert-hand-over",
        documentation: "POST Task/{id}/$hand-over with If-Match, to (an organisation number that the service hands over to) and note: its owner offers the alert to another organisation. It stays hers until that has accepted; $own with a note takes it back before.",
    },
    Offered {
        resource: "Task",
        name: "accept",
        definition: "https://delt.example/fhir/OperationDefinition/alert-accept",
        documentation: "POST Task/{id}/$accept with If-Match: whoever asks takes what another organisation offers, and owns it from then on.",
    },
    Offered {
        resource: "Task",
        name: "decline",
        definition: "https://delt.example/fhir/OperationDefinition/alert-decline",
        documentation: "POST Task/{id}/$decline with If-Match and note: what another organisation offers stays theirs.",
    },
    Offered {
        resource: "Task",
        name: "work-list",
        definition: "https://delt.example/fhir/OperationDefinition/work-list",
        documentation: "POST a form or Parameters with _count (1 to 200, default 50), _offset and known (the tag of an earlier answer: the same list is not given again). By the organisation's own personnel, by a token with purpose TREAT that is bound to no patient: patients with a plan that holds or an open alert, worst first, each with zone, newest NEWS2 and what it lacks, trend, missing readings, newest reading, admission and open alerts. Who has shut the reader out is not in it. Each patient shown is on record by herself.",
    },
    Offered {
        resource: "Task",
        name: "tell",
        definition: "https://delt.example/fhir/OperationDefinition/alert-tell",
        documentation: "POST Task/$tell with {message}, a compact JWS (typ delt-alert+jwt): the service of an organisation that alerts are handed over with offers one (a Bundle with Task and DetectedIssue), or answers an offer.",
    },
    Offered {
        resource: "Subscription",
        name: "status",
        definition: "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status",
        documentation: "GET or POST Subscription/{id}/$status: how it stands, and how many events there were.",
    },
    Offered {
        resource: "Subscription",
        name: "events",
        definition: "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-events",
        documentation: "GET or POST Subscription/{id}/$events with eventsSinceNumber, eventsUntilNumber (both inclusive) and content (empty or id-only): at most 100 events from the first asked for. What is not open any more keeps its number and is not named.",
    },
    Offered {
        resource: "Patient",
        name: "everything",
        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        documentation: "POST or GET Patient/{id}/$everything with start, end (dates of care), _since (an instant), _type (comma list) and _count (1 to 200, default 50). The patient and all that the permit opens, the Patient first; pages by sealed links. The trail of accesses is not in it.",
    },
];

/// `CapabilityStatement.rest.resource.operation` of a type; `None` where it has none.
pub fn offered(resource: &str, written: bool) -> Option<Value> {
    let rows: Vec<Value> = OFFERED
        .iter()
        .filter(|row| row.resource == resource || (row.resource == "*" && written))
        .map(|row| json!({"name": row.name, "definition": row.definition, "documentation": row.documentation}))
        .collect();
    (!rows.is_empty()).then_some(Value::Array(rows))
}
