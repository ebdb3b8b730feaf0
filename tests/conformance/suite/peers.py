"""`signed_note` and `tlog_tiles`, Rust crates: every entry of the large log, its checkpoints, and flipped bits."""

from __future__ import annotations

from .report import Report, demand
from .world import ENTRIES, World


def run(report: Report, world: World, seed: int) -> None:
    """All of it."""

    def whole() -> str:
        log = world.log
        where = (str(log.directory), str(log.key_file), str(world.root / "notes"), str(seed))
        said = world.site.run("conformance", "peers", *where).strip()
        entries = int(said.split()[0])
        demand(entries == log.head.size >= ENTRIES, said)
        return said

    report.check(f"signed_note and tlog_tiles, seed {seed}", whole)
