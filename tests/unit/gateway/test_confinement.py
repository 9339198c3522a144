"""What decodes a stranger's file reaches no network and starts no program."""

import subprocess
import sys

import pytest

from services.gateway.confinement import is_supported

pytestmark = pytest.mark.skipif(not is_supported(), reason="there is no seccomp filter here")

CONFINED = (
    "from services.gateway.confinement import forbid_network_and_programs as forbid; forbid(); "
)


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CONFINED + program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import os; os.execv('/bin/true', ['true'])",
        "import subprocess; subprocess.run(['/bin/true'])",
    ],
)
def test_network_and_programs_are_forbidden(attempt):
    outcome = run(attempt)
    assert outcome.returncode == 1
    assert "PermissionError" in outcome.stderr


def test_computing_reading_and_threads_are_not():
    outcome = run(
        "import threading, numpy; from pathlib import Path; "
        "thread = threading.Thread(target=print, args=(numpy.arange(4).sum(),)); "
        "thread.start(); thread.join(); print(len(Path('/proc/self/status').read_text()) > 0)"
    )
    assert (outcome.returncode, outcome.stdout.split()) == (0, ["6", "True"])


def test_other_numbers_of_the_same_calls_are_no_way_around():
    outcome = run(
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
        "print(libc.syscall(0x40000000 | 41, 2, 1, 0), ctypes.get_errno())"
    )
    assert outcome.stdout.split() == ["-1", "1"]  # EPERM, and not ENOSYS


def test_it_holds_for_children_too():
    outcome = run(
        "import os, socket\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: socket.socket()\n"
        "    except PermissionError: os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert outcome.stdout.split() == ["7"]
