"""A copied log, as `aics-tlog` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aics_tlog import (
    Checkpoint,
    FileSystemTileReader,
    VKey,
    parse_checkpoint,
    parse_note,
    read_vkey_file,
    verify_checkpoint,
)

from .report import Refuted


def opened(note: bytes, key: VKey, witnesses: list[VKey] | None = None) -> Checkpoint:
    """The checkpoint of a note that the log signed and every one of the witnesses cosigned; refuses any other."""
    read = parse_note(note)
    verdict = verify_checkpoint(read, key, witnesses, len(witnesses or []), expected_origin=key.name)
    if not verdict.ok:
        raise Refuted(verdict.error or "no reason given")
    return parse_checkpoint(read.text)


@dataclass(frozen=True)
class Copy:
    """A directory that `provost audit mirror` made, and the key that stands outside of it."""

    directory: Path
    key_file: Path

    @property
    def key(self) -> VKey:
        """The log's verifier key."""
        return read_vkey_file(self.key_file.read_text())

    @property
    def note(self) -> bytes:
        """Its signed checkpoint."""
        return (self.directory / "checkpoint").read_bytes()

    @property
    def head(self) -> Checkpoint:
        """Its checkpoint, verified."""
        return opened(self.note, self.key)

    @property
    def tiles(self) -> FileSystemTileReader:
        """Its tiles."""
        return FileSystemTileReader(self.directory)
