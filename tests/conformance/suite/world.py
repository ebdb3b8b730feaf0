"""What the checks look at: a log of very many acts with its checkpoints on the way, the copies of it and of the others."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .copy import Copy
from .site import Site

#: Calls of a running server, in stages with a checkpoint after each; between the two halves the server is restarted.
#: Roles are created and changed by the client's owner, and somebody asks for what only the owner may see.
STAGES = (
    (("create", 300), ("create", 2_200), ("change", 8_000), ("refuse", 7_000), ("change", 8_000), ("refuse", 7_000)),
    (("create", 4_000), ("change", 9_000), ("refuse", 7_500), ("change", 9_000), ("refuse", 7_000), ("create", 1_500)),
)
#: Entries that the log must have in the end.
ENTRIES = 70_000
#: Who does it.
ACTORS = {"create": "olivia", "change": "olivia", "refuse": "nora"}


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
        for half in STAGES:
            if self._made:
                self.site.stop()
                self.site.start()
            for verb, count in half:
                self._act(verb, count)
        self.others = [
            self._mirror("partner", "partners/northwind", who="nora"),
            self._mirror("platform", "--platform", who="admin"),
        ]

    def _act(self, verb: str, count: int) -> None:
        """Makes so many calls, many at a time; every answered call is in the log."""
        first = []
        if verb == "create":
            first = [str(self._made)]
            self._made += count
        token = str(self.site.token_file(ACTORS[verb]))
        self.site.run("conformance", verb, self.site.url, token, *first, str(count))
        self._copy()

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
