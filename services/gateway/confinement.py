"""Takes from this process what decoding a stranger's file never needs: network and programs.

A seccomp filter (`man 2 seccomp`): the kernel then answers those calls with EPERM, in this process
and in whatever it becomes, for good, and no privilege is needed to ask for it. What is opened
already stays open. Linux on x86-64 and arm64; elsewhere there is no such filter, and none is set.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2

_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # classic BPF
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
_X32 = 0x40000000  # the same calls once more, by other numbers
_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050000 | 1

# Architecture, and its numbers of: socket, connect, bind, listen, ptrace, execve, execveat,
# io_uring_setup (which could do most of these for us), process_vm_writev.
_FORBIDDEN: Final = {
    "x86_64": (0xC000003E, (41, 42, 49, 50, 101, 59, 322, 425, 311)),
    "aarch64": (0xC00000B7, (198, 203, 200, 201, 117, 221, 281, 425, 271)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def is_supported() -> bool:
    """Tells whether this system has such a filter that we know the numbers of."""
    return sys.platform == "linux" and platform.machine() in _FORBIDDEN


def forbid_network_and_programs() -> None:
    """Forbids sockets and other programs to this process, for good.

    Raises:
        OSError: the kernel takes no filter.
    """
    if not is_supported():
        return
    code = _filter(*_FORBIDDEN[platform.machine()])
    instructions = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)),
    ):
        if libc.prctl(*request, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _filter(architecture: int, forbidden: tuple[int, ...]) -> bytes:
    """Returns the filter: calls of another architecture kill, forbidden ones fail."""
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_AT_LEAST, len(forbidden) + 1, 0, _X32),
    ]
    for position, number in enumerate(forbidden):
        # To the last instruction, over those after this one and the one that allows.
        instructions.append((_JUMP_IF_EQUAL, len(forbidden) - position, 0, number))
    instructions += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
