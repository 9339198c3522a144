"""The interpreter's service over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from grpc import aio

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from mixdown.mix.v1 import intent_pb2, mix_pb2
from services.interpreter.api import InterpreterService
from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.engines import Engines
from services.interpreter.settings import InterpreterSettings
from services.runtime.errors import error_info_of
from services.runtime.server import Server

FOUR_STEMS = ("vocals", "drums", "bass", "other")


@pytest_asyncio.fixture
async def stub() -> AsyncIterator[interpreter_pb2_grpc.InterpreterServiceAsyncStub]:
    def register(server: aio.Server) -> None:
        interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(
            InterpreterService(Engines(BuiltinEngine(), None)), server
        )

    settings = InterpreterSettings(listen="127.0.0.1:0", drain_seconds=0)
    server = Server(settings, ["mixdown.interpreter.v1.InterpreterService"], register)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield interpreter_pb2_grpc.InterpreterServiceStub(channel)  # type: ignore[misc]
    await server.stop()


class Talk:
    """A conversation as the session service keeps it."""

    def __init__(self, stub: interpreter_pb2_grpc.InterpreterServiceAsyncStub) -> None:
        self._stub = stub
        self.context = interpreter_pb2.Context(stems=FOUR_STEMS)

    async def say(self, prompt: str) -> interpreter_pb2.Interpretation:
        found = await self._stub.Interpret(
            interpreter_pb2.InterpretRequest(prompt=prompt, context=self.context)
        )
        changed = found.intent.WhichOneof("kind") == "remix"
        undo = [self.context.mix, *self.context.undo_mixes] if changed else self.context.undo_mixes
        context = interpreter_pb2.Context(
            stems=FOUR_STEMS, mix=found.mix, history=self.context.history, undo_mixes=undo
        )
        context.history.append(
            interpreter_pb2.Exchange(
                prompt=prompt, intent=found.intent, targets=found.targets, reply=found.reply
            )
        )
        if found.HasField("proposal"):
            context.proposal.CopyFrom(found.proposal)
        self.context = context
        return found


async def test_the_conversation_of_the_demo(
    stub: interpreter_pb2_grpc.InterpreterServiceAsyncStub,
) -> None:
    talk = Talk(stub)

    found = await talk.say("only separate vocals")
    assert list(found.intent.separation.stems) == ["vocals"]
    assert [list(output.stems) for output in found.outputs] == [["vocals"]]

    found = await talk.say("make vocals louder, add reverb to drums, and boost 3kHz by 5dB")
    assert found.mix.targets["vocals"].gain_db == 3
    assert found.mix.targets["drums"].reverb == 0.3
    assert found.mix.targets["mix"].eq[0] == mix_pb2.EqBand(
        type=mix_pb2.EqBand.TYPE_PEAK, frequency_hz=3000, gain_db=5, q=1
    )

    found = await talk.say("even louder, and less reverb on the drums")
    assert found.mix.targets["vocals"].gain_db == 6
    assert found.mix.targets["drums"].reverb == 0.15
    assert found.reply == "Vocals up 3 dB (now +6), reverb on the drums down to 0.15."

    found = await talk.say("can I get a trumpet solo?")
    assert found.intent.clarification.reason == intent_pb2.Clarification.REASON_UNSUPPORTED_STEM
    assert list(found.proposal.intent.separation.stems) == ["other"]
    assert not found.outputs

    found = await talk.say("ok give me that one")
    assert list(found.intent.separation.stems) == ["other"]

    found = await talk.say("undo")
    assert found.intent.history.action == intent_pb2.History.ACTION_UNDO
    assert found.mix.targets["vocals"].gain_db == 3


async def test_a_conversation_that_wanders_off_and_comes_back(
    stub: interpreter_pb2_grpc.InterpreterServiceAsyncStub,
) -> None:
    talk = Talk(stub)

    assert "other stem" in (await talk.say("Can I get a trumpet solo?")).reply
    found = await talk.say("Ok give me the other stem")
    assert list(found.intent.separation.stems) == ["other"]
    found = await talk.say("What time is it?")
    assert found.intent.clarification.reason == intent_pb2.Clarification.REASON_OUT_OF_SCOPE
    found = await talk.say("Ok, let's go back to editing. Please pitch the vocal up by 4 semitones")
    assert found.mix.targets["vocals"].pitch_semitones == 4
    found = await talk.say("Make vocals even louder and reduce reverb on drums")
    assert found.mix.targets["vocals"].gain_db == 3
    assert "no more reverb on the drums" in found.reply
    assert found.limitations[0].kind == interpreter_pb2.Limitation.KIND_CLAMPED


async def test_with_nothing_to_undo_nothing_is_rendered(
    stub: interpreter_pb2_grpc.InterpreterServiceAsyncStub,
) -> None:
    found = await Talk(stub).say("undo")

    assert found.reply == "There is nothing to undo."
    assert not found.outputs


def _request(**fields: object) -> interpreter_pb2.InterpretRequest:
    context = interpreter_pb2.Context(stems=FOUR_STEMS)
    return interpreter_pb2.InterpretRequest(**{"prompt": "hi", "context": context, **fields})  # type: ignore[arg-type]


LOUD = mix_pb2.Mix(targets={"vocals": mix_pb2.TargetSettings(gain_db=99)})
TUBA = mix_pb2.Mix(targets={"tuba": mix_pb2.TargetSettings(gain_db=1)})
SHAPELESS = intent_pb2.Intent(
    remix=intent_pb2.Remix(edits=[intent_pb2.Edit(target="mix", eq_band=mix_pb2.EqBand(q=1))])
)
REFUSED = {
    "PROMPT_EMPTY": _request(prompt=" \n"),
    "PROMPT_TOO_LONG": _request(prompt="x" * 4001),
    "NO_STEMS": _request(context=interpreter_pb2.Context()),
    "UNKNOWN_TARGET": _request(context=interpreter_pb2.Context(stems=FOUR_STEMS, mix=TUBA)),
    "MIX_OUT_OF_RANGE": _request(context=interpreter_pb2.Context(stems=FOUR_STEMS, mix=LOUD)),
    "ENGINE_NOT_CONFIGURED": _request(engine=interpreter_pb2.ENGINE_OPENAI),
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_bad_request_is_refused_with_its_reason(
    reason: str, stub: interpreter_pb2_grpc.InterpreterServiceAsyncStub
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        await stub.Interpret(REFUSED[reason])

    assert error_info_of(caught.value).reason == reason
    expected = (
        grpc.StatusCode.FAILED_PRECONDITION
        if reason == "ENGINE_NOT_CONFIGURED"
        else grpc.StatusCode.INVALID_ARGUMENT
    )
    assert caught.value.code() == expected


async def test_an_earlier_edit_without_a_shape_is_refused(
    stub: interpreter_pb2_grpc.InterpreterServiceAsyncStub,
) -> None:
    context = interpreter_pb2.Context(stems=FOUR_STEMS)
    context.history.append(interpreter_pb2.Exchange(prompt="x", intent=SHAPELESS))

    with pytest.raises(grpc.RpcError) as caught:
        await stub.Interpret(_request(context=context))

    assert error_info_of(caught.value).reason == "MIX_OUT_OF_RANGE"


EDITS = [
    "vocals up 3 dB", "set the vocals to -3 dB", "mute the bass", "pan the drums left",
    "add reverb to the vocals", "pitch the vocals up 2 semitones", "compress the drums",
    "more compression on the drums", "boost 3k on the vocals by 2 dB", "lowpass the drums at 800",
    "reset the EQ on the vocals", "take the filter off the drums", "bandpass the vocals",
]  # fmt: skip


@pytest.mark.parametrize("prompt", EDITS)
async def test_an_intent_keeps_its_meaning_on_the_way(
    prompt: str, stub: interpreter_pb2_grpc.InterpreterServiceAsyncStub
) -> None:
    talk = Talk(stub)
    first = await talk.say(prompt)
    # The session sends the intent back; "the same on the other stem" reads it.
    second = await talk.say("the same on the other stem")

    assert first.intent.WhichOneof("kind") == "remix"
    source = first.intent.remix.edits[0]
    copied = second.intent.remix.edits[0]
    assert copied.target == "other"
    assert copied.WhichOneof("change") == source.WhichOneof("change")
