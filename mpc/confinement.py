"""What a worker takes from itself before it touches a row or hears a peer: files, network, processes, privileges.

Kernel means alone, by plain system calls, none of which needs a privilege: Landlock (files, TCP ports, signals) and a
seccomp filter (no new process, no program, no listening, no debugging, no signal to others, no change of a file's mode,
no other socket than TCP's, and none that connects past Landlock). Nothing can be taken back; threads and children
inherit it. What this kernel lacks is left out and named, never passed over in silence.
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
SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ssl", "/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem",
          "/etc/pki/tls/openssl.cnf", "/etc/pki/tls/openssl.d", "/etc/crypto-policies", "/etc/ld.so.cache",
          "/etc/localtime", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
          "/etc/services", "/dev/urandom", "/dev/zero", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self",
          "/proc/sys/vm", "/sys/devices/system/cpu", "/sys/fs/cgroup")
PACKAGE = Path(__file__).resolve().parent
# no new process or program, nobody debugged, signalled or slowed, nothing mounted, listened on, loaded into the kernel
# or done past the filter, no file's owner, mode, times or labels changed (Landlock rules none of these), no memory or
# queue shared by name (x86_64 numbers)
DENIED = (
    57, 58, 59, 322,  # fork, vfork, execve, execveat
    101, 310, 311, 312, 438,  # ptrace, process_vm_readv and _writev, kcmp, pidfd_getfd
    165, 166, 155, 161, 272, 308, 428, 429, 430, 442,  # mount and its kin, chroot, unshare, setns
    321, 298, 323, 248, 249, 250,  # bpf, perf_event_open, userfaultfd, keys
    246, 320, 175, 313, 176, 169, 167, 168, 172, 173,  # another kernel, modules, reboot, swap, ports of the machine
    164, 227, 159, 305, 170, 171, 163, 179, 135,  # clocks, names, accounting, quotas, personality
    425, 426, 427, 303, 304,  # io_uring, files by handle
    50, 43, 288, 133, 259,  # listen, accept, device files
    90, 91, 268, 452, 92, 93, 94, 260,  # chmod, fchmod, fchmodat, fchmodat2, chown, fchown, lchown, fchownat
    132, 235, 261, 280,  # utime, utimes, futimesat, utimensat
    188, 189, 190, 197, 198, 199, 463, 466, 469,  # setxattr, removexattr and their kin, file_setattr
    200, 129, 297, 424,  # tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal
    141, 251, 256, 279, 440, 448,  # setpriority, ioprio_set, pages of others
    29, 30, 31, 64, 65, 220, 66, 68, 69, 70, 71, 240, 241,  # memory, semaphores and queues that others open by name
)
TO_ITSELF = (62, 234)  # kill, tgkill: abort() sends one
OF_ITSELF = (302, 142, 144, 203, 314)  # prlimit, scheduling, processors: 0 is who asks
SENDS = {44: 3, 307: 3, 46: 2}  # sendto, sendmmsg, sendmsg, and where their flags stand
MSG_FASTOPEN = 0x20000000  # connects, and no hook of Landlock's looks
FCNTL, SIGNAL_OWNER = 72, (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: a signal by way of a file
IOCTL, IOCTLS = 16, (0x8901, 0x8902, 0x5412, 0x541C)  # the same by ioctl, and keystrokes into a terminal
SETSOCKOPT, OF_TCP, TCP_OPTIONS = 54, 6, (19, 30, 31)  # TCP_REPAIR, TCP_FASTOPEN_CONNECT, TCP_ULP: another protocol
CLONE, CLONE3, SOCKET, SOCKETPAIR = 56, 435, 41, 53
X86_64, X32 = 0xC000003E, 0x40000000
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
FAMILIES, STREAM, PROTOCOLS = (2, 10), 1, (0, 6)  # TCP alone: Landlock's ports hold for no other, MPTCP neither
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


def confine(*, read: Iterable[str | Path] = (), write: Iterable[str | Path] = (),
            ports: Sequence[int] = ()) -> Confined:
    """From now on this process reads these files and the system's own, writes in these folders, connects to these TCP
    ports, and starts nothing. It sends no datagram: names are looked up before (`hosts`)."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    threads = len(os.listdir("/proc/self/task")) - 1
    version = landlock_version()
    if version:
        _landlock(version, [*read], [*write], ports)
    filtered = seccomp_works()
    if filtered:
        _install(program(os.getpid()))
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


