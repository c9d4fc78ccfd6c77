"""A small Hugging Face Hub on this machine: its API and small files over TLS, and a second host that sends the weights.

It speaks what huggingface_hub asks for: `model_info` with the sizes of files, HEAD and GET of a file at a commit or
branch with the headers of the Hub, redirects to a CDN on another host, Range, and error codes. It does not speak Xet.
Nothing but 127.0.0.1 is involved. localhost.pem is a key and a certificate of no value anywhere else.
"""

import hashlib
import json
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("localhost.pem")
BLOCK = 1 << 16
LARGE = (".safetensors", ".bin")  # what the Hub keeps in Git LFS and sends from another host


@dataclass
class Hub:
    """What the two servers hold and how they misbehave. Change it while they run.

    models: Hub id -> commit -> file name -> contents. branches: (Hub id, branch) -> commit.
    failures: (pattern of "HEAD /path", status, headers), of which the first that matches is the answer.
    cuts: how the next answers with weights end, each (bytes after which, whether with a reset); then all goes well.
    hooks: (pattern of "GET /path", function), called once: after an answer of the API, after the first block of a file.
    asked: every request as "METHOD path", with the Range it asked for.
    """

    url: str = ""
    cdn: str = ""
    models: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    cuts: list[tuple[int, bool]] = field(default_factory=list)
    hooks: list[tuple[str, Callable]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    seconds_per_block: float = 0.0

    def add(self, hub_id: str, folder: Path, commit: str = "a" * 40, branch: str = "main") -> None:
        """Puts the files of a folder on the Hub as one commit, which the branch then points to."""
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self.models.setdefault(hub_id, {})[commit] = {name: path.read_bytes() for name, path in files.items()}
        self.branches[hub_id, branch] = commit

    def downloads(self) -> list[str]:
        """The names of files whose contents were sent, in order; a file that was resumed is there once more."""
        return [line.split()[1].rsplit("/", 1)[1] for line in self.asked if line.startswith("GET /file")]


class Handler(BaseHTTPRequestHandler):
    """Answers one request for either host. The server carries the Hub as `hub`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, wanted = self.server.hub, f"{self.command} {self.path}"
        hub.asked.append(" ".join([wanted, self.headers.get("Range", "")]).strip())
        for pattern, status, headers in hub.failures:
            if re.search(pattern, wanted):
                return self.send(status, b"", headers)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^?]+))?(?:\?.*)?", self.path):
            return self.send_info(*found.groups())
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            return self.resolve(*found.groups())
        if found := re.fullmatch(r"/file/(.+)/([0-9a-f]{40})/(.+)", self.path):
            hub_id, commit, name = found.groups()
            return self.send_file(hub.models[hub_id][commit][name], name.endswith(LARGE))
        self.send(404, b"")

    def commit_of(self, hub_id: str, revision: str | None) -> str | None:
        """The commit of a branch or of itself; None, and the answer that says so, where the Hub has none."""
        hub = self.server.hub
        commits = hub.models.get(hub_id)
        commit = hub.branches.get((hub_id, revision or "main"), revision)
        if commits is None or commit not in commits:
            code = "RepoNotFound" if commits is None else "RevisionNotFound"
            return self.send(404, b"", {"X-Error-Code": code})
        return commit

    def send_info(self, hub_id: str, revision: str | None) -> None:
        """What `model_info` asks for."""
        if commit := self.commit_of(hub_id, revision):
            files = self.server.hub.models[hub_id][commit]
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            self.send(200, json.dumps({"id": hub_id, "sha": commit, "siblings": siblings}).encode())
            self.call_hooks()

    def resolve(self, hub_id: str, revision: str, name: str) -> None:
        """Where a file is: large ones on the other host, small ones on this one, as the Hub does it."""
        if not (commit := self.commit_of(hub_id, revision)):
            return
        hub = self.server.hub
        data = hub.models[hub_id][commit].get(name)
        if data is None:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(data)), "X-Linked-ETag": etag, "ETag": etag}
        place = f"/file/{hub_id}/{commit}/{name}"
        large = name.endswith(LARGE)
        self.send(302 if large else 307, b"", headers | {"Location": hub.cdn + place if large else place})

    def send_file(self, data: bytes, large: bool) -> None:
        """The bytes of a file from Range on. Large ones may be cut off, and take their time."""
        hub = self.server.hub
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        ranged = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if "Range" in self.headers else {}
        commit = self.path.split("/")[-2]
        self.head(206 if ranged else 200, len(data) - start, ranged | {"ETag": etag, "X-Repo-Commit": commit})
        if self.command == "HEAD":
            return
        after, reset = hub.cuts.pop(0) if large and hub.cuts else (len(data), None)
        for at in range(start, min(len(data), start + after), BLOCK):
            self.wfile.write(data[at : min(at + BLOCK, start + after)])
            self.call_hooks()
            threading.Event().wait(hub.seconds_per_block if large else 0)
        if reset is not None:
            self.cut(reset)

    def call_hooks(self) -> None:
        hub = self.server.hub
        due = [hook for hook in hub.hooks if re.search(hook[0], f"{self.command} {self.path}")]
        hub.hooks = [hook for hook in hub.hooks if hook not in due]
        for _, function in due:
            function()

    def cut(self, reset: bool) -> None:
        """Ends the connection in the middle: in an orderly way, or with a reset (RST)."""
        self.close_connection = True
        if reset:
            threading.Event().wait(0.1)  # what was sent has arrived
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.head(status, len(body), headers or {})
        if self.command == "GET":
            self.wfile.write(body)

    def head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """One host. A client that goes away in the middle is no error."""

    daemon_threads = True

    def __init__(self, hub: Hub, tls: bool):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub
        if not tls:  # a reset would arrive as an ordinary end: some versions of Python's ssl confuse them
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_):
        pass


@contextmanager
def running() -> Iterator[Hub]:
    """Both hosts, while the block runs: the Hub as localhost, the CDN as 127.0.0.1."""
    hub = Hub()
    servers = Server(hub, tls=True), Server(hub, tls=False)
    hub.url = f"https://localhost:{servers[0].server_port}"
    hub.cdn = f"http://127.0.0.1:{servers[1].server_port}"
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
