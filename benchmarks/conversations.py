"""Many conversations at once: how long the session service's own work takes, on PostgreSQL.

    python -m benchmarks.conversations [--sessions 200] [--turns 5] [--think-seconds 10]

Starts PostgreSQL and a session service as processes, and drives the service as gateways do: each
session says one clarification turn after another (begin, record, finish), with pauses of random
length between them. The service tells in its log how long each call took: `work`, its transaction
from its beginning to its end, the database's part included; and `answer`, from the call's arrival
to its answer, waiting for a connection included. The database and the load generator run on the
same cores: the report tells how much of them each took, and the machine's load before and after.
Afterwards every turn must be there once. Needs the development dependencies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
from grpc import aio
from sqlalchemy import text

from benchmarks.figures import tell
from benchmarks.machine import machine
from mixdown.audio.v1 import audio_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix.v1 import intent_pb2
from mixdown.session.v1 import session_pb2 as pb
from mixdown.session.v1 import session_pb2_grpc
from services.session.database import create_database_engine
from services.session.schema import migrate
from tests.postgresql import PostgresqlServer

_TURN_CALLS = ("BeginTurn", "RecordInterpretation", "CompleteTurn")
_CALL_OF = dict(
    zip(("begin_turn", "record_understanding", "complete_turn"), _TURN_CALLS, strict=True)
)
_START_SECONDS = 60.0


async def _prepare(
    stub: session_pb2_grpc.SessionServiceAsyncStub, sessions: int
) -> list[pb.BeginTurnRequest]:
    """Makes users with a track and a session each; returns the first turn of each."""
    turns = []
    for number in range(sessions):
        user = f"user-{number}"
        await stub.BeginUpload(
            pb.BeginUploadRequest(
                user_id=user, upload_id="song", display_name="song.wav", total_size_bytes=1
            )
        )
        blob = audio_pb2.Blob(sha256=f"{number:064x}", size_bytes=1)
        track = await stub.CreateTrack(
            pb.CreateTrackRequest(user_id=user, upload_id="song", blob=blob)
        )
        session = await stub.CreateSession(
            pb.CreateSessionRequest(
                user_id=user,
                track_id=track.track_id,
                model="htdemucs",
                stems=["drums", "bass", "other", "vocals"],
            )
        )
        turns.append(
            pb.BeginTurnRequest(user_id=user, session_id=session.session_id, holder="benchmark")
        )
    return turns


async def _converse(
    stub: session_pb2_grpc.SessionServiceAsyncStub,
    begin: pb.BeginTurnRequest,
    turns: int,
    think_seconds: float,
) -> None:
    reason = intent_pb2.Clarification.REASON_AMBIGUOUS
    clarification = interpreter_pb2.Interpretation(
        intent=intent_pb2.Intent(clarification=intent_pb2.Clarification(reason=reason)),
        reply="Which part do you mean?",
    )
    for number in range(turns):
        await asyncio.sleep(random.uniform(0, 2 * think_seconds))  # noqa: S311 - no secret
        begin.request_id = f"turn-{number}"
        begin.prompt = f"make it a bit more like the {number}th take"
        work = await stub.BeginTurn(begin)
        turn_id, token = work.turn.turn_id, work.lease.token
        await stub.RecordInterpretation(
            pb.RecordInterpretationRequest(
                turn_id=turn_id, lease_token=token, interpretation=clarification
            )
        )
        await stub.CompleteTurn(pb.CompleteTurnRequest(turn_id=turn_id, lease_token=token))


async def _drive(port: int, sessions: int, turns: int, think_seconds: float) -> float:
    """Holds all conversations at once; returns how many seconds they took."""
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: session_pb2_grpc.SessionServiceAsyncStub = session_pb2_grpc.SessionServiceStub(
            channel
        )
        begins = await _prepare(stub, sessions)
        began = time.monotonic()
        await asyncio.gather(*(_converse(stub, begin, turns, think_seconds) for begin in begins))
        return time.monotonic() - began


def _figures(log: Path, seconds: float) -> dict[str, Any]:
    answers: dict[str, list[float]] = {call: [] for call in _TURN_CALLS}
    work: dict[str, list[float]] = {call: [] for call in _TURN_CALLS}
    waits: list[float] = []
    with log.open() as file:
        for line in file:
            entry = json.loads(line)
            method = str(entry.get("method", "")).rpartition("/")[2]
            if entry["event"] == "rpc" and method in _TURN_CALLS:
                if entry["code"] != "OK":
                    raise SystemExit(f"a call failed: {entry}")
                answers[method].append(1000 * float(entry["seconds"]))
            if entry["event"] == "transaction" and entry["operation"] in _CALL_OF:
                work[_CALL_OF[entry["operation"]]].append(1000 * float(entry["seconds"]))
                waits.append(1000 * float(entry["waited_seconds"]))
    return {
        "calls": len(waits),
        "calls_per_second": round(len(waits) / seconds, 1),
        "work_ms": _quantiles(itertools.chain(*work.values())),
        "answer_ms": _quantiles(itertools.chain(*answers.values())),
        "wait_for_a_connection_ms": _quantiles(waits),
        "p95_ms_by_call": {
            call: {
                "work": _quantiles(work[call])["p95"],
                "answer": _quantiles(answers[call])["p95"],
            }
            for call in _TURN_CALLS
        },
    }


def _quantiles(milliseconds: Iterable[float]) -> dict[str, float]:
    took = sorted(milliseconds)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}
    return {name: round(took[int(share * (len(took) - 1))], 2) for name, share in shares.items()}


class _Cores:
    """Tells how much of the machine's cores each part takes between two looks."""

    def __init__(self, **parts: psutil.Process) -> None:
        self._parts = parts
        self._load = os.getloadavg()[0]
        self._began = time.monotonic()
        self._used = {part: _used_seconds(process) for part, process in parts.items()}

    def tell(self) -> dict[str, float]:
        """Returns the load of the machine, and the shares of all cores since the beginning."""
        seconds = (time.monotonic() - self._began) * len(os.sched_getaffinity(0))
        return {
            "load_average_before": round(self._load, 2),
            "load_average_after": round(os.getloadavg()[0], 2),
            **{
                f"{part}_share": round((_used_seconds(process) - self._used[part]) / seconds, 2)
                for part, process in self._parts.items()
            },
        }


