"""A render is asked for while its turn is stored, where all that it takes is known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from mixdown.mix import EqBand, Mix, TargetSettings
from mixdown.mix.protobuf import mix_to_message
from mixdown.mix.v1 import mix_pb2
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway import wordless
from services.gateway.renders import Renders, render_request
from tests.integration.gateway.conftest import Caller, Suite, eventually
from tests.integration.gateway.test_resumption import idle
from tests.patience import PATIENCE_SECONDS

TRACK = audio_pb2.Blob(sha256="ab" * 32, size_bytes=7)
OUTPUTS = [mix_pb2.Output(kind=mix_pb2.Output.KIND_MIX)]


class Remixer(remixer_pb2_grpc.RemixerServiceServicer):
    """Remembers what is asked, says one thing, and then waits until it is cancelled."""

    def __init__(self) -> None:
        self.asked: list[remixer_pb2.RenderRequest] = []
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Render(self, request, context):
        self.asked.append(request)
        self.begun.set()
        try:
            yield remixer_pb2.RenderResponse(finished=remixer_pb2.RenderFinished(seconds=1.0))
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@pytest.fixture
async def remixer() -> AsyncIterator[tuple[Remixer, Renders]]:
    servicer, server = Remixer(), aio.server()
    remixer_pb2_grpc.add_RemixerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield servicer, Renders(remixer_pb2_grpc.RemixerServiceStub(channel))
    await server.stop(None)


def work() -> session_pb2.Work:
    return session_pb2.Work(
        user_id="ada",
        session=conversation_pb2.Session(session_id="one", model="htdemucs"),
        track=conversation_pb2.Track(blob=TRACK),
    )


def begin(gain_db: float = 3.0, **fields: object) -> session_pb2.BeginTurnRequest:
    mix = mix_pb2.Mix(targets={"vocals": mix_pb2.TargetSettings(gain_db=gain_db)})
    said = {"user_id": "ada", "session_id": "one", "given": wordless.remix(mix, OUTPUTS)}
    return session_pb2.BeginTurnRequest(**{**said, **fields})


def needed(request: session_pb2.BeginTurnRequest) -> remixer_pb2.RenderRequest:
    return render_request(TRACK, "htdemucs", request.given, request.format)


async def test_whoever_needs_just_that_render_gets_it_once(remixer):
    servicer, renders = remixer
    renders.learn(work())
    ahead = renders.ask_ahead(begin())
    call = ahead.take(needed(begin()))
    assert ahead.take(needed(begin())) is None
    ahead.drop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await call.read()).finished.seconds == 1.0
    assert servicer.asked == [needed(begin())]
    assert not servicer.cancelled.is_set()
    call.cancel()


@pytest.mark.parametrize("needs_another", [False, True])
async def test_a_render_that_nobody_needs_is_cancelled(remixer, needs_another):
    servicer, renders = remixer
    renders.learn(work())
    ahead = renders.ask_ahead(begin())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await servicer.begun.wait()
        if needs_another:
            assert ahead.take(needed(begin(gain_db=4.0))) is None
        else:
            ahead.drop()
        await servicer.cancelled.wait()
    assert ahead.take(needed(begin())) is None


@pytest.mark.parametrize(
    "request_",
    [
        begin(user_id="eve"),
        begin(session_id="two"),
        begin(if_busy=conversation_pb2.IF_BUSY_WAIT),
        begin(given=None, prompt="louder"),
        begin(given=wordless.separation([], [], [])),
    ],
    ids=["another user", "another session", "waits", "in words", "no outputs"],
)
async def test_nothing_is_asked_ahead_where_not_all_is_known_or_needed(remixer, request_):
    _, renders = remixer
    renders.learn(work())
    assert renders.ask_ahead(request_) is None


async def test_a_turn_that_is_refused_leaves_no_render_behind(suite: Suite, caller: Caller, song):
    track = await caller.client.upload(song)
    session = await caller.client.create_session(track, model="stuck")

    def separate(*stems: str) -> gateway_pb2.SeparateRequest:
        return gateway_pb2.SeparateRequest(session_id=session.session_id, stems=stems)

    call = caller.stub.Separate(separate("vocals"), metadata=caller.metadata)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await call.read()).HasField("output_started"):
            pass
        with pytest.raises(aio.AioRpcError) as refused:
            await caller.stub.Separate(separate("drums"), metadata=caller.metadata).read()
    assert "TURN_IN_PROGRESS" in str(refused.value.trailing_metadata())
    call.cancel()
    assert await asyncio.to_thread(eventually, lambda: idle(suite))


async def test_what_is_asked_ahead_is_what_the_stored_turn_needs(
    suite: Suite, caller: Caller, song
):
    track = await caller.client.upload(song)
    session = await caller.client.create_session(track)
    mix = Mix(
        {
            "vocals": TargetSettings(
                gain_db=3.1, reverb=0.3, eq=(EqBand("peak", 3000.0, 5.0),), pitch_semitones=2.0
            ),
            "mix": TargetSettings(gain_db=-0.7),
        }
    )
    user = dict(caller.metadata)["x-mixdown-user"]
    request = session_pb2.BeginTurnRequest(
        user_id=user,
        session_id=session.session_id,
        request_id="one",
        given=wordless.remix(mix_to_message(mix), OUTPUTS),
        format=audio_pb2.OutputFormat(encoding=audio_pb2.ENCODING_FLAC24, loudness_lufs=-14.5),
    )
    async with aio.insecure_channel(suite.address("session")) as channel:
        begun = await session_pb2_grpc.SessionServiceStub(channel).BeginTurn(request)
    blob, model = begun.track.blob, begun.session.model
    asked = render_request(blob, model, begun.events[-1].interpreted, begun.turn.format)
    assert asked == render_request(blob, model, request.given, request.format)


@pytest.mark.parametrize(
    "prompt", ["vocals 3 dB louder, reverb on the drums, +5 dB at 3 kHz", "only the vocals"]
)
async def test_what_is_asked_for_a_prompt_is_what_the_stored_turn_needs(
    suite: Suite, caller: Caller, song, prompt: str
):
    session = await caller.client.create_session(await caller.client.upload(song))
    async with contextlib.AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(aio.insecure_channel(suite.address(name)))
            for name in ("session", "interpreter")
        }
        stub = session_pb2_grpc.SessionServiceStub(channels["session"])
        begun = await stub.BeginTurn(
            session_pb2.BeginTurnRequest(
                user_id=dict(caller.metadata)["x-mixdown-user"],
                session_id=session.session_id,
                request_id="one",
                prompt=prompt,
            )
        )
        meaning = await interpreter_pb2_grpc.InterpreterServiceStub(
            channels["interpreter"]
        ).Interpret(interpreter_pb2.InterpretRequest(prompt=prompt, context=begun.context))
        recorded = await stub.RecordInterpretation(
            session_pb2.RecordInterpretationRequest(
                turn_id=begun.turn.turn_id, lease_token=begun.lease.token, interpretation=meaning
            )
        )
    assert meaning.outputs
    said = (begun.track.blob, begun.session.model)
    asked = render_request(*said, meaning, begun.turn.format)
    assert asked == render_request(*said, recorded.interpreted, begun.turn.format)
