"""README's "Check us", followed to the letter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .report import Report, demand
from .site import PATIENCE, Site

_REPOSITORY = Path(__file__).parents[3]
#: What the suite has built stands for what `cargo run` would build.
_PRELUDE = 'set -e\ncargo() { shift 4; "$PROVOST_BINARIES/provost" "$@"; }\n'


def _blocks() -> list[str]:
    """The indented blocks of the section, each a script."""
    text = (_REPOSITORY / "README.md").read_text()
    section = text.partition("## Check us\n")[2].partition("\n## ")[0]
    blocks, block = [], ""
    for line in [*section.splitlines(), ""]:
        if line.startswith("    "):
            block += line[4:] + "\n"
        elif block:
            blocks.append(block)
            block = ""
    return blocks


def run(report: Report, site: Site, root: Path) -> None:
    """A stranger, in a directory with nothing but the quickstart's data and the repository's tests."""

    def stranger() -> str:
        here = root / "stranger"
        here.mkdir()
        (here / "provost-data").symlink_to(site.data)
        (here / "tests").symlink_to(_REPOSITORY / "tests")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "PROVOST_CONFIG": str(root / "contexts.toml")}

        def follow(block: str, **more: str) -> subprocess.CompletedProcess[str]:
            command = ["bash", "-c", _PRELUDE + block]
            return subprocess.run(
                command, cwd=here, env=env | more, capture_output=True, text=True, check=False, timeout=PATIENCE
            )

        def followed(block: str, **more: str) -> str:
            done = follow(block, **more)
            demand(done.returncode == 0, f"{block}{done.returncode}: {done.stdout}{done.stderr}")
            return done.stdout + done.stderr

        mirror, ours, theirs, openssl, edit = _blocks()
        followed(mirror, PROVOST_ADDRESS=site.url)
        # from here on nobody is asked: there is no address that answers
        offline = {"PROVOST_ADDRESS": "http://127.0.0.1:1"}
        demand("VERIFIED" in followed(ours, **offline), "not verified")
        demand("AuditReport(" in followed(theirs, **offline), "not audited")
        demand("Verified Successfully" in followed(openssl, **offline), "the signature is not good")
        followed(edit)
        refused = follow(ours, **offline)
        demand(refused.returncode == 11, f"an altered byte: {refused}")
        said = refused.stderr.strip().splitlines()[-1]
        refused = follow(theirs, **offline)
        demand("TileVerificationError" in refused.stderr, f"an altered byte: {refused}")
        return f"accepted, then refused by both: {said}"

    report.check("README's Check us", stranger)
