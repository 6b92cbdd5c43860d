"""What a worker takes from itself before it touches a row or hears a peer: files, network, processes, privileges.

Kernel means alone, by plain system calls, none of which needs a privilege: Landlock (files, TCP ports, signals) and a
seccomp filter (no new process, no program, no listening, no debugging, no other kind of socket). Nothing can be taken
back; threads and children inherit it. What this kernel lacks is left out and named, never passed over in silence.
Knows paths and ports; starts nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

LANDLOCK = {"create": 444, "add": 445, "restrict": 446}
SECCOMP = 317
PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE = 38, 4
EXECUTE, WRITE, READ, LIST, REMOVE_DIR, REMOVE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_FILE, REFER, TRUNCATE, DEVICE = 1 << 7, 1 << 8, 1 << 13, 1 << 14, 1 << 15
ALL_BUT_LATER = (1 << 13) - 1
LOOK = READ | LIST
OWN = LOOK | WRITE | REMOVE_DIR | REMOVE | MAKE_DIR | MAKE_FILE
BIND, CONNECT = 1, 2
SCOPES = 3  # abstract sockets, signals
# what Python and its libraries may read late: their own code, certificates, names of hosts, the machine's description
SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ssl", "/etc/ld.so.cache", "/etc/localtime", "/etc/hosts", "/etc/resolv.conf",
          "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/dev/urandom", "/dev/zero",
          "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self", "/proc/sys/vm", "/sys/devices/system/cpu",
          "/sys/fs/cgroup")
PACKAGE = Path(__file__).resolve().parent
# no new process or program, nobody debugged, nothing mounted, listened on, loaded into the kernel or done past the
# filter (x86_64 numbers)
DENIED = (
    57, 58, 59, 322,  # fork, vfork, execve, execveat
    101, 310, 311, 312, 438,  # ptrace, process_vm_readv and _writev, kcmp, pidfd_getfd
    165, 166, 155, 161, 272, 308, 428, 429, 430, 442,  # mount and its kin, chroot, unshare, setns
    321, 298, 323, 248, 249, 250,  # bpf, perf_event_open, userfaultfd, keys
    246, 320, 175, 313, 176, 169, 167, 168, 172, 173,  # another kernel, modules, reboot, swap, ports of the machine
    164, 227, 159, 305, 170, 171, 163, 179, 135,  # clocks, names, accounting, quotas, personality
    425, 426, 427, 303, 304,  # io_uring, files by handle
    50, 43, 288, 133, 259,  # listen, accept, device files
)
CLONE, CLONE3, SOCKET = 56, 435, 41
X86_64, X32 = 0xC000003E, 0x40000000
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
FAMILIES, STREAM, DATAGRAM = (2, 10), 1, 2
THREAD = 0x00010000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Confined:
    """What holds from now on: Landlock's version (0: none), its ports, the filter; and how many threads it missed."""

    landlock: int
    ports: bool
    filter: bool
    threads_before: int

    def __str__(self) -> str:
        return (f"landlock={self.landlock} ports={'yes' if self.ports else 'NO'} "
                f"filter={'yes' if self.filter else 'NO'} threads_before={self.threads_before}")


