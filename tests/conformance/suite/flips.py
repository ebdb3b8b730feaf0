"""Single bits flipped all over entries, tiles, notes and proofs: every one must be refused."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aics_tlog import (
    TileMissingError,
    TileVerificationError,
    VerifiedTileReader,
    consistency_proof_from_tiles,
    inclusion_proof_from_tiles,
    leaf_hash,
    tree_root_from_tiles,
    verify_consistency,
    verify_inclusion,
)
from aics_tlog.tiles import entry_bundle_path, parse_entry_bundle_path, parse_tile_path, tile_path

from .copy import Copy, opened
from .receipts import Receipt
from .report import Refuted, Report, demand
from .witness import Meta
from .world import World

#: Flips by `aics-tlog`: of each kind so many.
_FLIPS = {"entry": 4_000, "tile": 3_000, "note": 1_500, "proof": 1_000, "receipt": 500}
#: Proofs of each kind.
_PROOFS = 30
#: Flips by `provost audit verify` and `verify-receipt`: in the small copy, in the large one, in receipts.
_OURS_EARLY, _OURS_LOG, _OURS_RECEIPTS = 36, 4, 12
#: What `aics-tlog` raises when it refuses.
_REFUSALS = (Refuted, ValueError, TileMissingError, TileVerificationError)

#: Bytes, and what raises one of the refusals unless they are as they should be.
Subject = tuple[str, bytes, Callable[[bytes], None]]


class _Altered:
    """The tiles of a copy, kept in memory, with one file replaced."""

    def __init__(self, files: dict[str, bytes], path: str, data: bytes) -> None:
        self._files, self._path, self._data = files, path, data

    def _read(self, path: str) -> bytes | None:
        return self._data if path == self._path else self._files.get(path)

    def read_tile(self, level: int, index: int, width: int | None) -> bytes | None:
        """As TileReader has it."""
        return self._read(tile_path(level, index, width))

    def read_entry_bundle(self, index: int, width: int | None) -> bytes | None:
        """As TileReader has it."""
        return self._read(entry_bundle_path(index, width))


@dataclass
class _Subjects:
    """What bits are flipped in."""

    copy: Copy
    chance: random.Random

    def __post_init__(self) -> None:
        root = self.copy.directory
        found = {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}
        self.files = {path: data for path, data in found.items() if path.startswith("tile/")}
        self.bundles = sorted(path for path in self.files if path.startswith("tile/entries/"))
        self.tiles = sorted(set(self.files) - set(self.bundles))
        self.head = self.copy.head

    def _reader(self, path: str, data: bytes) -> VerifiedTileReader:
        return VerifiedTileReader(_Altered(self.files, path, data), self.head.size, self.head.root)

    def entry(self) -> Subject:
        """A bundle of entries."""
        path = self.chance.choice(self.bundles)
        where = parse_entry_bundle_path(path)
        return (
            path,
            self.files[path],
            lambda data: demand(bool(self._reader(path, data).read_entry_bundle(*where)), path),
        )

    def tile(self) -> Subject:
        """A tile of any level."""
        path = self.chance.choice(self.tiles)
        where = parse_tile_path(path)
        return path, self.files[path], lambda data: demand(bool(self._reader(path, data).read_tile(*where)), path)

    def proofs(self, count: int) -> Iterator[Subject]:
        """Inclusion and consistency proofs, so many of each."""
        size, root = self.head.size, self.head.root
        known = VerifiedTileReader(self.copy.tiles, size, root)
        for _ in range(count):
            index, old = self.chance.randrange(size), self.chance.randrange(1, size)
            leaf, old_root = leaf_hash(known.entry(index)), tree_root_from_tiles(known, old, size)
            inclusion = inclusion_proof_from_tiles(known, index, size)
            consistency = consistency_proof_from_tiles(known, old, size)
            yield f"inclusion of {index}", b"".join(inclusion), partial(_included, leaf, index, size, root)
            yield f"consistency of {old}", b"".join(consistency), partial(_consistent, old, size, old_root, root)


def _included(leaf: bytes, index: int, size: int, root: bytes, proof: bytes) -> None:
    demand(verify_inclusion(leaf, index, size, _hashes(proof), root), "not included")


def _consistent(old: int, size: int, old_root: bytes, root: bytes, proof: bytes) -> None:
    demand(verify_consistency(old, size, old_root, root, _hashes(proof)), "not consistent")


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def flipped(data: bytes, bit: int) -> bytes:
    """The same with one bit the other way round."""
    byte = bit // 8
    return data[:byte] + bytes([data[byte] ^ 1 << bit % 8]) + data[byte + 1 :]


def run(report: Report, world: World, receipts: list[Path], meta: Meta, seed: int) -> None:
    """All of them."""
    chance = random.Random(seed)
    subjects = _Subjects(world.log, chance)
    key = world.log.key

    notes: list[Subject] = [
        (note.name, note.read_bytes(), lambda data: _void(opened(data, key))) for note in world.notes
    ]
    # a note with a witness' line, for whoever demands it: no bit of that line is free either
    keys = meta.key, [meta.witness.vkey]
    notes.append(("cosigned", meta.cosigned(), lambda data: _void(opened(data, *keys))))

    def receipt() -> Subject:
        file = chance.choice(receipts)
        entry = file.with_suffix(".entry").read_bytes()
        return file.name, file.read_bytes(), lambda data: Receipt.parse(data).verify(entry, key)

    proofs = list(subjects.proofs(_PROOFS))
    kinds: dict[str, Callable[[], Subject]] = {
        "entry": subjects.entry,
        "tile": subjects.tile,
        "note": lambda: chance.choice(notes),
        "proof": lambda: chance.choice(proofs),
        "receipt": receipt,
    }

    def outside() -> str:
        refused: Counter[str] = Counter()
        good: set[tuple[str, str]] = set()
        for kind, count in _FLIPS.items():
            while refused[kind] < count:
                name, data, verify = kinds[kind]()
                if (kind, name) not in good:
                    verify(data)
                    good.add((kind, name))
                bit = chance.randrange(len(data) * 8)
                try:
                    verify(flipped(data, bit))
                except _REFUSALS:
                    refused[kind] += 1
                else:
                    raise Refuted(f"{kind} {name}: bit {bit} flipped, and accepted")
        told = ", ".join(f"{count} in {kind}" for kind, count in refused.items())
        return f"{refused.total()} refused ({told})"

    report.check(f"aics-tlog refuses flipped bits, seed {seed}", outside)
    _by_ours(report, world, receipts, chance)


def _void(_: object) -> None:
    """Forgets a value."""


def _by_ours(report: Report, world: World, receipts: list[Path], chance: random.Random) -> None:
    key = ("--vkey", str(world.log.key_file))

    def in_place(file: Path, *command: str) -> None:
        data = file.read_bytes()
        bit = chance.randrange(len(data) * 8)
        file.write_bytes(flipped(data, bit))
        done = world.site.attempt("provost", "audit", *command, *key)
        file.write_bytes(data)
        demand(done.returncode == 11, f"{file}: bit {bit} flipped: {done.returncode} {done.stdout}{done.stderr}")

    def copies() -> str:
        for copy, count in ((world.early, _OURS_EARLY), (world.log, _OURS_LOG)):
            damaged = world.root / "damaged"
            shutil.copytree(copy.directory, damaged)
            files = sorted(f for f in damaged.rglob("*") if f.is_file() and f.name not in ("vkey", ".lock"))
            for n in range(count):
                # the checkpoint is one file among hundreds, and is to have its share
                file = damaged / "checkpoint" if n % 4 == 0 else chance.choice(files)
                in_place(file, "verify", str(damaged))
            said = world.site.run("provost", "audit", "verify", str(damaged), *key)
            demand("VERIFIED" in said, said)
            shutil.rmtree(damaged)
        return f"{_OURS_EARLY + _OURS_LOG} refused"

    def proofs() -> str:
        for _ in range(_OURS_RECEIPTS):
            file = chance.choice(receipts)
            altered = chance.choice((file, file.with_suffix(".entry")))
            in_place(altered, "verify-receipt", str(file))
        return f"{_OURS_RECEIPTS} refused"

    report.check("provost audit verify refuses flipped bits", copies)
    report.check("provost audit verify-receipt refuses flipped bits", proofs)