def _used_seconds(process: psutil.Process) -> float:
    """Returns the processor time of a process and those below it."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def _check(url: str, sessions: int, turns: int) -> None:
    """Checks that every turn is there once and completed."""
    engine = create_database_engine(url, 1)
    with engine.connect() as connection:
        counts = connection.execute(
            text(
                "SELECT count(*), count(DISTINCT (session_id, ordinal)), min(ordinal),"
                " max(ordinal), count(*) FILTER (WHERE state = 'completed') FROM turns"
            )
        ).one()
        events = connection.execute(text("SELECT count(*) FROM turn_events")).scalar_one()
    engine.dispose()
    total = sessions * turns
    if tuple(counts) != (total, total, 1, turns, total) or events != 3 * total:
        raise SystemExit(f"turns are lost or doubled: {tuple(counts)}, {events} events")


def _measure(
    database: PostgresqlServer, sessions: int, turns: int, think_seconds: float
) -> dict[str, Any]:
    name = f"conversations_{time.monotonic_ns()}"
    database.execute(f"CREATE DATABASE {name}")
    url = database.url(name)
    engine = create_database_engine(url, 1)
    migrate(engine)
    engine.dispose()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "session.log"
        with log.open("wb") as file:
            service = subprocess.Popen(
                [sys.executable, "-m", "services.session"],
                env={
                    **os.environ,
                    "MIXDOWN_DATABASE_URL": url,
                    "MIXDOWN_LISTEN": "127.0.0.1:0",
                    "MIXDOWN_LOG_LEVEL": "debug",
                },
                stderr=file,
            )
        try:
            port = _port(log)
            cores = _Cores(
                service=psutil.Process(service.pid),
                database=psutil.Process(database.pid),
                load_generator=psutil.Process(),
            )
            seconds = asyncio.run(_drive(port, sessions, turns, think_seconds))
            shares = cores.tell()
        finally:
            service.terminate()
            service.wait()
        figures = _figures(log, seconds)
    _check(url, sessions, turns)
    return {"think_seconds": think_seconds, **figures, "cores": shares}


def _port(log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if entry["event"] == "listening":
                return int(entry["port"])
        time.sleep(0.1)
    raise SystemExit(f"the session service did not start: {log.read_text()}")


def main() -> None:
    """Measures and prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--think-seconds", type=float, default=10.0, help="average pause of a user")
    parser.add_argument("--output", type=Path, help="where to write the figures as well")
    options = parser.parse_args()
    with PostgresqlServer() as database:
        runs = [
            _measure(database, options.sessions, options.turns, think)
            for think in (options.think_seconds, 0.0)
        ]
    report = {
        "machine": machine(),
        "database": "PostgreSQL on the same machine, fsync off, as in the tests",
        "sessions": options.sessions,
        "turns_each": options.turns,
        "with_pauses": runs[0],
        "without_pauses": runs[1],
    }
    tell(report, options.output)


if __name__ == "__main__":
    main()
