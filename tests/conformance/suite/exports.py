"""Exports, queried by `duckdb`, against what the API answers and what the log holds."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import duckdb
from aics_tlog import leaf_hash, read_entry

from .report import Report, demand
from .world import World

#: What all of them are compared by; times in microseconds since the epoch.
_COLUMNS = "index, id, time, action, outcome, event_class, actor, targets, request_id, count, leaf_hash"

_PARQUET = """
    CREATE VIEW parquet AS SELECT index, id, epoch_us(time) AS time, action, outcome, event_class, actor, targets, request_id,
        count, lower(hex(leaf_hash)) AS leaf_hash FROM read_parquet($file)"""
_CSV = """
    CREATE TABLE csv AS SELECT CAST(index AS BIGINT) AS index, id, epoch_us(CAST(time AS TIMESTAMPTZ)) AS time, action, outcome,
        event_class, actor, targets, request_id, CAST(count AS BIGINT) AS count, leaf_hash
    FROM read_csv($file, header = true, all_varchar = true, quote = '"', escape = '"', nullstr = '\\N')"""
_NDJSON = """
    CREATE TABLE ndjson AS SELECT index, entry ->> '$.id' AS id, epoch_us(CAST(entry ->> '$.t' AS TIMESTAMPTZ)) AS time,
        entry ->> '$.act' AS action, entry ->> '$.out' AS outcome, entry ->> '$.cls' AS event_class,
        entry ->> '$.actor.p' AS actor, array_to_string(entry ->> '$.tgt[*].id', ' ') AS targets,
        coalesce(entry ->> '$.req', '') AS request_id, coalesce(CAST(entry ->> '$.n' AS BIGINT), 1) AS count,
        lower(hex(from_base64(leaf_hash))) AS leaf_hash
    FROM read_json($file, format = 'newline_delimited', columns = {index: 'BIGINT', leaf_hash: 'VARCHAR', entry: 'JSON'})"""
_API = """
    CREATE TABLE api AS SELECT CAST(index AS BIGINT) AS index, string_split(name, '/')[-1] AS id,
        epoch_us(CAST(time AS TIMESTAMPTZ)) AS time, action, lower(replace(outcome, 'OUTCOME_', '')) AS outcome,
        eventClass AS event_class, actor, array_to_string(targets, ' ') AS targets, requestId AS request_id,
        CAST(count AS BIGINT) AS count, lower(hex(from_base64(leafHash))) AS leaf_hash
    FROM read_json($file, format = 'newline_delimited', columns = {index: 'VARCHAR', name: 'VARCHAR', time: 'VARCHAR',
        action: 'VARCHAR', outcome: 'VARCHAR', eventClass: 'VARCHAR', actor: 'VARCHAR', targets: 'VARCHAR[]',
        requestId: 'VARCHAR', count: 'VARCHAR', leafHash: 'VARCHAR'})"""


class _Exports:
    """The files, and a database that reads them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._size = world.log.head.size
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")

    def one(self, query: str) -> tuple[object, ...]:
        """The one row of an answer."""
        rows = self._db.execute(query).fetchall()
        demand(len(rows) == 1, f"{query}: {rows[:3]}")
        return tuple(rows[0])

    def export(self, form: str, table: str) -> str:
        """Exports in a format and reads it."""
        file = self._world.root / f"log.{form}"
        bound = ["--as-of-size", str(self._size)]
        if form == "parquet":
            # put together of several
            bound += ["--piece", "20000"]
        self._world.site.provost("audit", "export", "acme", "--format", form, "--out", str(file), *bound)
        self._load(table, file)
        manifest = json.loads(Path(f"{file}.manifest.json").read_text())
        demand(manifest["count"] == self._size, f"{manifest}")
        return self._whole(form)

    def search(self) -> str:
        """Asks the API for everything, page by page."""
        pages = ("--all", "--page-size", "1000", "--as-of-size", str(self._size))
        events = self._world.site.answer("audit", "search", "acme", *pages)
        file = self._world.root / "api.json"
        with file.open("w") as out:
            out.writelines(json.dumps(event) + "\n" for event in events)
        self._load(_API, file)
        return self._whole("api")

    def _load(self, table: str, file: Path) -> None:
        self._db.execute(table.replace("$file", f"'{file}'"))

    def _whole(self, table: str) -> str:
        """Every index is there, once."""
        count, indexes, first, last = self.one(
            f"SELECT count(*), count(DISTINCT index), min(index), max(index) FROM {table}"
        )
        found = (count, indexes, first, last)
        demand(found == (self._size, self._size, 0, self._size - 1), f"{found}, not {self._size} rows")
        return f"{count} rows, indexes {first} to {last}"

    def same(self, one: str, other: str) -> str:
        """Two tables have the same rows."""
        for a, b in ((one, other), (other, one)):
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM {a} EXCEPT ALL SELECT {_COLUMNS} FROM {b} LIMIT 3"
            ).fetchall()
            demand(not rows, f"only in {a}: {rows}")
        by_action = f"SELECT action, outcome, count(*) FROM {one} GROUP BY ALL"
        groups = len(self._db.execute(by_action).fetchall())
        return f"{self._size} rows in {groups} groups of action and outcome"

    def leaves(self) -> str:
        """The leaf hashes are those of the copied log's entries."""
        rows = self._db.execute("SELECT index, leaf_hash FROM parquet ORDER BY index").fetchall()
        log, size = self._world.log, self._size
        chosen = rows[:: max(1, size // 500)]
        for index, exported in chosen:
            demand(leaf_hash(read_entry(log.tiles, index, size)).hex() == exported, f"leaf {index}")
        return f"{len(chosen)} leaves"

    def counts(self) -> str:
        """What the API finds with a filter is what the file has."""
        queries = {
            "action = role.create AND outcome = ok": "action = 'role.create' AND outcome = 'ok'",
            "outcome = denied AND action = audit.list": "outcome = 'denied' AND action = 'audit.list'",
            "event_class = decision": "event_class = 'decision'",
            'actor = "tenants/acme/principals/olivia" AND action = "audit.*"': (
                "actor = 'tenants/acme/principals/olivia' AND action LIKE 'audit.%'"
            ),
            'target = "tenants/acme/roles/c-77"': "list_contains(string_split(targets, ' '), 'tenants/acme/roles/c-77')",
        }
        told = []
        for asked, where in queries.items():
            pages = ("--all", "--page-size", "1000", "--as-of-size", str(self._size))
            found = len(self._world.site.answer("audit", "search", "acme", *pages, "--filter", asked))
            (count,) = self.one(f"SELECT count(*) FROM parquet WHERE {where}")
            demand(found == count, f"{asked}: {found} by the API, {count} by duckdb")
            told.append(found)
        demand(min(told[0], told[1], told[3], told[4]) > 0, f"{told}")
        return ", ".join(map(str, told))


def run(report: Report, world: World) -> None:
    """All of them."""
    exports = _Exports(world)
    report.check("duckdb reads the Parquet export", lambda: exports.export("parquet", _PARQUET))
    report.check("duckdb reads the CSV export", lambda: exports.export("csv", _CSV))
    report.check("duckdb reads the NDJSON export", lambda: exports.export("ndjson", _NDJSON))
    report.check("duckdb reads what the API answers", exports.search)
    for form in ("csv", "ndjson", "api"):
        report.check(f"duckdb finds the same rows in Parquet and {form}", partial(exports.same, "parquet", form))
    report.check("the exported leaf hashes are those of the log", exports.leaves)
    report.check("duckdb and the API count the same", exports.counts)
