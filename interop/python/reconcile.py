"""A record system finds the one reading that its copy lacks: digests computed here from the rules of
docs/guide/record-system.md alone, by Python's own library, and compared by `$reconcile`.

`python reconcile.py READY.json`, where READY.json holds the line that `delt demo --json` printed. Without it, only the
guide's worked example is computed.
"""

import hashlib
import json
import re
import struct
import sys
import uuid
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo


class Number(str):
    """A number as it was written: 37.0 and 37.00 are two."""


def read(text: str | bytes):
    """JSON with every number's digits kept."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def text_of(value) -> str:
    """JSON again, numbers as they were written."""
    if isinstance(value, Number):
        return str.__str__(value)
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(name) + ":" + text_of(one) for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


# --- the rules of the guide, section "Digests" ---


def long(data: bytes) -> bytes:
    return struct.pack(">Q", len(data)) + data


def canonical(value, without=()) -> bytes:
    if isinstance(value, dict):
        members = sorted((name.encode(), one) for name, one in value.items() if name not in without)
        return b"{" + b"".join(long(name) + canonical(one) for name, one in members) + b"}"
    if isinstance(value, list):
        return b"[" + b"".join(map(canonical, value)) + b"]"
    if isinstance(value, Number):
        return b"n" + long(str.__str__(value).encode())
    if isinstance(value, str):
        return b"s" + long(value.encode())
    return {True: b"t", False: b"f", None: b"n"}[value]


def digest(resource: dict) -> bytes:
    return hashlib.sha256(canonical(resource, without=("id", "meta", "text"))).digest()[:16]


def digest_of_set(digests) -> str:
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


# --- the worked example of the guide ---

guide = (Path(__file__).parents[2] / "docs" / "guide" / "record-system.md").read_text(encoding="utf-8")
resources = [read(block) for block in re.findall(r"```json\n(\{\"resourceType\":.*?)\n```", guide, re.S)]
told = re.findall(r"digest: `([0-9a-f]{32})`", guide)
of_both = re.search(r"digest of the set of both: `([0-9a-f]{64})`", guide)
assert len(resources) == 2, "the guide has an example of two resources"
assert [digest(one).hex() for one in resources] == told, [digest(one).hex() for one in resources]
assert of_both and digest_of_set(map(digest, resources)) == of_both[1], digest_of_set(map(digest, resources))
print("holds: the guide's example, computed from its rules", flush=True)

if len(sys.argv) < 2:
    sys.exit()

import httpx  # noqa: E402  the example needs nothing that must be installed
from client import Client, Dpop  # noqa: E402

FNR = "urn:oid:2.16.578.1.12.4.1.4.1"
PULSE = {"system": "http://loinc.org", "code": "8867-4"}
OURS = "https://interop.example/reconcile"

with open(sys.argv[1], encoding="utf-8") as ready:
    demo = json.load(ready)
person = demo["patients"][0]["fnr"]
registered = next(
    c for c in demo["clients"] if c["use"] == "record-system" and c["orgnr"] == demo["practitioners"][0]["orgnr"]
)
base = next(s["fhir"] for s in demo["services"] if s["orgnr"] == registered["orgnr"])
dpop = Dpop(httpx.Client(timeout=10, trust_env=False))
system = Client(registered["file"])
token = system.token(dpop, base, " ".join(system.file["scopes"]))
run = str(uuid.uuid4())


def ask(method: str, path: str, body: str | None = None) -> httpx.Response:
    kind = {"Content-Type": "application/fhir+json"} if body else {}
    return dpop.send(method, f"{base}/{path}", token, headers=kind, content=body)


def parameters(*rows: dict) -> str:
    return json.dumps({"resourceType": "Parameters", "parameter": list(rows)})


def reconcile(*rows: dict) -> tuple[int, list[dict]]:
    """How many agree, and the parts of what does not."""
    kind = [{"name": "type", "valueCode": "Observation"}, {"name": "code", "valueCoding": PULSE}]
    answer = ask("POST", "$reconcile", parameters(*kind, *rows))
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    agree, *others = answer.json()["parameter"]
    value = lambda part: next(v for k, v in part.items() if k.startswith("value"))  # noqa: E731
    return agree["valueUnsignedInt"], [{part["name"]: value(part) for part in one["part"]} for one in others]


def counted(resources: list[dict]) -> list[dict]:
    return [
        {"name": "count", "valueUnsignedInt": len(resources)},
        {"name": "digest", "valueString": digest_of_set(map(digest, resources))},
    ]


def month(resource: dict) -> str:
    """The month in which it begins, in the service's zone."""
    at = datetime.fromisoformat(resource["effectiveDateTime"])
    return at.astimezone(ZoneInfo("Europe/Oslo")).strftime("%Y-%m")


