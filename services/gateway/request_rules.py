"""The rules of the fields of requests: each check returns the value to use, or raises."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import Mix, MixError
from mixdown.mix import UnknownTargetError as UnknownTarget
from mixdown.mix.protobuf import mix_from_message, output_from_message
from mixdown.mix.v1 import mix_pb2
from services.gateway.errors import (
    InvalidBatchError,
    InvalidNameError,
    InvalidOffsetError,
    InvalidRequestIdError,
    MixOutOfRangeError,
    PromptEmptyError,
    PromptTooLongError,
    UnknownStemError,
    UnknownTargetError,
)
from services.runtime.errors import UnsupportedFormatError

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_NAME_CHARACTERS = 255
_MAX_REQUEST_ID_CHARACTERS = 64
_MAX_TRACKS = 100
_BITRATES_KBPS = range(32, 321)
_LOUDNESS_LUFS = (-40, -5)
_LOSSY = {
    audio_pb2.ENCODING_MP3,
    audio_pb2.ENCODING_OGG_VORBIS,
    audio_pb2.ENCODING_OGG_OPUS,
    audio_pb2.ENCODING_M4A_AAC,
}


def check_upload_id(upload_id: str) -> str:
    """Checks the caller's name for an upload. Raises InvalidNameError."""
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise InvalidNameError("An upload_id has 1 to 64 letters, digits, '-' or '_'.")
    return upload_id


def check_display_name(name: str, *, required: bool) -> str:
    """Checks a name for people, and trims it. Raises InvalidNameError."""
    name = name.strip()
    if required and not name:
        raise InvalidNameError("A name is needed.")
    if len(name) > _MAX_NAME_CHARACTERS:
        raise InvalidNameError(f"A name has at most {_MAX_NAME_CHARACTERS} characters.")
    if any(separator in name for separator in "/\\") or name in {".", ".."}:
        raise InvalidNameError("A name is no path.")
    if not name.isprintable():
        raise InvalidNameError("A name is made of printable characters.")
    return name


def check_request_id(request_id: str) -> str:
    """Checks an identifier for idempotency; makes one where none is given.

    Raises:
        InvalidRequestIdError: it is too long or not printable.
    """
    if len(request_id) > _MAX_REQUEST_ID_CHARACTERS or not request_id.isprintable():
        raise InvalidRequestIdError(
            f"A request_id has at most {_MAX_REQUEST_ID_CHARACTERS} printable characters."
        )
    return request_id or str(uuid.uuid4())


def check_prompt(prompt: str, limit_characters: int) -> str:
    """Checks and trims what is said. Raises PromptEmptyError or PromptTooLongError."""
    prompt = prompt.strip()
    if not prompt:
        raise PromptEmptyError("Say something.")
    if len(prompt) > limit_characters:
        raise PromptTooLongError(
            f"A prompt has at most {limit_characters} characters.",
            metadata={"characters": str(len(prompt)), "limit": str(limit_characters)},
        )
    return prompt


def check_tracks(track_ids: Sequence[str]) -> Sequence[str]:
    """Checks the tracks of a batch. Raises InvalidBatchError."""
    if not 1 <= len(track_ids) <= _MAX_TRACKS:
        raise InvalidBatchError(f"A batch is about 1 to {_MAX_TRACKS} tracks.")
    if len(set(track_ids)) < len(track_ids):
        raise InvalidBatchError("A track is named twice.")
    return track_ids


def check_format(form: audio_pb2.OutputFormat) -> audio_pb2.OutputFormat:
    """Checks a format of outputs. Raises UnsupportedFormatError."""
    if form.encoding not in audio_pb2.Encoding.values():
        raise UnsupportedFormatError(f"There is no encoding {form.encoding}.")
    if form.bitrate_kbps and form.encoding not in _LOSSY:
        raise UnsupportedFormatError("Only lossy encodings have a bit rate.")
    if form.bitrate_kbps and form.bitrate_kbps not in _BITRATES_KBPS:
        raise UnsupportedFormatError(
            f"A bit rate lies between {_BITRATES_KBPS[0]} and {_BITRATES_KBPS[-1]} kbit/s."
        )
    lowest, highest = _LOUDNESS_LUFS
    if form.HasField("loudness_lufs") and not lowest <= form.loudness_lufs <= highest:
        raise UnsupportedFormatError(f"A loudness lies between {lowest} and {highest} LUFS.")
    return form


def check_offsets(offsets_bytes: dict[str, int]) -> dict[str, int]:
    """Checks the bytes that a caller has. Raises InvalidOffsetError."""
    for name, offset in offsets_bytes.items():
        if offset < 0:
            raise InvalidOffsetError(f"The offset of {name!r} is negative.")
    return offsets_bytes


def check_mix(message: mix_pb2.Mix, stems: Sequence[str]) -> Mix:
    """Reads a mix given as data. Raises UnknownTargetError or MixOutOfRangeError."""
    try:
        mix = mix_from_message(message)
        mix.check(stems)
    except UnknownTarget as error:
        raise UnknownTargetError(f"{error}.", metadata={"target": error.target}) from None
    except MixError as error:
        raise MixOutOfRangeError(f"{error}.") from None
    return mix


def check_outputs(outputs: list[mix_pb2.Output], stems: Sequence[str]) -> list[mix_pb2.Output]:
    """Checks the files asked for; none means the whole mix. Raises UnknownStemError."""
    names: set[str] = set()
    for message in outputs:
        for stem in message.stems:
            if stem not in stems:
                raise UnknownStemError(
                    f"There is no stem {stem!r}: there are {', '.join(stems)}.",
                    metadata={"stem": stem},
                )
        try:
            name = output_from_message(message).name
        except ValueError as error:
            raise UnknownStemError(f"{error}.") from None
        if name in names:
            raise UnknownStemError(f"The output {name!r} is asked for twice.")
        names.add(name)
    return outputs or [mix_pb2.Output(kind=mix_pb2.Output.KIND_MIX)]


def check_separation(
    stems: Sequence[str], without: Sequence[str], known: Sequence[str]
) -> list[mix_pb2.Output]:
    """Returns the files of a separation given as data. Raises UnknownStemError."""
    outputs = [mix_pb2.Output(kind=mix_pb2.Output.KIND_STEM, stems=[stem]) for stem in stems]
    if without:
        outputs.append(mix_pb2.Output(kind=mix_pb2.Output.KIND_WITHOUT, stems=without))
    if not outputs:
        raise UnknownStemError(f"Say which stems: there are {', '.join(known)}.")
    return check_outputs(outputs, known)
