"""Receipts (c2sp.org/tlog-proof@v1), by `aics-tlog` and by `provost audit verify-receipt`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aics_tlog import VKey, verify_leaf_inclusion
from aics_tlog.note import b64_decode
from aics_witness.protocol import parse_decimal

from .copy import opened
from .report import Refuted, Report, demand
from .tlog import aics_tlog
from .world import World

#: Receipts to fetch.
COUNT = 12


@dataclass(frozen=True)
class Receipt:
    """A receipt's parts, before anything is verified."""

    index: int
    proof: list[bytes]
    note: bytes

    @classmethod
    def parse(cls, text: bytes) -> Receipt:
        """Reads one strictly; ValueError otherwise."""
        head, blank, note = text.partition(b"\n\n")
        title, index, *proof = head.decode().split("\n")
        word, space, number = index.partition(" ")
        if not blank or (title, word, space) != ("c2sp.org/tlog-proof@v1", "index", " "):
            raise ValueError("not a receipt")
        hashes = [b64_decode(line) for line in proof]
        if any(len(each) != 32 for each in hashes):
            raise ValueError("a hash has 32 bytes")
        return cls(parse_decimal(number, "index"), hashes, note)

    def verify(self, entry: bytes, key: VKey) -> None:
        """Refuses a receipt that does not prove the entry."""
        head = opened(self.note, key)
        if not verify_leaf_inclusion(entry, self.index, head.size, self.proof, head.root):
            raise Refuted("the proof does not lead to the root")


def fetch(world: World) -> list[Path]:
    """Receipts of events all over the log; each lies beside its `.entry` and its `.vkey`."""
    size = world.log.head.size
    directory = world.root / "receipts"
    directory.mkdir()
    fetched = []
    for index in sorted({(size - 1) * n // (COUNT - 1) for n in range(COUNT)}):
        below = ("--as-of-size", str(index + 1), "--page-size", "1")
        page = world.site.answer("audit", "search", "acme", *below)
        events = page if isinstance(page, list) else page["auditEvents"]
        file = directory / str(index)
        world.site.provost("audit", "receipt", events[0]["name"], "--out", str(file))
        fetched.append(file)
    return fetched


def run(report: Report, world: World, receipts: list[Path]) -> None:
    """All of them."""
    key = world.log.key

    def outside() -> str:
        for file in receipts:
            entry = file.with_suffix(".entry")
            receipt = Receipt.parse(file.read_bytes())
            demand(receipt.index == int(file.name), f"asked for {file.name}, got {receipt.index}")
            receipt.verify(entry.read_bytes(), key)
            # once more by the command line, from files
            note, proof = file.with_suffix(".note"), file.with_suffix(".proof")
            note.write_bytes(receipt.note)
            lines = file.read_bytes().partition(b"\n\n")[0].split(b"\n")[2:]
            proof.write_bytes(b"".join(line + b"\n" for line in lines))
            where = ("--index", str(receipt.index), "--checkpoint", note, "--proof", proof)
            said = aics_tlog("verify-inclusion", "--leaf", entry, *where, "--vkey-file", world.log.key_file)
            demand(said["checkpoint_verified"] is True, f"{said}")
        return f"{len(receipts)} receipts"

    def ours() -> str:
        for file in receipts:
            said = world.site.run("provost", "audit", "verify-receipt", str(file), "--vkey", str(world.log.key_file))
            demand("VERIFIED" in said, said)
        return f"{len(receipts)} receipts"

    report.check("receipts by aics-tlog", outside)
    report.check("receipts by provost audit verify-receipt", ours)
