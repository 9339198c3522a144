"""What the interpreter counts, as prompts on a socket make it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from grpc import aio

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from services.interpreter.api import InterpreterService
from services.interpreter.engines import Engines
from services.interpreter.settings import InterpreterSettings
from services.runtime.metrics import REGISTRY
from services.runtime.server import Server
from tests.integration.interpreter.chat_server import Answer, ChatServer
from tests.metrics import growth, value

UNCLEAR = "quita la voz, por favor"
KIND = Answer({"kind": "separation", "why": "", "confidence": 0.9})
SEPARATION = Answer({"stems": [], "without": ["vocals"], "not_done": []})
TRUMPET = Answer({"stems": ["trumpet"], "without": [], "not_done": []})


@pytest.fixture
async def say(engines: Engines) -> AsyncIterator:
    def register(server: aio.Server) -> None:
        interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(
            InterpreterService(engines), server
        )

    settings = InterpreterSettings(listen="127.0.0.1:0", drain_seconds=0)
    server = Server(settings, ["mixdown.interpreter.v1.InterpreterService"], register)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = interpreter_pb2_grpc.InterpreterServiceStub(channel)
        context = interpreter_pb2.Context(stems=("vocals", "drums", "bass", "other"))

        async def say(prompt: str) -> interpreter_pb2.Interpretation:
            request = interpreter_pb2.InterpretRequest(prompt=prompt, context=context)
            return await stub.Interpret(request)

        yield say
    await server.stop()


@pytest.mark.parametrize(
    ("prompt", "intent", "reason"),
    [
        ("only the vocals", "separation", ""),
        ("vocals 3 dB louder", "remix", ""),
        ("what time is it?", "clarification", "out_of_scope"),
    ],
)
async def test_prompts_are_counted_by_what_they_mean(say, prompt, intent, reason):
    prompts = growth(
        "mixdown_interpreter_prompts_total", engine="builtin", intent=intent, reason=reason
    )
    timed = growth("mixdown_interpreter_interpretation_seconds_count", engine="builtin")
    await say(prompt)
    assert (prompts(), timed()) == (1, 1)


async def test_what_could_not_be_done_as_said_is_counted(say):
    clamped = growth("mixdown_interpreter_limitations_total", kind="clamped")
    await say("vocals up by 90 dB")
    assert clamped() == 1


async def test_the_language_model_is_counted_with_its_tokens_and_its_repairs(
    say, server: ChatServer
):
    calls = growth("mixdown_interpreter_model_calls_total", outcome="ok")
    sent = growth("mixdown_interpreter_model_tokens_total", direction="prompt")
    received = growth("mixdown_interpreter_model_tokens_total", direction="completion")
    repairs = growth("mixdown_interpreter_model_repairs_total")
    seconds = growth("mixdown_interpreter_model_seconds_sum")
    server.play(KIND, TRUMPET, SEPARATION)
    assert (await say(UNCLEAR)).engine == interpreter_pb2.ENGINE_OPENAI
    assert (calls(), sent(), received(), repairs()) == (1, 300, 30, 1)
    assert 0 < seconds() < 60


async def test_a_model_that_is_away_is_counted_until_the_circuit_opens(say, server: ChatServer):
    unavailable = growth("mixdown_interpreter_fallbacks_total", reason="unavailable")
    assert value("mixdown_interpreter_circuit_open") == 0
    for _ in range(3):  # the script is empty: the server answers 500
        await say(UNCLEAR)
    assert unavailable() == 3
    assert value("mixdown_interpreter_circuit_open") == 1
    left_alone = growth("mixdown_interpreter_fallbacks_total", reason="circuit_open")
    await say(UNCLEAR)
    assert left_alone() == 1


async def test_no_word_that_was_said_is_in_the_metrics(say):
    await say("make the kazoo in Xylo's swansong louder")
    told = " ".join(
        label
        for metric in REGISTRY.collect()
        for sample in metric.samples
        for label in sample.labels.values()
    )
    assert "kazoo" not in told
    assert "swansong" not in told
