"""What the checks look at: a log of very many acts with its checkpoints on the way, the copies of it and of the others."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aics_tlog import read_entry

from .copy import Copy
from .report import demand
from .site import Site

#: Acts through the API, in stages with a checkpoint after each; between the two halves the server is restarted.
ACTS = ((300, 2_200), (4_000, 1_500))
#: Acts that are put into the outbox while the server is down.
OUTBOX = 62_500
#: Entries that the log must have in the end.
ENTRIES = 70_000


@dataclass
class World:
    """The deployment and what was copied from it."""

    site: Site
    root: Path
    #: The client's log as it was before the many acts.
    early: Copy = field(init=False)
    #: The client's log.
    log: Copy = field(init=False)
    #: Signed checkpoints of the client's log, each later one larger.
    notes: list[Path] = field(default_factory=list)
    #: The logs of the platform and of the partner.
    others: list[Copy] = field(default_factory=list)
    _made: int = 0

    def grow(self) -> None:
        """Fills the client's log, copying it now and then."""
        self._copy()
        self.early = Copy(self.root / "early", self.log.key_file)
        shutil.copytree(self.log.directory, self.early.directory)
        for acts in ACTS[0]:
            self._act(acts)
        self._refuse_many()
        for acts in ACTS[1]:
            self._act(acts)
        self.others = [
            self._mirror("partner", "partners/northwind", who="nora"),
            self._mirror("platform", "--platform", who="admin"),
        ]

    def _act(self, count: int) -> None:
        """Creates roles through the API, many at a time; every answered call is in the log."""
        token = str(self.site.token_file("olivia"))
        self.site.run("conformance", "fill", self.site.url, token, str(self._made), str(count))
        self._made += count
        self._copy()

    def _refuse_many(self) -> None:
        """Puts very many denials into the outbox of a stopped server, as rows like the one that a real denial leaves.

        Through the API a build without optimisation would take minutes for so many. A denial changes nothing else, so
        the tables stay what the log says; from the outbox on everything is the server's own work.
        """
        denied = self.site.attempt("provost", *self.site.who("nora"), "audit", "search", "acme")
        demand(denied.returncode == 4, f"nora may search: {denied}")
        self._copy()
        size = self.log.head.size
        entries = (json.loads(read_entry(self.log.tiles, index, size)) for index in range(size - 1, -1, -1))
        model = next(entry for entry in entries if entry["out"] == "denied")
        self.site.stop()
        with closing(sqlite3.connect(self.site.data / "provost.db")) as database, database:
            ((scope,),) = database.execute("SELECT id FROM tenant WHERE slug = 'acme'")
            rows = ((scope, key, entry) for key, entry in _denials(model, OUTBOX))
            database.executemany("INSERT INTO audit_pending (scope_id, id, entry) VALUES (?, ?, ?)", rows)
        self.site.start()
        self._copy()
        grown = self.log.head.size - size
        demand(grown > OUTBOX, f"of {OUTBOX} rows of the outbox {grown} came into the log")

    def _copy(self) -> None:
        """Brings the copy of the client's log up to date and keeps its checkpoint."""
        self.log = self._mirror("log", "acme", who="olivia")
        kept = self.root / "notes" / str(self.log.head.size)
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(self.log.note)
        self.notes.append(kept)

    def _mirror(self, name: str, of: str, *, who: str) -> Copy:
        directory = self.root / name
        self.site.provost("audit", "mirror", of, "--out", str(directory), who=who)
        # a key inside of a copy proves nothing: a verifier has it from elsewhere
        key_file = self.root / f"{name}.vkey"
        if not key_file.exists():
            shutil.copyfile(directory / "vkey", key_file)
        return Copy(directory, key_file)


def _denials(model: dict[str, Any], count: int) -> Iterator[tuple[bytes, str]]:
    """Ids and canonical entries of so many denials, one a millisecond, the last of them now."""
    now = time.time_ns() // 1_000_000
    verbs = ("search", "export", "get", "mirror")
    for n in range(count):
        millis = now - count + n
        key = _uuid7(millis)
        at = (
            datetime.fromtimestamp(millis / 1_000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
            + "000Z"
        )
        own = {"id": str(key), "req": str(_uuid7(millis)), "t": at, "act": f"audit.{verbs[n % 4]}"}
        # what is sealed in the model is sealed to its own id
        kept = {name: value for name, value in model.items() if name not in ("ip", "ua", "q")}
        entry = json.dumps(kept | own, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        yield key.bytes, entry


def _uuid7(millis: int) -> uuid.UUID:
    """RFC 9562, version 7."""
    chance = secrets.randbits(74)
    high, low = chance >> 62, chance & (1 << 62) - 1
    return uuid.UUID(int=millis << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
