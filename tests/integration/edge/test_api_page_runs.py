"""The examples of docs/api.md do what they say: each of them is run, through Envoy."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from types import CodeType
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import mixdown
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from tests.contract.test_api_page import PAGE, SERVICE, blocks, commands, section_of
from tests.integration.edge.conftest import OpenEdge
from tests.integration.gateway.conftest import noise_wav
from tests.patience import PATIENCE_SECONDS

LAST = ("DeleteSession", "DeleteTrack")
METHODS = [method for method in SERVICE.methods if method.name not in LAST]
METHODS += [SERVICE.methods_by_name[name] for name in LAST]

NOT_HERE = {"GetArtifactUrl": "NO_DIRECT_DOWNLOAD"}
"""What is off where files lie in a folder."""


class Places:
    """What the page calls "my-track" and so on, on this installation."""

    def __init__(self, folder: Path, address: str) -> None:
        (folder / "song.mp3").write_bytes(noise_wav(2.0))
        self._address = address
        self.upload_id = uuid.uuid4().hex
        self._ids: dict[str, str] = {"my-upload": self.upload_id}

    async def make(self, client: mixdown.Client) -> Places:
        """Uploads two songs, and says something about one of them."""
        track, other = await client.upload("song.mp3"), await client.upload("song.mp3")
        session = await client.create_session(track)
        turn = await session.ask("drums louder")
        self._ids |= {
            "my-track": track.track_id,
            "my-other-track": other.track_id,
            "my-session": session.session_id,
            "my-turn": turn.turn_id,
            "my-artifact": turn.files[0].artifact.artifact_id,
            "friday": f"friday of {track.track_id}"[:64],
        }
        return self

    def __call__(self, example: str) -> str:
        for name, found in self._ids.items():
            example = example.replace(f'"{name}"', f'"{found}"').replace(f"/{name}", f"/{found}")
            example = example.replace(f"={name}", f"={found}")
        return example.replace("127.0.0.1:8080", self._address)


async def upload(address: str, upload_id: str) -> None:
    """Makes the upload that the page asks about: the client calls its own as it likes."""
    content = noise_wav(0.5)
    start = gateway_pb2.UploadStart(
        upload_id=upload_id, display_name="song.wav", total_size_bytes=len(content)
    )
    messages = [
        gateway_pb2.UploadTrackRequest(start=start),
        gateway_pb2.UploadTrackRequest(data=content),
    ]
    async with grpc.aio.insecure_channel(address) as channel:
        await gateway_pb2_grpc.GatewayServiceStub(channel).UploadTrack(iter(messages))


@pytest.fixture
async def places(open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.chdir(tmp_path)
    async with mixdown.connect(open_edge.address) as client:
        return await Places(tmp_path, open_edge.address).make(client)


async def run_python(example: str, names: dict[str, Any]) -> None:
    code: CodeType = compile(example, "api.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, names)
    if inspect.isawaitable(done):
        await done


async def test_the_examples_in_python_run(places: Places, open_edge: OpenEdge, tmp_path: Path):
    await upload(open_edge.address, places.upload_id)
    before, _, _ = PAGE.partition("## Tracks")
    names: dict[str, Any] = {}
    (setting_up,) = (block for block in blocks(before, "python") if "import" in block)
    await run_python(places(setting_up), names)
    for method in METHODS:
        (example,) = blocks(section_of(method), "python")
        try:
            await run_python(places(example), names)
        except mixdown.MixdownError as error:
            assert error.reason == NOT_HERE.get(method.name), f"{method.name}: {error}"
        else:
            assert method.name not in NOT_HERE
    await names["client"].close()
    assert (tmp_path / "session.json").stat().st_size > 0
    assert len(list((tmp_path / "out").rglob("*.wav"))) > 3


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_the_examples_with_curl_run(places: Places, open_edge: OpenEdge, tmp_path: Path):
    for method in METHODS:
        for block in blocks(section_of(method), "sh"):
            for line in block.splitlines():
                if "curl " not in line:
                    continue
                loudly = places(line).replace("curl ", "curl --silent --fail-with-body ")
                done = await asyncio.to_thread(
                    subprocess.run,
                    ["sh", "-c", loudly],
                    env={**os.environ, "MIXDOWN": f"http://{open_edge.address}"},
                    capture_output=True,
                    check=False,
                    timeout=PATIENCE_SECONDS,
                )
                if method.name in NOT_HERE:
                    assert NOT_HERE[method.name].encode() in done.stdout
                else:
                    assert done.returncode == 0, (line, done.stdout[:500], done.stderr)
    assert (tmp_path / "session.json").stat().st_size > 0
    assert (tmp_path / "vocals.flac").stat().st_size > 65536


async def test_the_examples_with_grpcurl_are_answered(places: Places, open_edge: OpenEdge):
    """Said as `grpcurl` says them: JSON read by the contract, and the call by its name."""
    await upload(open_edge.address, places.upload_id)
    with grpc.insecure_channel(open_edge.address) as channel:
        for method in METHODS:
            if method.client_streaming:  # a document of messages, of a file in base64
                continue
            ((*_, said),) = commands(section_of(method), "call")
            request = json_format.Parse(places(said), GetMessageClass(method.input_type)())
            answers = asyncio.to_thread(ask, channel, method, request)
            if method.name in NOT_HERE:
                with pytest.raises(grpc.RpcError):
                    await answers
            else:
                assert await answers


def ask(channel: grpc.Channel, method: MethodDescriptor, request: Message) -> list[Message]:
    path = f"/{SERVICE.full_name}/{method.name}"
    how = (type(request).SerializeToString, GetMessageClass(method.output_type).FromString)
    if method.server_streaming:
        return list(channel.unary_stream(path, *how)(request, timeout=PATIENCE_SECONDS))
    return [channel.unary_unary(path, *how)(request, timeout=PATIENCE_SECONDS)]
