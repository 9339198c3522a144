"""The whole suite as processes behind Envoy, on a real song with real weights."""

import asyncio
import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import psutil
import pytest

import mixdown
from benchmarks.accuracy import read_all, sdr_db
from benchmarks.demo.__main__ import SDR_TOLERANCE_DB, STOCK_SDR_DB, measure_stems, separate_all
from benchmarks.demo.conversation import CONVERSATION, shortcomings
from benchmarks.demo.song import default_song
from benchmarks.demo.suite import running_suite
from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mixdown.mix import Mix, Output, TargetSettings
from mixdown.mix.protobuf import mix_from_message
from mixdown.mix.v1 import intent_pb2
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(600)

OUT_OF_SCOPE = intent_pb2.Clarification.REASON_OUT_OF_SCOPE


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def address(data_folder, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "suite.log"
    with running_suite(data_folder, log) as found:
        yield found


@pytest.fixture(scope="module")
def song():
    return default_song()


@pytest.fixture
async def client(address):
    async with mixdown.connect(address) as opened:
        yield opened


def write_wav(path: Path, samples: np.ndarray, rate: int = 44_100) -> Path:
    """Writes `[channels, frames]` 16-bit integers."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.T.astype("<i2").tobytes())
    return path


def partial_files(data_folder: Path) -> list[Path]:
    return list((data_folder / "blobs" / "partial").iterdir())


async def eventually(condition, seconds: float = PATIENCE_SECONDS) -> bool:
    for _ in range(int(seconds / 0.1)):
        if condition():
            return True
        await asyncio.sleep(0.1)
    return False


async def test_a_conversation_with_a_real_song_does_what_is_said(client, song, tmp_path):
    session = await client.create_session(await client.upload(song.path))
    mix = Mix()
    for number, line in enumerate(CONVERSATION):
        await session.ask(line.prompt, folder=tmp_path / str(number))
        turn = [item async for item in session.turns()][-1]
        assert shortcomings(line, turn, mix) == []
        mix = mix_from_message(turn.mix)
    turns = [item async for item in session.turns()]
    assert [turn.prompt for turn in turns] == [line.prompt for line in CONVERSATION]
    # What was undone is the mix of turn 2 again, to the byte.
    files = {
        (number, file.name): file for number, turn in enumerate(turns) for file in turn.artifacts
    }
    assert files[5, "mix"].blob.sha256 == files[1, "mix"].blob.sha256


async def test_a_conversation_strays_and_comes_back(client, song, tmp_path):
    session = await client.create_session(await client.upload(song.path))

    async def ask(prompt: str) -> mixdown.Turn:
        return await session.ask(prompt, folder=tmp_path)

    guidance = await ask("Can I get a trumpet solo?")
    assert guidance.interpreted.intent.HasField("clarification")
    assert "other" in guidance.reply
    stem = await ask("Ok give me the other stem")
    assert [file.name for file in stem.files] == ["other"]
    astray = await ask("What time is it?")
    assert astray.interpreted.intent.clarification.reason == OUT_OF_SCOPE
    assert not astray.files
    await ask("Ok, let's go back to editing. Please pitch the vocal up by 4 semitones")
    assert await session.mix() == Mix().change("vocals", pitch_semitones=4.0)
    last = await ask("Make vocals even louder and reduce reverb on drums")
    mix = await session.mix()
    assert mix["vocals"] == TargetSettings(gain_db=3.0, pitch_semitones=4.0)
    assert mix["drums"].is_neutral  # there was no reverb to reduce
    assert [file.name for file in last.files] == ["mix"]


async def test_the_stems_are_as_good_as_those_of_the_stock_model(address, song, tmp_path):
    measured = measure_stems(song, await separate_all(address, song, tmp_path))
    for stem, value in measured.items():
        assert value == pytest.approx(STOCK_SDR_DB[stem], abs=SDR_TOLERANCE_DB), stem


async def test_a_render_of_an_untouched_mix_is_the_original_sample_for_sample(client, tmp_path):
    samples = np.random.default_rng(5).integers(-(2**15), 2**15, (2, 50_001))
    path = write_wav(tmp_path / "noise.wav", samples)
    session = await client.create_session(await client.upload(path))
    turn = await session.render(Mix(), folder=tmp_path / "out")
    assert read_all(turn.files[0].path).shape == (2, 50_001)
    np.testing.assert_array_equal(read_all(turn.files[0].path), read_all(path))


async def test_a_stem_and_what_is_without_it_add_up_to_the_original(client, song, tmp_path):
    session = await client.create_session(await client.upload(song.path))
    turn = await session.render(
        Mix(),
        outputs=[Output("stem", ("vocals",)), Output("without", ("vocals",))],
        folder=tmp_path,
        encoding=audio_pb2.ENCODING_WAV_FLOAT32,
    )
    vocals, rest = (read_all(file.path) for file in turn.files)
    assert sdr_db(read_all(song.path), vocals + rest) > 120


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("lyrics.mp3", b"no music, just words\n" * 500, "UNDECODABLE_AUDIO"),
        ("empty.wav", b"", "EMPTY_FILE"),
    ],
)
async def test_a_file_without_audio_is_refused_with_its_reason(
    client, tmp_path, name, content, reason
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(mixdown.MixdownError) as caught:
        await client.upload(path)
    assert caught.value.reason == reason


async def test_what_cannot_be_asked_is_refused_with_its_reason(client, song):
    session = await client.create_session(await client.upload(song.path))

    async def reason_of(awaitable) -> str:
        with pytest.raises(mixdown.MixdownError) as caught:
            await awaitable
        return caught.value.reason

    assert await reason_of(client.session("no-such-session")) == "SESSION_NOT_FOUND"
    assert await reason_of(session.ask("louder " * 15_000)) == "PROMPT_TOO_LONG"
    assert await reason_of(session.ask("  ")) == "PROMPT_EMPTY"
    stem = [Output("stem", ("theremin",))]
    assert await reason_of(session.render(Mix(), outputs=stem)) == "UNKNOWN_STEM"
    encoding = 77
    assert await reason_of(session.ask("vocals only", encoding=encoding)) == "UNSUPPORTED_FORMAT"


async def test_an_identity_that_a_caller_claims_counts_for_nothing(client, address, song):
    import grpc

    track = await client.upload(song.path)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        found = await stub.GetTrack(
            gateway_pb2.GetTrackRequest(track_id=track.track_id),
            metadata=(("x-mixdown-user", "mallory"),),
        )
    assert found.track_id == track.track_id


TELLER = """
import asyncio, sys, mixdown
from mixdown.audio.v1 import audio_pb2

async def main(address, path):
    async with mixdown.connect(address) as client:
        session = await client.create_session(await client.upload(path))
        said = session.say("give me all stems", encoding=audio_pb2.ENCODING_WAV_FLOAT32)
        async for event in said:
            if event.HasField("audio"):
                print("heard", flush=True)
                await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
"""A client that stops reading with the first audio."""


async def test_a_killed_client_leaves_no_work_and_no_files_and_the_turn_can_go_on(
    client, address, song, data_folder, tmp_path
):
    # Longer than all that fits into what lies between: it is under way until the client goes.
    once = np.clip(read_all(song.path) * 2**15, -(2**15), 2**15 - 1).astype(np.int16)
    path = write_wav(tmp_path / "long.wav", np.tile(once, (1, 4)))
    teller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TELLER, address, str(path)), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await teller.stdout.readline() == b"heard\n"
    assert await eventually(lambda: partial_files(data_folder))
    teller.kill()
    await teller.wait()
    assert await eventually(lambda: not partial_files(data_folder))

    track = await anext(aiter(client.tracks()))
    assert track.display_name == "long.wav"
    turn = await _only_turn_about(address, track.track_id)
    assert turn.state == conversation_pb2.Turn.STATE_PENDING

    events = [event async for event in client.watch(turn.turn_id)]
    assert events[-1].WhichOneof("event") == "completed"
    audio = b"".join(event.audio.data for event in events if event.HasField("audio"))
    finished = [event.output_finished for event in events if event.HasField("output_finished")]
    assert len(finished) == 4
    assert len(audio) == sum(output.artifact.blob.size_bytes for output in finished)
    assert not partial_files(data_folder)


