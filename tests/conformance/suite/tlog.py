"""`aics-tlog`: checkpoints, proofs and every tile of our logs."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

from aics_tlog import (
    HttpTileReader,
    VerifiedTileReader,
    audit_tiles,
    consistency_proof_from_tiles,
    verify_consistency,
)

from .copy import opened
from .report import Report, demand
from .world import ENTRIES, World

#: Leaves to prove, as parts of a thousand of the log.
_LEAVES = (0, 1, 333, 500, 997, 1_000)


def aics_tlog(*args: str | Path) -> dict[str, object]:
    """The command line of `aics-tlog`; fails unless it verifies."""
    command = [Path(sys.executable).with_name("aics-tlog"), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    demand(done.returncode == 0, f"{' '.join(map(str, args))}: {done.stdout}{done.stderr}")
    said: dict[str, object] = json.loads(done.stdout)
    demand(said["ok"] is True, done.stdout)
    return said


def run(report: Report, world: World) -> None:
    """All of them."""
    log = world.log
    key = ("--vkey-file", log.key_file, "--origin", log.key.name)

    def checkpoints() -> str:
        for note in world.notes:
            said = aics_tlog("verify-checkpoint", "--note", note, *key)
            demand(said["size"] == int(note.name), f"{said}")
        said = aics_tlog("verify-checkpoint", "--tiles", log.directory, *key)
        demand(said["tiles_ok"] is True, f"{said}")
        return f"{len(world.notes)} checkpoints up to size {said['size']}"

    def inclusion() -> str:
        size = log.head.size
        leaves = sorted({(size - 1) * part // 1_000 for part in _LEAVES})
        for index in leaves:
            aics_tlog("verify-inclusion", "--tiles", log.directory, "--index", str(index), *key)
        return f"leaves {', '.join(map(str, leaves))}"

    def consistency() -> str:
        # the copy is as wide as its own checkpoint: what lies between two earlier ones is proved from the tiles of the last
        last = world.notes[-1]
        for old in world.notes[:-1]:
            heads = ("--old-checkpoint", old, "--checkpoint", last)
            aics_tlog("verify-consistency", "--tiles", log.directory, *heads, *key)
        tiles = VerifiedTileReader(log.tiles, log.head.size, log.head.root)
        heads_on_the_way = [opened(note.read_bytes(), log.key) for note in world.notes]
        pairs = list(combinations(heads_on_the_way, 2))
        for old_head, new in pairs:
            proof = consistency_proof_from_tiles(tiles, old_head.size, new.size, log.head.size)
            extends = verify_consistency(old_head.size, new.size, old_head.root, new.root, proof)
            demand(extends, f"size {new.size} does not extend {old_head.size}")
        return f"{len(world.notes) - 1} to the newest, and all {len(pairs)} pairs"

    def walk() -> str:
        head = log.head
        demand(head.size >= ENTRIES, f"the log has {head.size} entries only")
        seen = audit_tiles(log.tiles, head.size, head.root)
        return f"{seen.tiles} tiles and {seen.bundles} bundles over {seen.size} entries"

    def walk_others() -> str:
        seen = [audit_tiles(copy.tiles, copy.head.size, copy.head.root) for copy in world.others]
        return ", ".join(f"{copy.key.name} {s.size}" for copy, s in zip(world.others, seen, strict=True))

    def walk_http() -> str:
        made = world.site.answer("audit", "link", "create", "acme", "--display-name", "aics-tlog")
        prefix = f"{world.site.url}{made['path']}"
        said = aics_tlog("verify-checkpoint", "--tiles", prefix, *key)
        grown = ("verify-consistency", "--old-checkpoint", world.notes[0])
        aics_tlog(*grown, "--tiles", prefix, *key)
        head = log.head
        seen = audit_tiles(HttpTileReader(prefix, proxies={}), head.size, head.root)
        return f"checkpoint of size {said['size']}, {seen.tiles} tiles and {seen.bundles} bundles through a link"

    report.check("aics-tlog verify-checkpoint", checkpoints)
    report.check("aics-tlog verify-inclusion", inclusion)
    report.check("aics-tlog verify-consistency", consistency)
    report.check("aics-tlog audit_tiles of the copied log", walk)
    report.check("aics-tlog audit_tiles of the partner's and the platform's", walk_others)
    report.check("aics-tlog over HTTP", walk_http)
