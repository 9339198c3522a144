"""Requests as nobody honest writes them, made from the contract: every field of every message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

_TEXTS = (
    *("", " ", "\n", "\0", "..", "../../etc/passwd", "/etc/passwd", "C:\\nul", "a/b", "%2e%2e%2f"),
    *("-", "--help", "$(reboot)", "'; DROP TABLE turns; --", "{{7*7}}", "\u202egnp.exe"),
    *("\N{LATIN SMALL LETTER E WITH ACUTE}" * 300, "x" * 65, "x" * 256, "x" * 5_000),
    *("\U0001f3b5" * 1_000, "\ufeff", "None", "null", "0", "-1", "mix", "vocals"),
)
_INTEGERS = (0, 1, -1, 2**31 - 1, -(2**31))
_LONG_INTEGERS = (*_INTEGERS, 2**63 - 1, -(2**63), 10**12)
_NUMBERS = (0.0, -0.0, 1.0, -1e308, 1e308, float("inf"), float("-inf"), float("nan"), 5e-324)
_BLOBS = (b"", b"\0", b"RIFF", b"\xff" * 1_000, b"x" * 70_000)

_MOST_REPEATED = 3
_DEEPEST = 4


def wire_messages(descriptor: Descriptor, known: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Returns messages as bytes: hostile values, damaged encodings, and plain noise.

    Args:
        descriptor: The message's type.
        known: Identifiers that exist, which make a message go further.
    """
    valid = messages(descriptor, known).map(lambda message: message.SerializeToString())
    return st.one_of(
        valid,
        valid,
        st.tuples(valid, st.binary(min_size=1, max_size=8)).map(b"".join),
        st.builds(_damaged, valid, st.integers(0, 10_000), st.integers(0, 255)),
        st.sampled_from(not_utf8(descriptor)),
        st.binary(max_size=200),
    )


def messages(
    descriptor: Descriptor, known: Sequence[str], depth: int = 0
) -> st.SearchStrategy[Message]:
    """Returns messages whose fields hold the ends of their ranges, and what lies beyond sense."""

    @st.composite
    def build(draw: st.DrawFn) -> Message:
        message = GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if draw(st.booleans()) and (depth < _DEEPEST or field.message_type is None):
                _fill(draw, message, field, known, depth)
        return message

    return build()


def _fill(
    draw: st.DrawFn, message: Message, field: FieldDescriptor, known: Sequence[str], depth: int
) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        for _ in range(draw(st.integers(0, _MOST_REPEATED))):
            name = draw(_values(key, known))
            if value.message_type is None:
                getattr(message, field.name)[name] = draw(_values(value, known))
            else:
                inner = draw(messages(value.message_type, known, depth + 1))
                getattr(message, field.name)[name].CopyFrom(inner)
        return
    strategy: st.SearchStrategy[Any] = (
        _values(field, known)
        if field.message_type is None
        else messages(field.message_type, known, depth + 1)
    )
    if field.is_repeated:
        values = draw(st.lists(strategy, max_size=_MOST_REPEATED))
        getattr(message, field.name).extend(values)
    elif field.message_type is None:
        setattr(message, field.name, draw(strategy))
    else:
        getattr(message, field.name).CopyFrom(draw(strategy))


def _values(field: FieldDescriptor, known: Sequence[str]) -> st.SearchStrategy[Any]:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return st.sampled_from(_BLOBS) | st.binary(max_size=100)
        case FieldDescriptor.CPPTYPE_STRING:
            return st.sampled_from([*_TEXTS, *known, *known]) | st.text(max_size=40)
        case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_ENUM:
            return st.sampled_from(_INTEGERS) | st.integers(0, 40)
        case FieldDescriptor.CPPTYPE_INT64:
            return st.sampled_from(_LONG_INTEGERS) | st.integers(0, 10_000)
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return st.sampled_from(_NUMBERS) | st.floats(-100, 20_000)
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
    raise AssertionError(f"no values for {field.full_name}: teach this module its type")


def _damaged(data: bytes, position: int, byte: int) -> bytes:
    position %= len(data) + 1
    return data[:position] + bytes([byte]) + data[position + 1 :]


def not_utf8(descriptor: Descriptor) -> list[bytes]:
    """Returns messages with a text that is none, for every field that holds text."""
    found = [b"\xff\xff\xff"]  # not even a field
    for field in descriptor.fields:
        inner = field.message_type
        if field.type == FieldDescriptor.TYPE_STRING:
            found.append(_delimited(field.number, b"ab\xff\xfe"))
        elif inner is not None:
            texts = [one for one in inner.fields if one.type == FieldDescriptor.TYPE_STRING]
            found += [
                _delimited(field.number, _delimited(one.number, b"\xc3\x28")) for one in texts
            ]
    return found


def _delimited(number: int, data: bytes) -> bytes:
    key = number << 3 | 2
    assert key < 1 << 14 and len(data) < 128
    encoded = bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])
    return encoded + bytes([len(data)]) + data
