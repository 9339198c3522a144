"""Where fuzzing begins: inputs that each target knows well, and what once broke it."""

from __future__ import annotations

import json
from pathlib import Path

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix import EqBand, Filter, Mix, Output, Passage, TargetSettings
from mixdown.mix.protobuf import mix_to_message, output_to_message
from services.session import pagination
from tests.fuzz.targets import _KEYS, _VALUES, as_json, framed

_GOLDEN = Path(__file__).parents[1] / "unit" / "interpreter" / "golden.jsonl"

_MIX = Mix(
    {
        "vocals": TargetSettings(
            gain_db=3.0, eq=(EqBand("peak", 3000.0, 5.0),), compression="high", echo=0.3
        ),
        "mix": TargetSettings(
            filters=(Filter("bandpass", low_hz=300.0, high_hz=3400.0),),
            passages=(Passage(1.0, None, TargetSettings(reverb=0.4)),),
        ),
    }
)
_EDIT = {
    **dict.fromkeys(("level", "type", "frequency_hz", "low_hz", "high_hz", "q", "cleared")),
    **{"target": "vocals", "setting": "gain_db", "mode": "add", "value": 3, "muted": None},
    **{"start_s": 1, "end_s": None},
}


def _at(words: tuple[object, ...], word: str) -> int:
    return words.index(word)


def _prompts() -> list[bytes]:
    lines = _GOLDEN.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["prompt"].encode() for line in lines]


def _upload(*parts: bytes, **start: object) -> bytes:
    told = {"upload_id": "one", "display_name": "song", "total_size_bytes": 6, **start}
    first = gateway_pb2.UploadStart(**told)
    return framed(
        gateway_pb2.UploadTrackRequest(start=first),
        *(gateway_pb2.UploadTrackRequest(data=part) for part in parts),
    )


def _turn(file_name: str, output: str = "vocals") -> bytes:
    blob = audio_pb2.Blob(
        sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", size_bytes=3
    )
    events = (
        conversation_pb2.TurnEvent(
            output_started=conversation_pb2.OutputStarted(name=output, file_name=file_name)
        ),
        conversation_pb2.TurnEvent(audio=conversation_pb2.Audio(name=output, data=b"abc")),
        conversation_pb2.TurnEvent(
            output_finished=conversation_pb2.OutputFinished(
                artifact=conversation_pb2.Artifact(name=output, blob=blob)
            )
        ),
    )
    return framed(*events)


def _begun(file_name: str) -> bytes:
    started = conversation_pb2.OutputStarted(name="vocals", file_name=file_name)
    return framed(conversation_pb2.TurnEvent(output_started=started))


def seeds() -> dict[str, list[bytes]]:
    """Returns inputs by the name of the target."""
    prompts = _prompts()
    outputs = [output_to_message(Output("mix")), output_to_message(Output("stem", ("drums",)))]
    mix = mix_to_message(_MIX)
    request = gateway_pb2.RenderRequest(
        session_id="one",
        mix=mix,
        outputs=outputs,
        request_id="two",
        format=audio_pb2.OutputFormat(encoding=audio_pb2.ENCODING_MP3, bitrate_kbps=320),
    )
    context = interpreter_pb2.Context(
        mix=mix,
        stems=["vocals", "drums", "bass", "other"],
        history=[interpreter_pb2.Exchange(prompt="only the vocals", targets=["vocals"])],
        undo_mixes=[mix],
        track_seconds=100.0,
    )
    return {
        "prompt": [*prompts[::3], b"why? " * 70, b"\xff\xfe", "жар".encode() * 20],
        "interpret_request": [
            interpreter_pb2.InterpretRequest(
                prompt=prompt.decode(), context=context
            ).SerializeToString()
            for prompt in prompts[::20]
        ],
        "model_answer": [
            as_json({"kind": "remix", "why": "", "confidence": 0.9}),
            as_json({"kind": ["remix"], "confidence": True}),
            b'{"kind": "remix", "confidence": NaN}',
            b'{"kind": "remix", "confidence": ' + b"9" * 400 + b"}",
            b"9" * 5000,
            b"[" * 100_000,
            as_json({"edits": [_EDIT], "outputs": [], "not_done": ["x"]}),
            as_json({"edits": [{**_EDIT, "setting": "eq", "type": "peak", "frequency_hz": 1e3}]}),
            as_json({"edits": [{**_EDIT, "value": 10**400}], "outputs": ["vocals"]}),
            as_json({"stems": ["vocals"], "without": [], "not_done": []}),
            as_json({"action": "undo", "steps": 2, "target": None}),
            as_json({"reason": "ambiguous", "reply": "What?", "proposal": None}),
            b"<think>hm</think>\n```json\n{}\n```",
        ],
        "model_document": [
            bytes((*(161, 0, 129, 174), *(_at(_KEYS, "target"), _at(_VALUES, "vocals"))))
            + bytes((_at(_KEYS, "setting"), _at(_VALUES, setting)))
            + bytes((_at(_KEYS, "mode"), _at(_VALUES, "add"), _at(_KEYS, "value"), 3))
            for setting in ("gain_db", "eq", "filter", "compression", "clear", "muted")
        ],
        "mix": [mix.SerializeToString(), b"", mix_to_message(Mix()).SerializeToString()],
        "rendered_request": [request.SerializeToString()],
        "watched_request": [
            gateway_pb2.WatchTurnRequest(
                turn_id="one", after_sequence=3, offsets_bytes={"mix": 7, "vocals": -1}
            ).SerializeToString()
        ],
        "upload": [
            _upload(b"abc", b"def"),
            _upload(b"abc"),
            _upload(b"abcdefg"),
            _upload(b"abcdef", offset_bytes=3),
            _upload(total_size_bytes=-1),
            _upload(b"abcdef", upload_id="../x", sha256="f" * 64),
        ],
        "page_token": [
            pagination._encode("tracks", "2026-01-01T00:00:00+00:00 one").encode(),
            pagination._encode("tracks", "7").encode(),
            b"2026-01-01T00:00:00+00:00 one",
            b"W" * 100_000,
            pagination.base64.urlsafe_b64encode(b"[" * 100_000),
            pagination.base64.urlsafe_b64encode(b"9" * 5_000),
        ],
        "name": [b"song.mp3", b"../../etc/passwd", b"C:\\song", "жар\u202e.mp3".encode(), b"\0"],
        "metadata": [
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"congo=t61rcWkgMzE",
        ],
        "turn_events": [
            _turn("song - vocals.flac"),
            _turn("../../x"),
            _turn("..", "../../x"),
            _turn("\0."),
            _begun("one") + _turn("two"),  # twice begun
            _turn("", "../../x"),
            framed(conversation_pb2.TurnEvent(audio=conversation_pb2.Audio(name="mix"))),
        ],
    }
