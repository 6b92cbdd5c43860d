"""The engine refuses to run on anything but the CrypTen it was written for, with every patch in its place."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mpc.engines.crypten_engine import communicator, dealing, kernel
from mpc.errors import EngineUnfit, ProtocolBroken


def test_it_works() -> None:
    kernel.self_check()


def undo(path: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(path, value)
    return change


def name_another_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(getattr(kernel.crypten.mpc, "__SUPPORTED_PROVIDERS"), "TFP", object())


def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.mark.parametrize("undone", [
    undo("crypten.common.rng.generate_random_ring_element", torch.randint),
    undo("crypten.mpc.primitives.arithmetic.generate_random_ring_element", torch.randint),
    undo("crypten.mpc.primitives.binary.generate_kbit_random_tensor", torch.randint),
    undo("crypten.mpc.provider.TrustedFirstParty.generate_binary_triple", lambda *_: None),
    undo("crypten.mpc.provider.TTPServer.__init__", lambda *_: None),
    undo("crypten.init", lambda: None), undo("crypten._setup_prng", lambda: None),
    undo("crypten.mpc.get_default_provider", lambda: None), undo("crypten.communicator.get", lambda: None),
    undo("mpc.engines.crypten_engine.kernel.KNOWN", (1, 2)), name_another_provider, two_threads,
])
def test_a_patch_that_is_undone_is_noticed(monkeypatch: pytest.MonkeyPatch,
                                           undone: Callable[[pytest.MonkeyPatch], None]) -> None:
    undone(monkeypatch)
    with pytest.raises(EngineUnfit):
        kernel.check_patches()


def test_another_source_file_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernel.SOURCES, "common/rng.py", "00" * 32)
    with pytest.raises(EngineUnfit):
        kernel.check_sources()


def test_no_seed_of_a_torch_generator_is_taken() -> None:
    for draw in (kernel.ring_element, kernel.kbit_tensor):
        with pytest.raises(EngineUnfit):
            draw((2,), generator=torch.Generator().manual_seed(5))
        with pytest.raises(EngineUnfit):
            draw((2,))
    with pytest.raises(EngineUnfit):
        kernel.ring_element((2,), ring_size=2**32, generator=kernel.Keystream(bytes(32)))


def test_all_256_bits_of_a_key_count() -> None:
    first = kernel.Keystream(bytes(32)).int64((4,)).tolist()
    for at in (0, 4, 31):
        key = bytearray(32)
        key[at] = 1
        assert kernel.Keystream(bytes(key)).int64((4,)).tolist() != first
    assert kernel.Keystream(bytes(32)).int64((2, 2)).flatten().tolist() == first


def test_crypten_cannot_be_set_up_its_own_way() -> None:
    first = kernel.crypten.mpc.provider.TrustedFirstParty()
    for own in (kernel.crypten.init, kernel.crypten.mpc.provider.TTPServer, kernel.crypten.mpc.get_default_provider,
                kernel.crypten.communicator.get, first.generate_additive_triple, first.generate_binary_triple):
        with pytest.raises(EngineUnfit):
            own()


def test_a_generator_that_is_no_keystream_stops_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("prev", "next", "local"):
        monkeypatch.setitem(kernel.crypten.generators[kind], kernel.CPU, kernel.Keystream(bytes(32)))
    monkeypatch.setattr(kernel.Slots, "communicator", object())
    monkeypatch.setattr(kernel.Slots, "provider", object())
    kernel.check_session()
    monkeypatch.setitem(kernel.crypten.generators["prev"], kernel.CPU, torch.Generator())
    with pytest.raises(EngineUnfit):
        kernel.check_session()


class Line:
    """A mesh of one: says what the dealer hears, keeps what it answers."""

    def __init__(self, *requests: bytes) -> None:
        self.requests, self.answers = list(requests), []  # type: ignore[var-annotated]

    def recv(self, seat: int, kind: bytes) -> bytes:
        return self.requests.pop(0)

    def send(self, seat: int, kind: bytes, body: bytes) -> None:
        self.answers.append(body)


END = b'{"kind":"end","shape":[]}'


def streams() -> list[kernel.Keystream]:
    return [kernel.Keystream(bytes([seat]) * 32) for seat in range(3)]


def test_triples_are_triples() -> None:
    line = Line(b'{"kind":"binary","shape":[2,3]}', END)
    assert dealing.deal(line, streams(), limit=100, check=lambda: None) == 1  # type: ignore[arg-type]
    drawn = [(one.int64((2, 3)), one.int64((2, 3)), one.int64((2, 3))) for one in streams()]
    a, b = (drawn[0][at] ^ drawn[1][at] ^ drawn[2][at] for at in (0, 1))
    c = communicator.from_bytes(line.answers[0], torch.Size((2, 3))) ^ drawn[1][2] ^ drawn[2][2]
    assert torch.equal(c, a & b)


@pytest.mark.parametrize("request_", [
    b"", b"{}", b"[]", b'{"kind":"additive","shape":[2]}', b'{"kind":"binary","shape":[-1]}', b'{"kind":"binary"}',
    b'{"kind":"binary","shape":[true]}', b'{"kind":"binary","shape":[1,1,1,1,1,1,1]}',
    b'{"kind":"binary","shape":[1,101]}', b'{"kind":"binary","shape":[2],"op":"__import__"}',
])
def test_the_dealer_deals_only_what_is_on_its_list(request_: bytes) -> None:
    line = Line(request_, END)
    with pytest.raises(ProtocolBroken):
        dealing.deal(line, streams(), limit=100, check=lambda: None)  # type: ignore[arg-type]
    assert line.answers == []


def test_the_dealer_looks_at_its_book_in_every_round() -> None:
    seen: list[int] = []

    def check() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise EngineUnfit("revoked")

    line = Line(b'{"kind":"binary","shape":[2]}', b'{"kind":"binary","shape":[2]}', END)
    with pytest.raises(EngineUnfit):
        dealing.deal(line, streams(), limit=100, check=check)  # type: ignore[arg-type]
    assert len(line.answers) == 1


def test_the_provider_and_the_communicator_do_nothing_else() -> None:
    provider = dealing.DealtProvider(Line(), kernel.Keystream(bytes(32)))  # type: ignore[arg-type]
    for name in ("generate_additive_triple", "square", "wrap_rng", "B2A_rng"):
        with pytest.raises(EngineUnfit):
            getattr(provider, name)
    with pytest.raises(EngineUnfit):
        _ = communicator.MeshCommunicator(Line(), 3).broadcast_obj  # type: ignore[arg-type]
