"""OCSF 1.8.0, by `ocsf-json-schema` and `jsonschema`."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from .report import Refuted, Report, demand
from .world import World

_VERSION = "1.8.0"
#: Of the exported events of each action, so many are validated: roles that differ in their name alone differ in nothing here.
_OF_EACH_ACTION = 100


class _Schema:
    """The published schema, one validator a class."""

    def __init__(self) -> None:
        self._schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=_VERSION))
        self._validators: dict[int, Draft202012Validator] = {}

    def check(self, event: dict[str, Any]) -> None:
        """Refuses an event that its class does not describe."""
        uid = event["class_uid"]
        if uid not in self._validators:
            name = self._schema.lookup_class_name_from_uid(uid)
            schema = self._schema.get_class_schema(name, profiles=event["metadata"].get("profiles", []))
            self._validators[uid] = Draft202012Validator(schema)
        errors = [f"{error.json_path}: {error.message}" for error in self._validators[uid].iter_errors(event)]
        demand(not errors, f"{errors} in {json.dumps(event)}")


def _check_all(schema: _Schema, events: Iterable[dict[str, Any]]) -> str:
    classes: Counter[int] = Counter()
    for event in events:
        schema.check(event)
        classes[event["class_uid"]] += 1
    demand(bool(classes), "no events")
    told = ", ".join(f"{count} of class {uid}" for uid, count in sorted(classes.items()))
    return f"{classes.total()} events valid against {_VERSION}: {told}"


def run(report: Report, world: World, seed: int) -> None:
    """All of them."""
    schema = _Schema()

    def refuses() -> str:
        event = json.loads(world.site.run("conformance", "ocsf").splitlines()[0])
        for spoiled in ({"severity_id": "x"}, {"time": None}, {"unknown_field": 1}):
            try:
                schema.check(event | spoiled)
            except Refuted:
                continue
            raise Refuted(f"{spoiled} passes")
        return "a wrong type, a missing value and an unknown field"

    def every_action() -> str:
        events = [json.loads(line) for line in world.site.run("conformance", "ocsf").splitlines()]
        actions = {event["metadata"]["event_code"] for event in events}
        return f"{len(actions)} actions, {_check_all(schema, events)}"

    def exported() -> str:
        file = world.root / "log.ocsf"
        world.site.provost("audit", "export", "acme", "--format", "ocsf", "--out", str(file))
        by_action: dict[str, list[dict[str, Any]]] = {}
        count = 0
        for line in file.open():
            event = json.loads(line)
            demand(event["metadata"]["sequence"] == count, f"sequence {event['metadata']['sequence']} at {count}")
            count += 1
            by_action.setdefault(event["metadata"]["event_code"], []).append(event)
        chance = random.Random(seed)
        chosen = [e for all_ in by_action.values() for e in chance.sample(all_, min(len(all_), _OF_EACH_ACTION))]
        return f"of {count} exported events with {len(by_action)} actions, {_check_all(schema, chosen)}"

    report.check("ocsf-json-schema refuses what is spoiled", refuses)
    report.check("ocsf-json-schema accepts every action", every_action)
    report.check("ocsf-json-schema accepts the exported log", exported)
