"""A scenario in YAML, driven by the runner of SEKMET FHIR R4 Tester (`sekmet-fhir`), which knows nothing of Delt.

`python scenario.py READY.json`, where READY.json holds the line that `delt demo --json` printed. The runner's own hospital
scenarios do not fit a Norwegian sharing service (README.md tells why); its steps, variables, FHIRPath checks and report do.
Its peer asks by `httpx`, whose `auth` hook brings token and proof.
"""

import json
import logging
import sys
import tempfile
import uuid

import httpx
from client import Client, Dpop
from sekmet.config import Peer, Settings
from sekmet.context import AppContext
from sekmet.scenarios.runner import ScenarioRunner

FNR = "urn:oid:2.16.578.1.12.4.1.4.1"
logging.disable(logging.INFO)

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


class Proof(httpx.Auth):
    """Token and proof on every request of the runner's peer."""

    def auth_flow(self, request: httpx.Request):
        url = str(request.url).split("?")[0]
        request.headers["Authorization"] = f"DPoP {token}"
        request.headers["DPoP"] = dpop.proof(request.method, url, token)
        yield request


def saturation(minute: int, status: str = "final") -> dict:
    """An oxygen saturation at some minute of an hour that no other test uses."""
    return {
        "resourceType": "Observation",
        "identifier": [{"system": "https://interop.example/scenario", "value": f"{run}-{minute}"}],
        "status": status,
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "2708-6"}]},
        "subject": {"identifier": {"system": FNR, "value": person}},
        "effectiveDateTime": f"2025-02-05T14:{minute:02}:00Z",
        "valueQuantity": {"value": 96, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"},
    }


def transaction(*readings: dict) -> dict:
    entries = [{"resource": each, "request": {"method": "POST", "url": "Observation"}} for each in readings]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


variables = {
    "reading": saturation(1),
    "note": [{"op": "add", "path": "/note", "value": [{"text": "cold fingers"}]}],
    "transaction": transaction(saturation(2), saturation(3)),
    "broken": transaction(saturation(4), saturation(5, "measured")),
}
with tempfile.TemporaryDirectory() as folder:
    settings = Settings(data_dir=folder, db_path=f"{folder}/sekmet.db", peers={"delt": Peer(base_url=base)})
    context = AppContext(settings)
    context.peer_client("delt").http.auth = Proof()
    result = ScenarioRunner(context, "delt").run(f"{sys.path[0]}/scenario.yaml", variables, record=False)
for step in result.steps:
    print(f"{'holds' if step.status == 'passed' else step.status}: {step.name} {step.message if step.status != 'passed' else ''}")
assert result.status == "passed", result.status
print(f"python scenario: {len(result.steps)} steps passed, {sum(len(s.checks) for s in result.steps)} checks")
