"""Memory that was freed is there for the next message."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own settings")

_MESSAGES = 100
_FAULTS = f"""
import resource
from mixdown.conversation.v1 import conversation_pb2
from services.runtime.memory import keep_freed_memory

data = bytes(512 * 1024)


def send():
    event = conversation_pb2.TurnEvent()
    event.audio.data = data
    event.SerializeToString()


def faults():
    for _ in range(10):
        send()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({_MESSAGES}):
        send()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


print(faults(), keep_freed_memory(), faults())
"""


def page_faults(environment: dict[str, str]) -> tuple[int, bool, int]:
    """Returns the pages that messages were given: before, whether it was done, and after."""
    answer = subprocess.run(
        [sys.executable, "-c", _FAULTS],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return int(answer[0]), answer[1] == "True", int(answer[2])


def test_a_message_is_made_in_pages_that_are_there():
    before, kept, after = page_faults({})
    assert kept
    assert before > 100 * _MESSAGES  # half a megabyte is 128 pages
    assert after < _MESSAGES


def test_what_the_operator_says_comes_first():
    _, kept, _ = page_faults({"MALLOC_TRIM_THRESHOLD_": "1048576"})
    assert not kept
