"""Named checks, one printed line each."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable


class Refuted(Exception):
    """A check found what must not be."""


def demand(holds: bool, otherwise: str) -> None:
    """Fails the check unless something holds."""
    if not holds:
        raise Refuted(otherwise)


class Report:
    """What was checked, and how it came out."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, name: str, run: Callable[[], str]) -> None:
        """Runs one check; what it returns says what was seen."""
        begun = time.monotonic()
        try:
            said = run()
        except Refuted as refuted:
            self._failed(name, str(refuted))
        except Exception:  # a check that breaks down did not pass
            self._failed(name, traceback.format_exc())
        else:
            self._passed(name, f"{said} ({time.monotonic() - begun:.1f} s)")

    def take_over(self, results: Iterable[tuple[str, bool, str]]) -> None:
        """What another suite has checked: names, whether they hold, and what was seen."""
        for name, holds, said in results:
            (self._passed if holds else self._failed)(name, said)

    def _passed(self, name: str, said: str) -> None:
        self.passed += 1
        print(f"ok      {name}: {said}", flush=True)

    def _failed(self, name: str, why: str) -> None:
        self.failed += 1
        print(f"FAILED  {name}: {why}", flush=True)
