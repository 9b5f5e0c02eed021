"""A clinician's client and a record system meet a running demo, and every answer is parsed by `fhir.resources`.

`python quick.py READY.json`, where READY.json holds the line that `delt demo --json` printed. Exits 1 at the first
thing that is not as the contract says.
"""

import json
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
from client import Client, Dpop
from fhir.resources.R4B import get_fhir_model_class

FNR = "urn:oid:2.16.578.1.12.4.1.4.1"
FHIR = {"Content-Type": "application/fhir+json"}

with open(sys.argv[1], encoding="utf-8") as ready:
    demo = json.load(ready)
patient = demo["patients"][0]
physician = demo["practitioners"][0]
http = httpx.Client(timeout=10, trust_env=False)
dpop = Dpop(http)
held = 0


def holds(what: str) -> None:
    """The checks above this line did not fail: say what they showed."""
    global held
    held += 1
    print(f"holds: {what}", flush=True)


def parsed(answer: httpx.Response, kind: str, status: int = 200):
    """The answer as a model of its kind, which refuses what is not FHIR R4."""
    assert answer.status_code == status, f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:2000]}"
    assert answer.headers["content-type"].startswith("application/fhir+json"), answer.headers["content-type"]
    return get_fhir_model_class(kind).model_validate_json(answer.content)


