"""What sinks send, held against software that nobody here wrote: `standardwebhooks`, `cryptography`, `syslog-rfc5424-parser`."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from standardwebhooks import Webhook, WebhookVerificationError
from syslog_rfc5424_parser import SyslogMessage

#: Longest wait for what is delivered beside the calls, in seconds.
PATIENCE = 60.0
#: Roles that are made, so that there is something to deliver.
ROLES = 40


class Http(ThreadingHTTPServer):
    """Takes every POST and keeps it."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Post)


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append(({k.lower(): v for k, v in self.headers.items()}, body))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Syslog(socketserver.ThreadingTCPServer):
    """Takes octet-counted messages over TLS (RFC 5425)."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, certificate: Path, key: Path) -> None:
        self.frames: list[bytes] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        super().__init__(("127.0.0.1", 0), _Frames)


class _Frames(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with self.server.context.wrap_socket(self.request, server_side=True) as stream:  # type: ignore[attr-defined]
            rest = b""
            while part := stream.recv(65_536):
                rest += part
            while rest:
                length, _, rest = rest.partition(b" ")
                self.server.frames.append(rest[: int(length)])  # type: ignore[attr-defined]
                rest = rest[int(length) :]
            stream.unwrap()


def _certificate(workdir: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, private = workdir / "receiver.pem", workdir / "receiver.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return pem, private


class Deployment:
    """`provostd` on a directory of its own, and `provost` talking to it."""

    def __init__(self, provostd: Path, provost: Path, workdir: Path) -> None:
        self._provost = provost
        env = os.environ | {"PROVOST__SINKS__ALLOW_LOOPBACK": "true"}
        command = [str(provostd), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(workdir / "data")]
        self._log = (workdir / "provostd.log").open("w")
        self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=self._log, text=True)
        self._token, self._address = workdir / "token", ""
        try:
            self._bootstrap()
        except BaseException:
            self.stop()
            raise

    def _bootstrap(self) -> None:
        boot = ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            boot = line.rpartition("24 hours: ")[2].strip() if "24 hours: " in line else boot
            if "listens on " in line:
                self._address = line.rpartition("listens on ")[2].strip()
                break
        self._token.write_text(boot)
        made = self.run("bootstrap", "--principal-id", "root", "--display-name", "Root")
        self._token.write_text(json.loads(made)["secret"])

    def run(self, *words: str) -> str:
        """One call; its answer as JSON."""
        place = ["--address", self._address, "--token-file", str(self._token), "--output", "json"]
        return subprocess.run([str(self._provost), *words, *place], check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        """Asks it to stop."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._log.close()