def confine(*, read: Iterable[str | Path] = (), write: Iterable[str | Path] = (), ports: Sequence[int] = (),
            names: bool = False) -> Confined:
    """From now on this process reads these files and the system's own, writes in these folders, connects to these TCP
    ports (and sends UDP only if it must look up names), and starts nothing."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    threads = len(os.listdir("/proc/self/task")) - 1
    version = landlock_version()
    if version:
        _landlock(version, [*read], [*write], ports)
    filtered = seccomp_works()
    if filtered:
        _filter(names=names)
    return Confined(version, version >= 4, filtered, threads)


def no_debugging() -> None:
    """No core file, and no other process of the same user reads this one's memory."""
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def landlock_version() -> int:
    """Landlock's version in this kernel, 0 when it is absent or switched off."""
    return max(0, int(_libc.syscall(LANDLOCK["create"], None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def seccomp_works() -> bool:
    """Whether a filter can be set, and this is the processor whose system calls it names."""
    return platform.machine() == "x86_64" and _libc.prctl(22, 2, None, 0, 0) == -1 and \
        ctypes.get_errno() == errno.EFAULT


def _landlock(version: int, read: Sequence[str | Path], write: Sequence[str | Path], ports: Sequence[int]) -> None:
    files = ALL_BUT_LATER | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0) | (
        DEVICE if version >= 5 else 0)
    own = OWN | (TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("<Q", files)
    if version >= 4:
        attributes += struct.pack("<Q", BIND | CONNECT)
    if version >= 6:
        attributes += struct.pack("<Q", SCOPES)
    rules = _call(LANDLOCK["create"], attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        code = [str(PACKAGE), str(PACKAGE.parent / "ledger"), sys.prefix, sys.base_prefix]
        for place in [*SYSTEM, *code]:
            _allow(rules, place, (LOOK | EXECUTE) & files)  # to map a library is to execute it
        for file in read:
            _allow(rules, file, LOOK)
        for folder in write:
            _allow(rules, folder, own)
        _allow(rules, "/dev/null", READ | WRITE)
        for port in ports if version >= 4 else ():
            _call(LANDLOCK["add"], ctypes.c_int(rules), ctypes.c_int(2), struct.pack("<QQ", CONNECT, port),
                  ctypes.c_uint32(0))
        _call(LANDLOCK["restrict"], ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _allow(rules: int, place: str | Path, access: int) -> None:
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be allowed
    try:
        if not os.path.isdir(place):
            access &= EXECUTE | WRITE | READ | TRUNCATE | DEVICE
        _call(LANDLOCK["add"], ctypes.c_int(rules), ctypes.c_int(1), struct.pack("<Qi", access, handle),
              ctypes.c_uint32(0))
    finally:
        os.close(handle)


def _call(number: int, *arguments: object) -> int:
    answer = int(_libc.syscall(number, *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return answer


def _filter(*, names: bool) -> None:
    """A classic BPF program over the number and first arguments of every system call."""
    code: list[tuple[int, int, int, int]] = []

    def load(offset: int) -> None:
        code.append((0x20, 0, 0, offset))

    def answer(value: int) -> None:
        code.append((0x06, 0, 0, value))

    def only_if(test: int, value: int, then: int) -> None:
        """When the loaded word passes, answer; else go on."""
        code.append((test, 0, 1, value))
        answer(then)

    equal, at_least, has = 0x15, 0x35, 0x45
    no = REFUSE | errno.EPERM
    load(4)
    code.append((equal, 1, 0, X86_64))
    answer(0x80000000)  # another machine's calls: end the process
    load(0)
    only_if(at_least, X32, no)
    for number in DENIED:
        only_if(equal, number, no)
    only_if(equal, CLONE3, REFUSE | errno.ENOSYS)  # its flags lie in memory; the C library falls back to clone
    code.append((equal, 0, 4, CLONE))
    load(16)
    only_if(has, THREAD, ALLOW)
    answer(no)
    code.append((equal, 1, 0, SOCKET))
    answer(ALLOW)
    load(16)
    code.append((equal, 2, 0, FAMILIES[0]))
    code.append((equal, 1, 0, FAMILIES[1]))
    answer(no)
    load(24)
    code.append((0x54, 0, 0, 0xF))
    only_if(equal, STREAM, ALLOW)
    if names:
        only_if(equal, DATAGRAM, ALLOW)
    answer(no)
    program = b"".join(struct.pack("<HBBI", *step) for step in code)
    memory = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("<H6xQ", len(code), ctypes.addressof(memory))
    _call(SECCOMP, ctypes.c_uint(1), ctypes.c_uint(1), head)  # on every thread of the process