def physician_token(audience: str) -> str:
    answer = http.post(
        f"{demo['issuer']}/test-token",
        json={
            "as": "practitioner",
            "fnr": physician["fnr"],
            "hpr": physician["hpr"],
            "orgnr": physician["orgnr"],
            "patient": patient["fnr"],
            "audience": audience,
            "scope": "user/*.rs",
            "jkt": dpop.jkt,
        },
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def resources(bundle, mode: str = "match") -> list:
    return [entry.resource for entry in bundle.entry or [] if entry.search and entry.search.mode == mode]


# What each base says it can do is a CapabilityStatement, readable without a token.
bases = [service["fhir"] for service in demo["services"]]
bases += [f"{demo[role]}/fhir" for role in ("hub", "gateway", "catalogue")]
for base in bases:
    statement = parsed(http.get(f"{base}/metadata"), "CapabilityStatement")
    assert statement.fhirVersion == "4.0.1", statement.fhirVersion
holds(f"{len(bases)} capability statements are FHIR")

# One look-up over the region, for each of the three things the target architecture names first.
region = f"{demo['gateway']}/fhir"
token = physician_token(region)
for kind in ("Observation", "CarePlan", "MedicationStatement", "Patient"):
    name = "identifier" if kind == "Patient" else "patient.identifier"
    question = {name: f"{FNR}|{patient['fnr']}"}
    bundle = parsed(dpop.send("POST", f"{region}/{kind}/_search", token, data=question), "Bundle")
    assert bundle.type == "searchset", bundle.type
    found = resources(bundle)
    assert found, f"no {kind}"
    assert {each.get_resource_type() for each in found} == {kind}
    receipts = resources(bundle, "outcome")
    assert len(receipts) == 1 and receipts[0].get_resource_type() == "OperationOutcome"
    holds(f"{kind}: {len(found)} in a searchset with one receipt of {len(receipts[0].issue)} sources")

# Paging: the next link is sealed, names no person, and goes on where the page ended.
question = {"patient.identifier": f"{FNR}|{patient['fnr']}", "_count": "5", "_sort": "-date"}
first = parsed(dpop.send("POST", f"{region}/Observation/_search", token, data=question), "Bundle")
links = {link.relation: link.url for link in first.link}
assert len(resources(first)) == 5 and "next" in links, links
assert all(patient["fnr"] not in url for url in links.values())
second = parsed(dpop.send("GET", links["next"], token), "Bundle")
seen = {entry.fullUrl for entry in first.entry if entry.search.mode == "match"}
assert seen.isdisjoint({entry.fullUrl for entry in second.entry if entry.search.mode == "match"})
holds("the next page follows the first")

# Unknown parameters are refused, never ignored.
answer = dpop.send("POST", f"{region}/Observation/_search", token, data={**question, "colour": "red"})
parsed(answer, "OperationOutcome", 400)
holds("an unknown search parameter gives 400")

# A record system feeds its own organisation's sharing service: create, read, correct, withdraw.
registered = next(c for c in demo["clients"] if c["use"] == "record-system" and c["orgnr"] == physician["orgnr"])
client = Client(registered["file"])
service = next(s for s in demo["services"] if s["orgnr"] == registered["orgnr"])
system_token = client.token(dpop, service["fhir"], " ".join(client.file["scopes"]))
when = datetime.now(timezone.utc) - timedelta(minutes=2)
temperature = {
    "resourceType": "Observation",
    "identifier": [{"system": "https://interop.example/record", "value": str(uuid.uuid4())}],
    "status": "final",
    "category": [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
    ],
    "code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]},
    "subject": {"identifier": {"system": FNR, "value": patient["fnr"]}},
    "effectiveDateTime": when.isoformat(timespec="seconds"),
    "valueQuantity": {"value": 37.5, "unit": "°C", "system": "http://unitsofmeasure.org", "code": "Cel"},
}
base = f"{service['fhir']}/Observation"
created = parsed(dpop.send("POST", base, system_token, FHIR, json=temperature), "Observation", 201)
assert created.meta.versionId == "1", created.meta.versionId
place = f"{base}/{created.id}"
read = dpop.send("GET", place, system_token)
assert parsed(read, "Observation").id == created.id
holds("a record system creates and reads back")

corrected = {**temperature, "id": created.id, "status": "corrected"}
corrected["valueQuantity"] = {**temperature["valueQuantity"], "value": 37.9}
assert dpop.send("PUT", place, system_token, FHIR, json=corrected).status_code == 428
headers = {**FHIR, "If-Match": 'W/"1"'}
assert parsed(dpop.send("PUT", place, system_token, headers, json=corrected), "Observation").meta.versionId == "2"
assert dpop.send("PUT", place, system_token, headers, json=corrected).status_code == 412
holds("a correction needs the version it corrects")

# It subscribes at its own service, is told, and what it is told parses.
backport = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
# Where the demo's record system listens: the service sends to no other address.
listens = Path(registered["file"]).parent.parent / "stores" / "record-systems" / service["id"] / "address.txt"
subscription = {
    "resourceType": "Subscription",
    "status": "requested",
    "reason": "interop",
    "criteria": "https://delt.example/fhir/SubscriptionTopic/new-reading",
    "channel": {
        "type": "rest-hook",
        "endpoint": f"{listens.read_text(encoding='utf-8')}/notified",
        "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": f"{backport}/backport-payload-content", "valueCode": "id-only"}]},
    },
}
wanted = f"{service['fhir']}/Subscription"
asked = parsed(dpop.send("POST", wanted, system_token, FHIR, json=subscription), "Subscription", 201)
assert asked.status == "requested", asked.status
address = f"{wanted}/{asked.id}"
again = {**temperature, "identifier": [{"system": "https://interop.example/record", "value": str(uuid.uuid4())}]}
told = parsed(dpop.send("POST", base, system_token, FHIR, json=again), "Observation", 201)
for _ in range(100):
    status = parsed(dpop.send("GET", f"{address}/$status", system_token), "Bundle").entry[0].resource
    values = {one.name: one.valueCode or one.valueString for one in status.parameter if one.valueCode or one.valueString}
    if (values["status"], values["events-since-subscription-start"]) == ("active", "1"):
        break
    time.sleep(0.1)
assert (values["status"], values["events-since-subscription-start"]) == ("active", "1"), values
events = parsed(dpop.send("GET", f"{address}/$events", system_token), "Bundle")
assert events.type == "history" and events.entry[1].fullUrl == f"{base}/{told.id}", events.model_dump_json()
parts = next(one for one in events.entry[0].resource.parameter if one.name == "notification-event").part
assert {one.name: one.valueString for one in parts}["event-number"] == "1", parts
assert parsed(dpop.send("GET", address, system_token), "Subscription").status == "active"
assert dpop.send("DELETE", address, system_token).status_code == 204
holds("a subscription is active after its handshake, and its events are FHIR")

withdrawn = dpop.send("DELETE", place, system_token)
assert withdrawn.status_code in (200, 204), withdrawn.text
gone = dpop.send("GET", place, system_token)
assert gone.status_code in (404, 410), gone.status_code
parsed(gone, "OperationOutcome", gone.status_code)
holds("what is withdrawn is no longer read")

print(f"python client: {held} promises held")