def _caught_up(site: Deployment, name: str) -> dict[str, object]:
    """The sink once it has delivered everything."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        sink = json.loads(site.run("sink", "get", name))
        if int(sink.get("nextIndex", 0)) > ROLES and int(sink.get("lagEvents", 0)) == 0:
            return sink
        time.sleep(0.1)
    raise AssertionError(f"`{name}` was not delivered to: {sink}")


def _webhooks(site: Deployment) -> tuple[str, list[bytes]]:
    receiver = Http()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_address[1]}/in"
    schemes = ("--scheme", "hmac", "--scheme", "ed25519")
    made = json.loads(site.run("sink", "create", "acme/hook", "--display-name", "Hook", "--webhook", url, *schemes))
    sink = _caught_up(site, "acme/hook")
    hmac = Webhook(next(secret for secret in made["secrets"] if secret.startswith("whsec_")))
    public = base64.b64decode(sink["webhook"]["publicKeys"][0].removeprefix("whpk_"))  # type: ignore[index]
    public_key = ed25519.Ed25519PublicKey.from_public_bytes(public)
    for headers, body in receiver.taken:
        event = hmac.verify(body, headers)
        assert event["data"]["event"]["id"] == headers["webhook-id"]
        signature = next(s for s in headers["webhook-signature"].split() if s.startswith("v1a,"))
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
        public_key.verify(base64.b64decode(signature[4:]), content + body)
        altered = body.replace(b'"sequence":', b'"sequence" :')
        for refuse in (
            lambda: hmac.verify(altered, headers),
            lambda: public_key.verify(base64.b64decode(signature[4:]), content + altered),
        ):
            try:
                refuse()
            except (WebhookVerificationError, InvalidSignature):
                continue
            raise AssertionError("an altered message verifies")
    receiver.shutdown()
    return f"{len(receiver.taken)} messages verify, and none of them altered", [body for _, body in receiver.taken]


def _syslog(site: Deployment, workdir: Path) -> str:
    certificate, key = _certificate(workdir)
    receiver = Syslog(certificate, key)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{receiver.server_address[1]}"
    words = ("--display-name", "Syslog", "--syslog", address, "--receiver-ca", str(certificate))
    site.run("sink", "create", "acme/syslog", *words)
    _caught_up(site, "acme/syslog")
    for index, frame in enumerate(receiver.frames):
        message = SyslogMessage.parse(frame.decode())
        data = message.sd["provost@32473"]
        event = json.loads(message.msg.lstrip("\ufeff"))
        assert int(data["sequence"]) == index == event["data"]["sequence"]
        assert data["event"] == event["data"]["event"]["id"]
        assert message.appname == "provost" and message.msgid == event["type"]
    receiver.shutdown()
    return f"{len(receiver.frames)} messages parse, in order"


def _certificates(site: Deployment, workdir: Path, bodies: list[bytes]) -> str:
    log = json.loads(site.run("audit", "log", "acme"))
    paths = {name: workdir / name for name in ("delivered", "stored.ndjson", "vkey")}
    paths["delivered"].write_text(json.loads(site.run("sink", "certificate", "acme/hook"))["note"])
    paths["vkey"].write_text("\n".join(log["verifierKeys"]))

    def verifies(lines: list[bytes]) -> bool:
        paths["stored.ndjson"].write_bytes(b"\n".join(lines))
        words = (str(paths["delivered"]), "--events", str(paths["stored.ndjson"]), "--vkey", str(paths["vkey"]))
        try:
            site.run("sink", "verify-certificate", *words)
        except subprocess.CalledProcessError as refused:
            assert refused.returncode == 11, refused.stderr
            return False
        return True

    assert verifies(bodies), "what was delivered does not fit its certificate"
    assert not verifies(bodies[1:]), "a missing event is not noticed"
    return f"{len(bodies)} events fit, one less does not"


def main(provostd: Path, provost: Path, workdir: Path) -> list[tuple[str, bool, str]]:
    """Each check: its name, whether it holds, and what was seen."""
    results: list[tuple[str, bool, str]] = []
    site = Deployment(provostd, provost, workdir)
    bodies: list[bytes] = []

    def check(name: str, run) -> None:  # type: ignore[no-untyped-def]
        try:
            results.append((name, True, run()))
        except Exception as error:  # a check that breaks down did not pass
            results.append((name, False, f"{type(error).__name__}: {error}"))

    def webhooks() -> str:
        said, taken = _webhooks(site)
        bodies.extend(taken)
        return said

    try:
        site.run("partner", "create", "northwind", "--display-name", "Northwind")
        site.run("tenant", "create", "acme", "--display-name", "Acme", "--partner", "northwind")
        for n in range(ROLES):
            site.run("role", "create", f"acme/r{n}", "--display-name", f"Rôle “{n}”]")
        check("webhooks by standardwebhooks and cryptography", webhooks)
        check("syslog over TLS by syslog-rfc5424-parser", lambda: _syslog(site, workdir))
        check("delivery certificate", lambda: _certificates(site, workdir, bodies))
    finally:
        site.stop()
    return results


if __name__ == "__main__":
    outcome = main(*(Path(word) for word in sys.argv[1:4]))
    for name, holds, said in outcome:
        print(f"{'ok    ' if holds else 'FAILED'}  {name}: {said}")
    sys.exit(0 if outcome and all(holds for _, holds, _ in outcome) else 1)
