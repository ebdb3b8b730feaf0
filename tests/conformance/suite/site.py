"""The real programs: `provostd` on a directory of its own, and `provost`."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Longest wait for a program to start, end or answer, in seconds.
PATIENCE = 60.0
#: No proxy stands between us and the loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    kind: str
    body: bytes


def ask(url: str, *, token: str | None = None, body: bytes | None = None) -> Answer:
    """GET, or POST when there is a body."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with _DIRECT.open(request, timeout=PATIENCE) as answer:
            return Answer(answer.status, answer.headers.get_content_type(), answer.read())
    except urllib.error.HTTPError as refusal:
        return Answer(refusal.code, refusal.headers.get_content_type(), refusal.read())


class Program:
    """A program that runs until it is told to stop, by its own process and no other."""

    def __init__(self, command: list[str], *, env: dict[str, str] | None = None, announces: str) -> None:
        """Starts it and waits for the line that begins with, or holds, `announces`; what follows there is its address."""
        self.log: list[str] = []
        self.address = ""
        self._ready = threading.Event()
        self._announces = announces
        self._process = subprocess.Popen(
            command, env=os.environ | (env or {}), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        if not self._ready.wait(PATIENCE) or not self.address:
            self.stop()
            raise RuntimeError(f"{command[0]} did not start:\n{''.join(self.log)}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            _, found, rest = line.partition(self._announces)
            if found and not self.address:
                self.address = rest.split()[0]
                self._ready.set()
        self._ready.set()

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """Asks it to stop, and kills it when it does not."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Site:
    """A deployment: its data, its server, and the command line of its people."""

    def __init__(self, binaries: Path, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self._binaries = binaries
        #: Settings of the server beside the defaults.
        self.settings: dict[str, str] = {}
        self._server: Program | None = None

    def prepare(self) -> None:
        """The sample partner and client with their people, units, roles, plugins, decisions and usage."""
        command = ["quickstart", "--exit", "--json", "--listen", "127.0.0.1:0", "--data-dir", str(self.data)]
        self.run("provostd", *command)

    def start(self) -> None:
        """Starts the server on a free port."""
        command = [str(self._binaries / "provostd"), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(self.data)]
        self._server = Program(command, env=self.settings, announces="provostd listens on ")

    def stop(self) -> None:
        """Stops the server."""
        if self._server:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        """Where the server listens."""
        assert self._server is not None
        return self._server.address

    def token_file(self, who: str) -> Path:
        """The file of somebody's token."""
        return self.data / f"{who}.token"

    def token(self, who: str) -> str:
        """Somebody's token."""
        return self.token_file(who).read_text().strip()

    def run(self, program: str, *args: str) -> str:
        """Runs a program of ours to its good end; returns what it printed."""
        done = self.attempt(program, *args)
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def attempt(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of ours to its end, whichever."""
        # what is for the tests alone lies beside the programs
        where = self._binaries / "examples" if program == "conformance" else self._binaries
        command = [str(where / program), *args]
        # the contexts of whoever runs the suite do not count
        env = os.environ | {"PROVOST_CONFIG": str(self.root / "contexts.toml")}
        return subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )

    def provost(self, *args: str, who: str = "olivia") -> str:
        """`provost` as one of the people."""
        return self.run("provost", *self.who(who), *args)

    def who(self, who: str) -> tuple[str, ...]:
        """The flags that say where the server is and who calls."""
        return ("--address", self.url, "--token-file", str(self.token_file(who)))

    def answer(self, *args: str, who: str = "olivia") -> Any:
        """`provost` with its answer read."""
        return json.loads(self.provost("--output", "json", *args, who=who))

    def get(self, path: str, *, who: str | None = None) -> bytes:
        """A file over HTTP."""
        answer = ask(f"{self.url}{path}", token=self.token(who) if who else None)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body.decode(errors='replace')}")
        return answer.body
