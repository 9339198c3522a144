"""Backup and restore by the commands of docs/operations.md: all that was said and made is back."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from grpc import aio
from sqlalchemy import text

from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from services.runtime.blobs import open_blob_store
from services.session.database import create_database_engine
from tests.e2e.faults.cluster import Cluster
from tests.e2e.faults.talk import Talk, check_blobs, check_events
from tests.postgresql import PostgresqlMissingError, PostgresqlServer
from tests.s3 import BUCKET, S3MissingError, S3Server
from tests.separator_models import music, write_wav

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
PROMPTS = ("make the vocals 4 dB louder", "only the drums", "bass 2 dB quieter")


def commands(title: str) -> str:
    """The commands of the page under a title, as a script."""
    found = re.search(rf"<!-- {title} -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"docs/operations.md has no commands for {title}"
    return found[1]


@dataclass
class Place:
    """Where one installation keeps its data, and how its operator backs it up.

    Args:
        kind: "postgresql" or "sqlite", as on the page.
        folder: A folder for whatever is needed.
        environment: What commands and services need in their environment.
        programs: Folders with the commands.
    """

    kind: str
    folder: Path
    environment: dict[str, str]
    programs: list[Path] = field(default_factory=list)

    @property
    def database_url(self) -> str:
        return self.environment["MIXDOWN_DATABASE_URL"]

    @property
    def blob_store(self) -> str:
        return self.environment["MIXDOWN_BLOB_STORE"]

    def cluster(self) -> Cluster:
        return Cluster(self.folder, self.database_url, self.blob_store, self.environment)

    def run(self, title: str) -> None:
        path = os.pathsep.join(
            [*map(str, self.programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        backup = self.folder / "backup"
        backup.mkdir(exist_ok=True)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands(title)],
            cwd=backup,
            env={
                **os.environ,
                **self.environment,
                "PATH": path,
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def postgresql_and_s3(tmp_path: Path) -> Iterator[Place]:
    try:
        with (
            PostgresqlServer() as database,
            S3Server() as s3,
            pytest.MonkeyPatch.context() as patch,
        ):
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            yield Place(
                "postgresql",
                tmp_path,
                {
                    **s3.environment,
                    "MIXDOWN_DATABASE_URL": database.url("mixdown"),
                    "MIXDOWN_BLOB_STORE": f"s3://{BUCKET}/{uuid.uuid4().hex}",
                },
                [database.programs],
            )
    except (PostgresqlMissingError, S3MissingError) as error:
        pytest.skip(str(error))


@pytest.fixture
def sqlite_and_folder(tmp_path: Path) -> Place:
    return Place(
        "sqlite",
        tmp_path,
        {
            "DATABASE_FILE": str(tmp_path / "session.db"),
            "MIXDOWN_DATABASE_URL": f"sqlite:///{tmp_path / 'session.db'}",
            "MIXDOWN_BLOB_STORE": str(tmp_path / "blobs"),
        },
    )


@pytest.fixture(params=["postgresql_and_s3", "sqlite_and_folder"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    if found.kind == "postgresql":
        _create_database(found)
    return found


def _create_database(place: Place) -> None:
    url, _, name = place.database_url.partition("/mixdown")
    engine = create_database_engine(f"{url}/postgres{name}", 1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS mixdown WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE mixdown"))
    engine.dispose()


def _lose_everything(place: Place) -> None:
    if place.kind == "postgresql":
        _create_database(place)
        store = open_blob_store(place.blob_store)
        for entry in list(store.list_blobs()):
            store.delete(entry.blob.sha256)
        for key in list(store.list_records()):
            store.delete_record(key)
    else:
        for left in place.folder.glob("session.db*"):
            left.unlink()
        shutil.rmtree(place.folder / "blobs")


async def _downloaded(stub, artifact_id: str) -> str:
    digest = hashlib.sha256()
    request = gateway_pb2.DownloadArtifactRequest(artifact_id=artifact_id)
    async for message in stub.DownloadArtifact(request):
        digest.update(message.data)
    return digest.hexdigest()


async def _hold_a_conversation_and_back_up(place: Place, song: Path):
    with place.cluster() as cluster:
        async with aio.insecure_channel(cluster.address("gateway")) as channel:
            stub = gateway_pb2_grpc.GatewayServiceStub(channel)
            talk = Talk(stub)
            track = await talk.begin(song)
            for number, prompt in enumerate(PROMPTS):
                await talk.say(prompt, f"turn-{number}")
            turns = await talk.turns()
            await asyncio.to_thread(place.run, f"backup {place.kind}")  # while it serves
            await talk.say("drums 6 dB louder", "said after the backup")
            return talk.session_id, track, turns


@pytest.mark.timeout(300)
async def test_a_restored_installation_serves_what_was_said_and_made(
    place: Place, tmp_path: Path
) -> None:
    song = tmp_path / "song.wav"
    write_wav(song, music(6.0), 8_000)
    session_id, track, before = await _hold_a_conversation_and_back_up(place, song)
    _lose_everything(place)
    await asyncio.to_thread(place.run, f"restore {place.kind}")
    check_events(place.database_url)
    check_blobs(open_blob_store(place.blob_store), track, before)
    with place.cluster() as cluster:
        async with aio.insecure_channel(cluster.address("gateway")) as channel:
            stub = gateway_pb2_grpc.GatewayServiceStub(channel)
            talk = Talk(stub)
            talk.session_id = session_id
            assert await talk.turns() == before
            for turn in before:
                for artifact in turn.artifacts:
                    assert await _downloaded(stub, artifact.artifact_id) == artifact.blob.sha256
            files = await talk.say(PROMPTS[0], "turn-0")  # replayed from what was restored
            assert files == {item.name: item.blob.sha256 for item in before[0].artifacts}
            await talk.say("undo that", "after the restore")
            assert [turn.prompt for turn in await talk.turns()] == [*PROMPTS, "undo that"]
