"""Who sent a signal. The kernel tells the handler, but Python does not pass it on to its own.

A few machine instructions stand between the kernel and Python's handler: they note what `siginfo_t` says
about the sender, and its session, which cannot be determined later if the sender is gone, then jump on.
(They are not written in Python, because Python may not be running at that moment, nor in C, so that no
compiler is needed to install.)
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache

_KEPT = 16  # signals between two questions; more are never pending
_SA_SIGINFO = 4
_SI_USER, _SI_QUEUE, _SI_TKILL = 0, -1, -6  # sent by kill, sigqueue, tgkill

# Each ends with two words that are filled in: where the notes are, and Python's handler.
_CODE = {
    # push rdi; mov r8, [rip+notes]; mov r9d, [rsi+8] (si_code); mov r10d, [rsi+16] (si_pid)
    # mov edi, r10d; mov eax, 124 (getsid); syscall; mov ecx, 1; lock xadd [r8], ecx; and ecx, 15; shl ecx, 4
    # add r8, rcx; mov [r8+16], r9d; mov [r8+20], r10d; mov [r8+24], eax; pop rdi; jmp [rip+next]
    "x86_64": "574c8b0538000000448b4e08448b56104489d7b87c0000000f05b901000000f0410fc10883e10fc1e104"
    "4901c84589481045895014418940185fff250800000000000000000000000000000000000000",
    # ldr x9, notes; mov x10, x0; ldr w11, [x1, #8] (si_code); ldr w12, [x1, #16] (si_pid); sxtw x0, w12
    # mov x8, #156 (getsid); svc #0; 1: ldaxr w13, [x9]; add w14, w13, #1; stlxr w15, w14, [x9]; cbnz w15, 1b
    # and w13, w13, #15; add x9, x9, w13, uxtw #4; str w11, [x9, #16]; str w12, [x9, #20]; str w0, [x9, #24]
    # mov x0, x10; ldr x16, next; br x16; nop
    "aarch64": "89020058ea0300aa2b0840b92c1040b9807d4093881380d2010000d42dfd5f88ae0500112efd0f88afffff35"
    "ad0d001229512d8b2b1100b92c1500b9201900b9e0030aaab000005800021fd61f2003d5"
    "00000000000000000000000000000000",
}
_INSTRUCTIONS = _CODE.get(platform.machine()) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Sender:
    """Attributes:
    code: what `si_code` said.
    pid: 0: a process that is not visible from here, such as one outside of a container.
    session: negative: the process was gone already.
    """

    code: int
    pid: int
    session: int

    def is_outside(self) -> bool:
        """Whether it is certain that neither this process nor another one of its session sent it."""
        if self.code not in (_SI_USER, _SI_QUEUE, _SI_TKILL):
            return False  # a timer, a descriptor
        if self.pid == 0:
            return True
        return self.pid != os.getpid() and self.session >= 0 and self.session != os.getsid(0)


class _Sigaction(ctypes.Structure):
    # Of glibc and musl, on both kinds of machine.
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Note(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_int),
        ("pid", ctypes.c_int),
        ("session", ctypes.c_int),
        ("unused", ctypes.c_int),
    )


class _Notes(ctypes.Structure):
    _fields_ = (("count", ctypes.c_uint32), ("unused", ctypes.c_ubyte * 12), ("notes", _Note * _KEPT))


class Watch:
    """Notes who sends one signal to this process.

    Parameters:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._notes = _Notes()
        self._read = 0
        self._now = _Sigaction()
        self._page: mmap.mmap | None = None
        self._address = 0

    @property
    def works(self) -> bool:
        """Whether senders are noted: not on a machine of another kind, or one that forbids it."""
        return self._page is not None

    def begin(self) -> None:
        """To be called whenever Python's handler of the signal has been, or may have been, set anew.

        Takes about a microsecond where nothing is to be done.
        """
        if _INSTRUCTIONS is None:
            return
        now = self._now
        _libc().sigaction(self._number, None, ctypes.byref(now))
        if self._address == now.handler or not (self._address or self._write(now.handler)):
            return
        now.handler, now.flags = self._address, now.flags | _SA_SIGINFO
        _libc().sigaction(self._number, ctypes.byref(now), None)

    def senders(self) -> list[Sender]:
        """Those of the signals that came since this was last asked."""
        count = self._notes.count
        first, self._read = max(self._read, count - _KEPT), count
        notes = [self._notes.notes[index % _KEPT] for index in range(first, count)]
        return [Sender(note.code, note.pid, note.session) for note in notes]

    def _write(self, following: int) -> bool:
        """Write the instructions, which jump on to `following`."""
        words = (ctypes.c_uint64 * 2)(ctypes.addressof(self._notes), following)
        assert _INSTRUCTIONS is not None
        code = bytes.fromhex(_INSTRUCTIONS)
        try:
            page = mmap.mmap(-1, mmap.PAGESIZE)
        except OSError:
            return False
        page.write(code[: -ctypes.sizeof(words)] + bytes(words))
        address = ctypes.addressof(ctypes.c_ubyte.from_buffer(page))
        # Only now: the kernel then also tells the cache of instructions.
        if _libc().mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC):
            return False
        self._page, self._address = page, address
        return True


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
