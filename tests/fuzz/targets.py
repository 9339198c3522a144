"""What reads bytes of strangers, as functions of bytes: each takes anything, or raises its errors.

A target gets raw bytes and hands them to code of ours as a caller, a client of ours or a language
model could. It passes over what the code refuses by an error of its contract; any other exception
is a defect, and so is an assertion that fails: what was let through keeps the rules.

`python -m tests.fuzz` drives them by coverage (atheris); `test_targets.py` plays seeds and random
bytes to them in every run of the tests.
"""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry import context as otel_context

from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import MixdownError as ClientError
from mixdown.files import FolderWriter
from mixdown.gateway.v1 import gateway_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix import Mix, MixError
from mixdown.mix.protobuf import mix_from_message, mix_to_message, output_from_message
from mixdown.mix.v1 import mix_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import request_rules
from services.gateway.settings import GatewaySettings
from services.gateway.uploads import Uploads, _Staging
from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.intent import Context, Interpretation
from services.interpreter.llm.answers import interpretation_from
from services.interpreter.llm.client import LanguageModelError
from services.interpreter.llm.engine import _json, _kind_from
from services.interpreter.llm.schemas import KINDS
from services.interpreter.messages import context_from_message, interpretation_to_message
from services.interpreter.validation import InvalidAnswerError
from services.runtime import context as request_context
from services.runtime.blobs.memory import MemoryBlobStore
from services.runtime.errors import MixdownError
from services.runtime.rpc_tracing import begin_server_span
from services.session import names, pagination

_M = TypeVar("_M", bound=Message)

STEMS = ["vocals", "drums", "bass", "other"]
_KEYS = (
    *("edits", "outputs", "not_done", "target", "setting", "mode", "value", "muted", "level"),
    *("type", "frequency_hz", "low_hz", "high_hz", "q", "cleared", "start_s", "end_s", "stems"),
    *("without", "action", "steps", "reason", "reply", "proposal"),
)
_VALUES = (
    *(0, 1, -1, 3, 0.5, 59.5, 440, 1e9, 10**400, math.nan, math.inf, True, False, None, "", "la"),
    *("vocals", "drums", "bass", "other", "mix", "guitar", "add", "set", "scale", "multiply"),
    *("gain_db", "muted", "pan", "reverb", "pitch_semitones", "compression", "eq", "filter"),
    *("filters", "clear", "echo", "chorus", "width", "distortion", "fade_in_s", "fade_out_s"),
    *("none", "low", "high", "peak", "low_shelf", "lowpass", "highpass", "bandpass", "all"),
    *("undo", "redo", "reset", "ambiguous", "unsupported_stem", "greeting", "help"),
)
_PROMPT_CHARACTERS = 400  # more is only more of the same, and slow
_ENGINE = BuiltinEngine()


def prompt(data: bytes) -> None:
    """What is said: understood or asked about, whatever it is."""
    text = data.decode("utf-8", "replace")[:_PROMPT_CHARACTERS]
    busy = Mix().change("vocals", gain_db=3.0).change("drums", reverb=0.3, muted=True)
    for context in (Context(), Context(mix=busy, track_seconds=200.0)):
        _check(_ENGINE.interpret(text, context), context)


def interpret_request(data: bytes) -> None:
    """A request of the interpreter: the words and all that is known."""
    request = _parsed(interpreter_pb2.InterpretRequest, data)
    if request is None:
        return
    try:
        context = context_from_message(request.context)
    except MixdownError:
        return
    _check(_ENGINE.interpret(request.prompt[:_PROMPT_CHARACTERS], context), context)


def model_answer(data: bytes) -> None:
    """What a language model says: its kind, and the answer of that kind."""
    text = data.decode("utf-8", "replace")
    try:
        kind, confidence = _kind_from(text)
    except LanguageModelError:
        pass
    else:
        assert kind in KINDS
        assert 0.0 <= confidence <= 1.0
    try:
        document = _json(text)
    except InvalidAnswerError:
        return
    _carry_out(document)


def model_document(data: bytes) -> None:
    """What a language model says, with the words of the schema where they do not belong."""
    document = _document(iter(data), 0)
    if isinstance(document, dict):
        _carry_out(document)


def _carry_out(document: dict[str, Any]) -> None:
    context = Context(mix=Mix().change("bass", pan=0.2), track_seconds=60.0)
    for kind in KINDS:
        try:
            found = interpretation_from(kind, document, context, 0.5)
        except InvalidAnswerError:
            continue
        _check(found, context)


def _document(data: Iterator[int], depth: int) -> Any:
    """Makes a document of JSON of bytes: each chooses what comes next."""
    kind = next(data, 0)
    if kind < 96:
        return _VALUES[kind % len(_VALUES)]
    if depth == 4 or kind < 128:
        return None
    if kind < 160:
        return [_document(data, depth + 1) for _ in range(kind % 4)]
    return {_KEYS[next(data, 0) % len(_KEYS)]: _document(data, depth + 1) for _ in range(kind % 16)}


def mix(data: bytes) -> None:
    """A mix given as data: what is let through is whole, and the same there and back."""
    message = _parsed(mix_pb2.Mix, data)
    if message is None:
        return
    try:
        found = mix_from_message(message)
        found.check(STEMS)
    except MixError:
        return
    assert mix_from_message(mix_to_message(found)) == found


