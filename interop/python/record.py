"""A record system's day at its own organisation's sharing service, by two libraries that know nothing of Delt:
`fhirpy` and `fhirclient` (SMART). Both sign with DPoP by the hook that `requests` has for it; neither is changed.

`python record.py READY.json`, where READY.json holds the line that `delt demo --json` printed. What the libraries have no
call for (search by POST, vread, history) is asked by `fhirclient`'s own session and parsed by its models.
"""

import json
import sys
import uuid
from contextlib import contextmanager

import httpx
import requests
from client import Client, Dpop, Signed
from fhirclient.models import bundle, capabilitystatement, observation, operationoutcome
from fhirclient.server import FHIRServer
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

FNR = "urn:oid:2.16.578.1.12.4.1.4.1"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
DAY = "2025-02-04"

with open(sys.argv[1], encoding="utf-8") as ready:
    demo = json.load(ready)
person = demo["patients"][0]["fnr"]
registered = next(
    c for c in demo["clients"] if c["use"] == "record-system" and c["orgnr"] == demo["practitioners"][0]["orgnr"]
)
base = next(s["fhir"] for s in demo["services"] if s["orgnr"] == registered["orgnr"])
dpop = Dpop(httpx.Client(timeout=10, trust_env=False))
system = Client(registered["file"])
signed = Signed(dpop, system.token(dpop, base, " ".join(system.file["scopes"])))
run = str(uuid.uuid4())
held = 0


def holds(what: str) -> None:
    """The checks above this line did not fail: say what they showed."""
    global held
    held += 1
    print(f"holds: {what}", flush=True)


@contextmanager
def refused(kind: type, words: str = ""):
    """What is done inside must be refused in this way."""
    try:
        yield
    except kind as error:
        assert words in str(error), error
        return
    raise AssertionError(f"{kind.__name__} was expected")


def pulse(library: str, minute: int, value: int) -> dict:
    """A heart rate at some minute of a day that no other test uses."""
    return {
        "resourceType": "Observation",
        "identifier": [{"system": "https://interop.example/record", "value": f"{run}-{library}-{minute}"}],
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
                ]
            }
        ],
        "code": {"coding": [{"system": LOINC, "code": "8867-4"}]},
        "subject": {"identifier": {"system": FNR, "value": person}},
        "effectiveDateTime": f"{DAY}T05:{minute:02}:00Z",
        "valueQuantity": {"value": value, "unit": "/min", "system": UCUM, "code": "/min"},
    }


# fhirclient: its server object reads the statement and decides by it how to authorise; ours asks for no browser.
server = FHIRServer(None, base)
server.session.auth = signed
server.session.trust_env = False
statement = server.capabilityStatement
assert isinstance(statement, capabilitystatement.CapabilityStatement) and server.ready
listed = {row.type: row for row in statement.rest[0].resource}
interactions = {row.code for row in listed["Observation"].interaction}
holds("fhirclient: the capability statement is parsed and asks for no login")


def form(path: str, fields: dict):
    """A search by POST, for a person's number stands in no URL."""
    answer = server.session.post(f"{base}/{path}/_search", data=fields)
    assert answer.status_code == 200, f"{path} {sorted(fields)}: {answer.status_code} {answer.text[:1000]}"
    return bundle.Bundle(answer.json())


def matches(page) -> list:
    return [entry.resource for entry in page.entry or [] if entry.search.mode == "match"]


patient = matches(form("Patient", {"identifier": f"{FNR}|{person}"}))[0].id

made = observation.Observation(pulse("fhirclient", 1, 61))
answer = made.create(server)
made = observation.Observation(answer)
assert made.meta.versionId == "1"
again = observation.Observation(pulse("fhirclient", 1, 61)).create(server)
assert again["id"] == made.id
with refused(requests.HTTPError, "422"):
    observation.Observation(pulse("fhirclient", 1, 62)).create(server)
assert observation.Observation.read(made.id, server).as_json() == made.as_json()
holds("fhirclient: create, the same again, a conflict, read")

