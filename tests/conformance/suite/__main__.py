"""Runs everything: `N checks passed, M failed`, and a status that says so."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import sinks

from . import exports, flips, ocsf, openssl, peers, readme, receipts, tlog, witness
from .report import Report
from .site import Site
from .world import World


def main() -> int:
    """The whole suite on a deployment of its own."""
    # whoever ends the suite ends what it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    seed = int(os.environ.get("CONFORMANCE_SEED") or secrets.randbits(32))
    report, binaries = Report(), Path(os.environ["PROVOST_BINARIES"])
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
        site = Site(binaries, root)
        site.prepare()
        first, other = (witness.Witness(root, name) for name in (witness.NAME, witness.OTHER))
        stack.callback(first.stop)
        stack.callback(other.stop)
        site.settings = {
            "PROVOST__AUDIT__WITNESSES": f'["{first.url} {first.vkey_text}"]',
            "PROVOST__AUDIT__PUBLISH_INTERVAL_SECONDS": "1",
        }
        site.start()
        stack.callback(site.stop)
        # while the log is as small as the quickstart's
        readme.run(report, site, root)
        meta = witness.Meta(site, first)
        for each in (first, other):
            each.watch(meta.key)
        world = World(site, root)
        world.grow()
        print(f"a log of {world.log.head.size} entries after {time.monotonic() - begun:.0f} s", flush=True)
        fetched = receipts.fetch(world)
        tlog.run(report, world)
        peers.run(report, world, seed)
        openssl.run(report, world)
        receipts.run(report, world, fetched)
        witness.run(report, meta, other, root)
        flips.run(report, world, fetched, meta, seed)
        ocsf.run(report, world, seed)
        exports.run(report, world)
        site.stop()
        workdir = root / "sinks"
        workdir.mkdir()
        report.take_over(sinks.main(binaries / "provostd", binaries / "provost", workdir))
    print(f"{report.passed} checks passed, {report.failed} failed, in {time.monotonic() - begun:.0f} s")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