def rendered_request(data: bytes) -> None:
    """A render without words: mix, outputs, format, offsets, identifier."""
    request = _parsed(gateway_pb2.RenderRequest, data)
    if request is None:
        return
    for check in (
        lambda: request_rules.check_request_id(request.request_id),
        lambda: request_rules.check_mix(request.mix, STEMS).check(STEMS),
        lambda: request_rules.check_outputs(list(request.outputs), STEMS),
        lambda: request_rules.check_format(request.format),
    ):
        _refused_or_taken(check)
    for output in request.outputs:
        try:
            output_from_message(output)
        except ValueError:
            continue


def watched_request(data: bytes) -> None:
    """A turn that is watched from anywhere."""
    request = _parsed(gateway_pb2.WatchTurnRequest, data)
    if request is not None:
        _refused_or_taken(lambda: request_rules.check_offsets(dict(request.offsets_bytes)))


def upload(data: bytes) -> None:
    """The messages of an upload, each with its length before it."""
    asyncio.run(_upload(data))


async def _upload(data: bytes) -> None:
    messages = list(_messages(gateway_pb2.UploadTrackRequest, data))

    async def stream() -> AsyncIterator[gateway_pb2.UploadTrackRequest]:
        for message in messages:
            yield message

    blobs = MemoryBlobStore()
    uploads = Uploads(
        SimpleNamespace(session=None),  # type: ignore[arg-type] # nobody is asked here
        blobs,
        GatewaySettings(upload_limit_bytes=1 << 20),
    )
    calls = stream()
    try:
        start = await uploads._start(calls)
    except MixdownError:
        return
    assert 0 < start.total_size_bytes <= 1 << 20
    begun = session_pb2.Upload(staging_key="a" * 32, total_size_bytes=start.total_size_bytes)
    sent = b"".join(message.data for message in messages[1:])
    try:
        await uploads._receive_data(begun, start.offset_bytes, calls)
    except MixdownError:
        assert blobs.parts_size(begun.staging_key) <= start.total_size_bytes
        return
    assert start.offset_bytes == 0
    assert len(sent) == start.total_size_bytes == blobs.parts_size(begun.staging_key)
    # Written once, the same bytes are nowhere to go on from but at their end.
    await _Staging(blobs, begun).check_offset(len(sent))


def page_token(data: bytes) -> None:
    """A token that a listing gave, or that somebody made up."""
    token = data.decode("utf-8", "replace")
    for read in (pagination.after_time_key, pagination.after_number):
        _refused_or_taken(lambda read=read: read("tracks", token))
        forged = pagination._encode("tracks", token)
        _refused_or_taken(lambda read=read, forged=forged: read("tracks", forged))


def name(data: bytes) -> None:
    """What callers call things, on its way to a file's name, a header and a log."""
    text = data.decode("utf-8", "replace")
    for check in (
        lambda: request_rules.check_display_name(text, required=True),
        lambda: names.check_display_name(text),
    ):
        kept = _refused_or_taken(check)
        assert kept is None or not set(kept) & set("/\\\0\r\n")
    kept = _refused_or_taken(lambda: request_rules.check_upload_id(text))
    assert kept is None or (kept.isascii() and len(kept) <= 64)
    _refused_or_taken(lambda: request_rules.check_request_id(text))
    _refused_or_taken(lambda: names.check_request_id(text))
    _refused_or_taken(lambda: request_rules.check_prompt(text, 4000))


def metadata(data: bytes) -> None:
    """What travels beside a call: the trace that it belongs to, and ids."""
    text = data.decode("latin-1")
    token = otel_context.attach(otel_context.Context())
    try:
        begin_server_span("/a.B/C", {"traceparent": text, "tracestate": text}).end()
        request_context.forwarded_metadata.set(())
        request_context.forward(turn_id=text)
        for _, value in request_context.forwarded_metadata.get():
            assert value.isascii()
            assert value.isprintable()
    finally:
        otel_context.detach(token)


def turn_events(data: bytes) -> None:
    """The events of a turn, as a client writes them to files: none lies outside of its folder."""
    with tempfile.TemporaryDirectory() as around:
        folder = Path(around) / "a" / "out"
        try:
            with FolderWriter(folder) as writer:
                for event in _messages(conversation_pb2.TurnEvent, data):
                    writer.add(event)
        except (ClientError, OSError):
            pass
        written = [path for path in Path(around).rglob("*") if path.is_file()]
        assert all(path.parent == folder for path in written), written


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        prompt,
        interpret_request,
        model_answer,
        model_document,
        mix,
        rendered_request,
        watched_request,
        upload,
        page_token,
        name,
        metadata,
        turn_events,
    )
}


def _check(found: Interpretation, context: Context) -> None:
    """What the interpreter says keeps the rules, whatever it was asked."""
    found.mix.check(context.stems)
    assert found.reply.strip()
    assert math.isfinite(found.confidence)
    interpretation_to_message(found).SerializeToString()


def _refused_or_taken(check: Callable[[], Any]) -> Any:
    try:
        return check()
    except MixdownError:
        return None


def _parsed(kind: type[_M], data: bytes) -> _M | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _messages(kind: type[_M], data: bytes) -> list[_M]:
    """Reads messages with a length of two bytes before each."""
    found: list[_M] = []
    while len(data) >= 2:
        size = int.from_bytes(data[:2], "big")
        message = _parsed(kind, data[2 : 2 + size])
        if message is not None:
            found.append(message)
        data = data[2 + size :]
    return found


def framed(*messages: Message) -> bytes:
    """Writes messages as `_messages` reads them."""
    parts = [message.SerializeToString() for message in messages]
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def as_json(document: object) -> bytes:
    """Writes an answer of a language model."""
    return json.dumps(document).encode()