async def _only_turn_about(address: str, track_id: str) -> conversation_pb2.Turn:
    import grpc

    async with grpc.aio.insecure_channel(address) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        sessions = await stub.ListSessions(gateway_pb2.ListSessionsRequest(track_id=track_id))
        (session,) = sessions.sessions
        turns = await stub.ListTurns(gateway_pb2.ListTurnsRequest(session_id=session.session_id))
    (turn,) = turns.turns
    return turn


def test_the_command_says_plainly_that_nobody_listens(tmp_path, song):
    outcome = subprocess.run(
        [
            sys.executable,
            "-m",
            "mixdown.cli",
            "ask",
            str(song.path),
            "hi",
            "--address",
            "127.0.0.1:9",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert outcome.returncode == 1
    assert "mixdown up" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_every_process_of_the_suite_ends_with_it(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    with running_suite(tmp_path / "data", tmp_path / "suite.log"):
        started = [
            process
            for process in psutil.Process().children(recursive=True)
            if process not in before
        ]
        names = " ".join(" ".join(process.cmdline()) for process in started)
        for service in ("gateway", "interpreter", "separator", "remixer", "session"):
            assert f"services.{service}" in names
        assert "envoy" in names
    _, alive = psutil.wait_procs(started, timeout=PATIENCE_SECONDS)
    assert not alive, json.dumps([process.cmdline() for process in alive])