Step = tuple[int, int, int, int]
EQUAL, AT_LEAST, HAS = 0x15, 0x35, 0x45
NO = REFUSE | errno.EPERM


def program(pid: int) -> list[Step]:
    """A classic BPF program over the number and first arguments of every system call; `pid` is who asks."""
    steps: list[Step] = [
        _load(4), (EQUAL, 1, 0, X86_64), _answer(0x80000000),  # another machine's calls: end the process
        _load(0), (AT_LEAST, 0, 1, X32), _answer(NO)]
    for number in DENIED:
        steps += [(EQUAL, 0, 1, number), _answer(NO)]
    # clone3's flags lie in memory; the C library falls back to clone
    steps += [(EQUAL, 0, 1, CLONE3), _answer(REFUSE | errno.ENOSYS)]
    steps += _on(CLONE, [_argument(0), (HAS, 1, 0, THREAD), _answer(NO)])
    steps += _on(SOCKET, [_argument(0), *_one_of(FAMILIES), _argument(1), *_kind_is_stream(), _argument(2),
                          *_one_of(PROTOCOLS)])
    # an end of a pair of datagram sockets can be turned to any socket of this machine that has a name
    steps += _on(SOCKETPAIR, [_argument(1), *_kind_is_stream()])
    for number, place in SENDS.items():
        steps += _on(number, [_argument(place), (HAS, 0, 1, MSG_FASTOPEN), _answer(NO)])
    for number in TO_ITSELF:
        steps += _on(number, [_argument(0), *_one_of((pid,))])
    for number in OF_ITSELF:
        steps += _on(number, [_argument(0), *_one_of((0,))])
    steps += _on(FCNTL, [_argument(1), *_none_of(SIGNAL_OWNER)])
    steps += _on(IOCTL, [_argument(1), *_none_of(IOCTLS)])
    steps += _on(SETSOCKOPT, [_argument(1), (EQUAL, 1, 0, OF_TCP), _answer(ALLOW), _argument(2),
                              *_none_of(TCP_OPTIONS)])
    return [*steps, _answer(ALLOW)]


def _load(offset: int) -> Step:
    return 0x20, 0, 0, offset


def _argument(place: int) -> Step:
    """The low half of an argument: the kernel takes these as 32 bits as well."""
    return _load(16 + 8 * place)


def _answer(value: int) -> Step:
    return 0x06, 0, 0, value


def _kind_is_stream() -> list[Step]:
    """Flags share the word with the kind of socket."""
    return [(0x54, 0, 0, 0xF), *_one_of((STREAM,))]


def _on(number: int, then: Sequence[Step]) -> list[Step]:
    """What is asked of this call's arguments; a call that is not refused there is allowed."""
    return [(EQUAL, 0, len(then) + 1, number), *then, _answer(ALLOW)]


def _one_of(values: Sequence[int]) -> list[Step]:
    """Refuse unless the loaded word is one of these."""
    return [*((EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)), _answer(NO)]


def _none_of(values: Sequence[int]) -> list[Step]:
    """Refuse if the loaded word is one of these."""
    return [step for value in values for step in ((EQUAL, 0, 1, value), _answer(NO))]


def _install(steps: Sequence[Step]) -> None:
    packed = b"".join(struct.pack("<HBBI", *step) for step in steps)
    memory = ctypes.create_string_buffer(packed, len(packed))
    head = struct.pack("<H6xQ", len(steps), ctypes.addressof(memory))
    if _call(SECCOMP, ctypes.c_uint(1), ctypes.c_uint(1), head):  # on every thread; else it names one that refused
        raise OSError(errno.EAGAIN, "a thread of this process cannot be confined")
