"""`mixdown up`: the suite on one machine, behind the real Envoy."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest

from benchmarks.demo.song import default_song
from mixdown import connect
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from tests.patience import PATIENCE_SECONDS

MIXDOWN = Path(sys.executable).with_name("mixdown")
ROOT = Path(__file__).parents[3]


@dataclass
class Up:
    process: subprocess.Popen[str]
    address: str
    data_folder: Path

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def start(data_folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [MIXDOWN, "up", "--port", "0", "--data-folder", data_folder, *arguments],
        cwd=ROOT,
        # No weights are needed before something is separated, and nothing is separated here.
        env={**os.environ, "MIXDOWN_PRELOAD": "false", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def listening_address(process: subprocess.Popen[str]) -> str:
    output = []
    for line in process.stdout:
        output.append(line)
        if found := re.match(r"Mixdown listens on (\S+)\.", line):
            return found[1]
    raise AssertionError("".join(output))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    data_folder = tmp_path_factory.mktemp("data")
    process = start(data_folder)
    try:
        yield Up(process, listening_address(process), data_folder)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)


async def test_what_says_that_it_listens_answers_the_first_call_and_every_kind_of_it(tmp_path):
    process = start(tmp_path)
    try:
        async with grpc.aio.insecure_channel(listening_address(process)) as channel:
            stub = gateway_pb2_grpc.GatewayServiceStub(channel)  # one that asks only once
            assert not (await stub.ListTracks(gateway_pb2.ListTracksRequest())).tracks
            facts = await stub.GetCapabilities(gateway_pb2.GetCapabilitiesRequest())
            assert facts.models
            assert facts.effects
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)


async def test_a_song_can_be_uploaded_and_talked_to_through_envoy(up: Up):
    async with connect(up.address) as client:
        track = await client.upload(default_song().path)
        session = await client.create_session(track)
        turn = await session.ask("can I get a trumpet solo?")
    assert turn.interpreted.intent.WhichOneof("kind") == "clarification"
    assert (up.data_folder / "session.db").exists()
    assert (up.data_folder / "blobs" / "blobs").exists()


async def test_an_identity_from_outside_is_ignored(up: Up):
    async with connect(up.address) as client:
        await client.upload(default_song().path)
        stub = client._link.stub
        request = gateway_pb2.ListTracksRequest()
        ours = await stub.ListTracks(request)
        forged = await stub.ListTracks(request, metadata=(("x-mixdown-user", "somebody"),))
    assert ours.tracks
    assert forged == ours


def test_a_file_that_is_no_song_costs_one_line_and_an_exit_status(up: Up, tmp_path):
    path = tmp_path / "song.mp3"
    path.write_text("These are words.")
    outcome = subprocess.run(
        [MIXDOWN, "ask", path, "only the vocals", "--address", up.address],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert outcome.stderr.strip().splitlines() == [
        "mixdown: This is not an audio file that we can read. (UNDECODABLE_AUDIO)"
    ]


def test_a_talk_answers_every_line(up: Up, tmp_path):
    outcome = subprocess.run(
        [MIXDOWN, "talk", default_song().path, "--address", up.address, "-o", tmp_path],
        input="hello\nwhat can you do?\nexit\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert len(re.findall(r"^.*mixdown \S", outcome.stdout, re.MULTILINE)) == 2


def test_a_port_that_is_taken_is_told(up: Up, tmp_path):
    port = up.address.rsplit(":", 1)[1]
    outcome = subprocess.run(
        [MIXDOWN, "up", "--port", port, "--data-folder", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything(tmp_path, name):
    process = start(tmp_path)
    address = listening_address(process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 6
    process.send_signal(name)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
    assert alive == []
    host, port = address.rsplit(":", 1)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((host, int(port)))


def test_a_service_that_dies_stops_everything_with_its_status(tmp_path):
    process = start(tmp_path, MIXDOWN_DATABASE_URL="sqlite:////proc/no/such/folder/session.db")
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode != 0
    assert "session stopped" in output


def test_nobody_at_the_address_names_the_command_to_start(tmp_path):
    outcome = subprocess.run(
        [MIXDOWN, "ask", default_song().path, "only the vocals", "--address", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert "mixdown up" in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1