def pulse(number: int, when: str, value: str) -> dict:
    return read(
        """{"resourceType": "Observation", "identifier": [{"system": "%s", "value": "%s-%d"}], "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
          "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}], "text": "Puls m\u00e5lt hjemme"},
        "subject": {"identifier": {"system": "%s", "value": "%s"}}, "effectiveDateTime": "%s",
        "valueQuantity": {"value": %s, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}}"""
        % (OURS, run, number, FNR, person, when, value)
    )


# What this record system holds: everything that is there already (other scripts were here), and three readings of its own.
there = dpop.send(
    "POST",
    f"{base}/Observation/_search",
    token,
    data={"patient.identifier": f"{FNR}|{person}", "code": f"{PULSE['system']}|{PULSE['code']}", "_count": "200"},
)
assert there.status_code == 200, there.text
page = read(there.content)
assert not any(link["relation"] == "next" for link in page["link"]), "more than one page"
held = [entry["resource"] for entry in page.get("entry", [])]
ours = [
    pulse(1, "2025-02-28T23:30:00Z", "61"),  # March in Norway
    pulse(2, "2025-03-02T08:00:00+01:00", "62.50"),
    pulse(3, "2025-04-01T08:00:00+02:00", "63.0"),
]
everything = held + ours
lost = ours[1]
for one in ours:
    if one is not lost:
        answer = ask("POST", "Observation", text_of(one))
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}"

patient = {"name": "patient", "valueIdentifier": {"system": FNR, "value": person}}
series = {"name": "series", "part": [patient, *counted(everything)]}
agree, others = reconcile(series)
assert agree == 0 and [one["state"] for one in others] == ["differs"], others
assert others[0]["count"] == len(everything) - 1

months = sorted({month(one) for one in everything})
buckets = [
    {
        "name": "bucket",
        "part": [{"name": "month", "valueString": name}, *counted([o for o in everything if month(o) == name])],
    }
    for name in months
]
agree, others = reconcile(patient, *buckets)
assert agree == len(months) - 1 and [one["month"] for one in others] == ["2025-03"], others

entries = [
    {
        "name": "entry",
        "part": [
            {"name": "digest", "valueString": digest(one).hex()},
            {"name": "identifier", "valueIdentifier": one["identifier"][0]},
        ],
    }
    for one in everything
    if month(one) == "2025-03"
]
agree, others = reconcile(patient, {"name": "month", "valueString": "2025-03"}, *entries)
assert agree == len(entries) - 1 and [one["state"] for one in others] == ["missing"], others
assert others[0]["digest"] == digest(lost).hex()
print("holds: the lost reading is found by month and digest", flush=True)

assert ask("POST", "Observation", text_of(lost)).status_code == 201
agree, others = reconcile(series)
assert (agree, others) == (1, []), others
print("holds: repaired by the ordinary feed, source and copy agree", flush=True)

now = datetime.now(ZoneInfo("UTC")).isoformat(timespec="seconds")
said = ask("POST", "$copy-state", parameters({"name": "as_of", "valueInstant": now}))
assert said.status_code == 200, said.text
told = {one["name"]: one for one in ask("GET", "$copy-state").json()["parameter"]}
assert datetime.fromisoformat(told["as_of"]["valueInstant"]) <= datetime.now(ZoneInfo("UTC"))
assert said.headers["delt-copy-as-of"], said.headers
print("holds: the copy's age is told", flush=True)
print("python reconciliation: 4 promises held")