ANYTHING = {
    "reference": str(uuid.uuid4()),  # a bare id may stand for any target type
    "token": "true",  # a code as good as any, and the one that a boolean takes
    "date": "ge2025-01-01",
    "string": "x",
    "number": "1",
    "quantity": "1",
    "uri": "urn:example:x",
}
FINDS = {
    "patient": f"Patient/{patient}",
    "subject": f"Patient/{patient}",
    "patient.identifier": person,
    "subject:identifier": f"{FNR}|{person}",
    "code": f"{LOINC}|8867-4",
    "category": "vital-signs",
    "date": DAY,
    "status": "final",
    "_id": made.id,
}
asked = 0
for row in listed.values():
    if row.type == "Consent":  # a patient's own blocks are hers alone: a record system is refused them
        continue
    for parameter in row.searchParam or []:
        name = parameter.name
        known = FINDS.get(name) if row.type == "Observation" else None
        by_number = f"{FNR}|{person}" if name.endswith("identifier") else None
        value = known or by_number or (str(uuid.uuid4()) if name == "_id" else ANYTHING.get(parameter.type))
        if value is None:  # composite and special values have forms of their own; none is guessed at
            continue
        fields = {"code": FINDS["code"], "date": DAY} if known and name != "_id" else {}
        if row.type == "AuditEvent" and not name.startswith("patient"):
            fields["patient.identifier"] = person
        found = matches(form(row.type, {**fields, name: value}))
        assert not known or made.id in [each.id for each in found], f"{name} does not find it"
        asked += 1
assert asked > 20, asked
holds(f"fhirclient: {asked} searches, one by every parameter that the statement lists, every answer parsed")

for minute in range(10, 17):
    observation.Observation(pulse("fhirclient", minute, 60 + minute)).create(server)
question = {"patient": f"Patient/{patient}", "code": f"{LOINC}|8867-4", "date": DAY, "_count": "3"}
seen = [each.id for page in observation.Observation.where(question).perform_iter(server) for each in matches(page)]
assert len(seen) >= 8 and len(set(seen)) == len(seen), seen
holds("fhirclient: a search by GET, and its pages to the end")

body = {**made.as_json(), "status": "corrected"}
body["valueQuantity"]["value"] = 63
corrected = observation.Observation(body)
with refused(requests.HTTPError, "428"):
    corrected.update(server)
server.session.headers["If-Match"] = 'W/"1"'
corrected = observation.Observation(corrected.update(server))
assert (corrected.meta.versionId, corrected.valueQuantity.value) == ("2", 63)
with refused(requests.HTTPError, "412"):
    corrected.update(server)
del server.session.headers["If-Match"]
holds("fhirclient: a correction needs the version it corrects")

if {"vread", "history-instance"} <= interactions:
    first = observation.Observation(server.request_json(f"Observation/{made.id}/_history/1"))
    assert first.valueQuantity.value == 61
    past = bundle.Bundle(server.request_json(f"Observation/{made.id}/_history"))
    assert past.type == "history" and [e.resource.meta.versionId for e in past.entry] == ["2", "1"]
    holds("fhirclient: every version is there")

corrected.delete(server)
gone = server.session.get(f"{base}/Observation/{made.id}")
assert gone.status_code == 410, gone.status_code
operationoutcome.OperationOutcome(gone.json())
holds("fhirclient: what is withdrawn is gone")

# fhirpy: the same day in its own words.
fhir = SyncFHIRClient(base, requests_config={"auth": signed, "proxies": {"http": None, "https": None}})


def resource(body: dict):
    return fhir.resource(body["resourceType"], **{k: v for k, v in body.items() if k != "resourceType"})


made = resource(pulse("fhirpy", 1, 71)).save()
assert made["meta"]["versionId"] == "1"
assert resource(pulse("fhirpy", 1, 71)).save().id == made.id
with refused(OperationOutcome):
    resource(pulse("fhirpy", 1, 72)).save()
assert fhir.get("Observation", made.id) == made.serialize()
assert resource(pulse("fhirpy", 2, 71)).is_valid()
assert not resource({**pulse("fhirpy", 2, 71), "status": "measured"}).is_valid()
holds("fhirpy: create, the same again, a conflict, read, $validate")

for minute in range(10, 17):
    resource(pulse("fhirpy", minute, 60 + minute)).save()
search = fhir.resources("Observation").search(patient=f"Patient/{patient}", code=f"{LOINC}|8867-4")
seen = [each.id for each in search.search(date=DAY).sort("-date").limit(3).fetch_all()]
assert len(seen) >= 8 and len(set(seen)) == len(seen), seen
with refused(OperationOutcome):
    fhir.resources("Observation").search(**{"patient.identifier": person}).fetch()
holds("fhirpy: search by GET to the end of its pages, and no person's number in a URL")

made["status"] = "corrected"
made["valueQuantity"]["value"] = 73
with refused(OperationOutcome):
    made.save()
fhir.extra_headers = {"If-Match": 'W/"1"'}
assert made.save()["meta"]["versionId"] == "2"
with refused(MultipleResourcesFound):  # its name for 412
    made.save()
fhir.extra_headers = None
holds("fhirpy: a correction needs the version it corrects")

made.delete()
with refused(ResourceNotFound):
    fhir.get("Observation", made.id)
holds("fhirpy: what is withdrawn is gone")

parsed = ", ".join(f"{count} {kind}" for kind, count in signed.parsed.items())
print(f"python record system: {held} promises held; fhir.resources parsed {parsed}")
