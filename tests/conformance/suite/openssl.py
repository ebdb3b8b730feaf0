"""The signature of a checkpoint, by openssl and coreutils alone: the recipe that README gives."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .report import Report, demand
from .world import World

#: The script that README names: checkpoint, key.
SCRIPT = Path(__file__).parent.parent / "check-signature"


def _refused(note: Path, key: Path) -> bool:
    return subprocess.run([SCRIPT, note, key], capture_output=True, check=False, timeout=60).returncode != 0


def run(report: Report, world: World) -> None:
    """All of them."""
    key = world.log.key_file

    def signatures() -> str:
        for note in world.notes:
            done = subprocess.run([SCRIPT, note, key], capture_output=True, text=True, check=False, timeout=60)
            demand(done.returncode == 0, done.stdout + done.stderr)
        return f"{len(world.notes)} checkpoints"

    def forgeries() -> str:
        note = world.notes[-1].read_bytes()
        altered = world.root / "altered"
        # a digit of the size, a letter of the root, a letter of the signature
        places = (note.index(b"\n") + 1, note.index(b"\n\n") - 10, len(note) - 40)
        for place in places:
            altered.write_bytes(note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :])
            demand(_refused(altered, key), f"byte {place} altered, and accepted")
        another = world.others[0].key_file
        demand(_refused(world.notes[-1], another), "accepted by another log's key")
        return f"{len(places)} altered bytes and another log's key"

    report.check("openssl and coreutils verify the signature", signatures)
    report.check("openssl and coreutils refuse what is altered", forgeries)
