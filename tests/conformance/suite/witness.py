"""`aics-witness` (c2sp.org/tlog-witness): it cosigns our meta log, and refuses what it must."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from aics_tlog import (
    Checkpoint,
    Note,
    VerifiedTileReader,
    VKey,
    audit_tiles,
    consistency_proof_from_tiles,
    format_vkey,
    node_hash,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    sign_checkpoint,
)
from aics_tlog.tiles import entry_bundle_path, tile_path
from aics_witness.protocol import format_add_checkpoint_request, parse_signature_lines, parse_size_body
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .copy import Copy, opened
from .report import Report, demand
from .site import PATIENCE, Answer, Program, Site, ask

_PROGRAM = str(Path(sys.executable).with_name("aics-witness"))
#: The witness that the server calls, and one that only the suite calls.
NAME, OTHER = "witness.test/first", "witness.test/second"


class Witness:
    """A witness of its own process."""

    def __init__(self, root: Path, name: str) -> None:
        self._config = root / f"{name.rpartition('/')[2]}.json"
        own = ("--name", name, "--db", f"{self._config.stem}.db", "--key-file", f"{self._config.stem}.key")
        self.vkey: VKey = parse_vkey(self._run("init", *own, "--listen", "127.0.0.1:0").strip())
        command = [_PROGRAM, "serve", "--config", str(self._config)]
        self._server = Program(command, announces="listening on ")

    @property
    def vkey_text(self) -> str:
        """Its verifier key as text."""
        return format_vkey(self.vkey)

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.address

    def stop(self) -> None:
        """Stops it."""
        self._server.stop()

    def watch(self, log: VKey) -> None:
        """Has it watch a log."""
        self._run("add-log", "--origin", log.name, "--vkey", format_vkey(log))
        self._server.signal(signal.SIGHUP)

    def _run(self, verb: str, *args: str) -> str:
        command = [_PROGRAM, verb, "--config", str(self._config), *args]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    def add(self, old: int, proof: list[bytes], note: bytes) -> Answer:
        """Asks it to cosign."""
        body = format_add_checkpoint_request(old, proof, note)
        return ask(f"{self.url}/add-checkpoint", body=body)


@dataclass
class _Tiles:
    """The meta log's tiles, over HTTP with a token: `aics-tlog` reads only what needs none."""

    site: Site

    def read_tile(self, level: int, index: int, width: int | None) -> bytes | None:
        """As TileReader has it."""
        return self._read(tile_path(level, index, width))

    def read_entry_bundle(self, index: int, width: int | None) -> bytes | None:
        """As TileReader has it."""
        return self._read(entry_bundle_path(index, width))

    def _read(self, path: str) -> bytes | None:
        answer = ask(f"{self.site.url}/audit/v1/meta/{path}", token=self.site.token("admin"))
        return answer.body if answer.status == 200 else None


class Meta:
    """The meta log as its readers see it."""

    def __init__(self, site: Site, witness: Witness) -> None:
        self.site = site
        self.witness = witness
        self.key = parse_vkey(self._wait("vkey").decode().strip())

    def note(self) -> bytes:
        """Its newest checkpoint."""
        return self._wait("checkpoint")

    def _wait(self, file: str) -> bytes:
        """A file that is there once something was published."""
        until = time.monotonic() + PATIENCE
        while True:
            url = f"{self.site.url}/audit/v1/meta/{file}"
            answer = ask(url, token=self.site.token("admin"))
            if answer.status == 200:
                return answer.body
            demand(answer.status in (404, 503) and time.monotonic() < until, f"{url}: {answer}")
            time.sleep(0.2)

    def cosigned(self, above: int = 0) -> bytes:
        """A checkpoint larger than `above` that the witness has cosigned."""
        until = time.monotonic() + PATIENCE
        while True:
            note = self.note()
            read = parse_note(note)
            known = any(line.key_id == self.witness.vkey.key_id for line in read.signatures)
            if known and parse_checkpoint(read.text).size > above:
                return note
            demand(time.monotonic() < until, f"nothing above {above} was cosigned:\n{note.decode()}")
            time.sleep(0.2)

    def signed(self, head: Checkpoint) -> bytes:
        """A checkpoint signed with the log's own key, whatever it says."""
        seed = base64.b64decode((self.site.data / "audit.key").read_text())
        return sign_checkpoint(head, Ed25519PrivateKey.from_private_bytes(seed), self.key.name).to_bytes()

    def walked(self, head: Checkpoint) -> VerifiedTileReader:
        """Its tiles, as far as a checkpoint covers them."""
        return VerifiedTileReader(_Tiles(self.site), head.size, head.root)


def run(report: Report, meta: Meta, other: Witness, root: Path) -> None:
    """All of them."""

    notes: list[bytes] = []

    def cosigns() -> str:
        notes.append(meta.cosigned())
        first = opened(notes[0], meta.key, [meta.witness.vkey])
        # something happens, so there is something to publish
        meta.site.provost("role", "create", "witnessed", "--tenant", "acme", "--display-name", "Witnessed")
        notes.append(meta.cosigned(first.size))
        later = opened(notes[1], meta.key, [meta.witness.vkey])
        proof = consistency_proof_from_tiles(meta.walked(later), first.size, later.size)
        return f"size {first.size}, then {later.size} with a proof of {len(proof)} hashes"

    def is_whole() -> str:
        directory, key_file = root / "meta", root / "meta.vkey"
        meta.site.provost("audit", "mirror", "--meta", "--out", str(directory), who="admin")
        key_file.write_text(format_vkey(meta.key))
        said = meta.site.run("provost", "audit", "verify", str(directory), "--vkey", str(key_file))
        demand("VERIFIED" in said, said)
        copy = Copy(directory, key_file)
        seen = audit_tiles(copy.tiles, copy.head.size, copy.head.root)
        entries = b"".join(file.read_bytes() for file in directory.glob("tile/entries/**/*") if file.is_file())
        demand(entries.count(b"checkpoint.publish") == seen.size, "entries of another kind")
        for name in (b"acme", b"northwind"):
            demand(name not in entries, f"the meta log names {name.decode()}")
        return f"{seen.size} entries, none names a client"

    def refuses() -> str:
        old, new = (opened(note, meta.key) for note in notes)
        note = notes[1]
        proof = consistency_proof_from_tiles(meta.walked(new), old.size, new.size)
        demand(other.add(0, [], notes[0]).status == 200, "the first checkpoint")
        seen: list[str] = []

        def refused(status: int, what: str, answer: Answer) -> None:
            demand(answer.status == status, f"{what}: {answer}")
            seen.append(f"{status} {what}")

        conflict = other.add(old.size - 1, proof, note)
        refused(409, "another old size", conflict)
        demand(conflict.kind == "text/x.tlog.size", conflict.kind)
        demand(parse_size_body(conflict.body) == old.size, str(conflict.body))
        refused(422, "an altered proof", other.add(old.size, [*proof[:-1], bytes(32)], note))
        refused(422, "no proof", other.add(old.size, [], note))
        forged = Checkpoint(new.origin, new.size, node_hash(old.root, new.root))
        refused(422, "a forged tree", other.add(old.size, proof, meta.signed(forged)))
        fork = Checkpoint(old.origin, old.size, new.root)
        refused(422, "another tree of the same size", other.add(old.size, [], meta.signed(fork)))
        read = parse_note(note)
        longer = Checkpoint(new.origin, new.size + 1, new.root)
        resigned = Note(text=parse_note(meta.signed(longer)).text, signatures=read.signatures)
        refused(403, "a signature over something else", other.add(old.size, proof, resigned.to_bytes()))
        # after all that it still cosigns what is right
        answer = other.add(old.size, proof, note)
        demand(answer.status == 200, f"what is right: {answer}")
        lines = parse_signature_lines(answer.body.decode())
        opened(Note(text=read.text, signatures=(*read.signatures, *lines)).to_bytes(), meta.key, [other.vkey])
        return "; ".join(seen)

    report.check("aics-witness cosigns the meta log as it grows", cosigns)
    report.check("aics-tlog audit_tiles of the meta log", is_whole)
    report.check("aics-witness refuses", refuses)
