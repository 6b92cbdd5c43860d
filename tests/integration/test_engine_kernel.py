"""The engine refuses to run on anything but the CrypTen it was written for, with every patch in its place."""

import ast
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mpc.engines.crypten_engine import kernel
from mpc.errors import EngineUnfit


def test_it_works() -> None:
    kernel.self_check()


def undo(path: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(path, value)
    return change


def name_another_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(getattr(kernel.crypten.mpc, "__SUPPORTED_PROVIDERS"), "TFP", object())


def a_mode(section: str, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(getattr(kernel.crypten.cfg, section), name, value)
    return change


def an_original(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of CrypTen's own protocols under another name, as an import by name would have it."""
    monkeypatch.setattr(kernel.crypten.mpc, "by_another_name", kernel._kept[-1], raising=False)


def a_hidden_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.crypten.nn, "generator", torch.Generator(), raising=False)


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
    undo("crypten.load", torch.load), undo("crypten.mpc.primitives.replicated.mul", lambda *_: None),
    undo("crypten.communicator.distributed_communicator.DistributedCommunicator.initialize", lambda *_: None),
    undo("crypten.mpc.provider.HomomorphicProvider.square", lambda *_: None),
    a_mode("mpc", "protocol", "replicated"), a_mode("mpc", "provider", "TFP"), a_mode("mpc", "provider", "HE"),
    a_mode("debug", "validation_mode", True), a_mode("debug", "debug_mode", True), an_original, a_hidden_generator,
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


def test_a_file_too_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the import would run is hashed, also what we do not replace."""
    monkeypatch.setattr(kernel, "REST", "00" * 32)
    with pytest.raises(EngineUnfit, match="one too many"):
        kernel.check_sources()


def test_another_crypten_is_not_even_imported(tmp_path: Path) -> None:
    """Checked after its import it could have undone the check."""
    (tmp_path / "crypten").mkdir()
    (tmp_path / "crypten" / "__init__.py").write_text("print('it ran')\n", encoding="utf-8")
    code = ("from mpc.engines.crypten_engine import kernel\nfrom mpc.errors import EngineUnfit\n"
            "for check in (kernel.self_check, kernel.begin_session):\n    try:\n        check()\n"
            "    except EngineUnfit as error:\n        print(error.code)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True,
                          env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(kernel.__file__).parents[3]}"})
    assert done.stdout.split() == ["engine.unfit", "engine.unfit"]


@pytest.mark.parametrize("draw", [
    lambda: torch.rand(1), lambda: torch.randint(0, 2, ()), lambda: torch.zeros(1).random_(),
    lambda: torch.nn.functional.dropout(torch.ones(4), training=True), lambda: torch.nn.Linear(2, 2),
    lambda: torch.manual_seed(secrets.randbits(60)),
])
def test_a_session_in_which_anybody_drew_from_torch_itself_does_not_end_well(
        monkeypatch: pytest.MonkeyPatch, draw: Callable[[], object]) -> None:
    """Its default generator stays reachable, by names that no list of ours is sure to hold (CrypTen's own noise for
    differential privacy is drawn so): so it is compared before and after, whatever drew."""
    monkeypatch.setattr(kernel.Session, "begun", False)
    kernel.begin_session()
    torch.rand(3, generator=torch.Generator())
    kernel.end_session()
    draw()
    with pytest.raises(EngineUnfit, match="torch's own generator"):
        kernel.end_session()


def test_a_session_that_never_began_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.Session, "untouched", None)
    with pytest.raises(EngineUnfit):
        kernel.end_session()


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
                kernel.crypten.communicator.get, first.generate_additive_triple, first.generate_binary_triple,
                kernel.crypten.mpc.provider.HomomorphicProvider().generate_additive_triple,
                kernel.crypten.communicator.DistributedCommunicator, kernel.crypten.load, kernel.crypten.save,
                kernel.crypten.manual_seed, kernel.crypten.mpc.primitives.replicated.mul,
                kernel.crypten.mpc.primitives.beaver.truncate, kernel.crypten.mpc.primitives.converters.convert):
        with pytest.raises(EngineUnfit):
            own()


def test_no_shared_number_of_crypten_can_be_made() -> None:
    """Neither its tensors nor their pickles: there is no session that it could do it in."""
    with pytest.raises(EngineUnfit):
        kernel.crypten.cryptensor([1.0])
    with pytest.raises(EngineUnfit):
        kernel.crypten.mpc.primitives.ArithmeticSharedTensor(torch.ones(1))


def a_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kernel.crypten.generators["prev"], kernel.CPU, torch.Generator())


@pytest.mark.parametrize("reached", [
    a_generator, undo("crypten.mpc.get_default_provider", object()), undo("crypten.communicator.get", object()),
    undo("crypten.communicator.is_initialized", object()),
    undo("mpc.engines.crypten_engine.kernel.Session.begun", True),
])
def test_no_session_begins_where_other_randomness_can_be_reached(
        monkeypatch: pytest.MonkeyPatch, reached: Callable[[pytest.MonkeyPatch], None]) -> None:
    reached(monkeypatch)
    with pytest.raises(EngineUnfit):
        kernel.begin_session()
    monkeypatch.undo()
    monkeypatch.setattr(kernel.Session, "begun", False)
    kernel.begin_session()
    with pytest.raises(EngineUnfit, match="one session a process"):
        kernel.begin_session()


HOME = Path(kernel.__file__).parent
DRAWS = {"rand", "randn", "randint", "randperm", "random", "default_rng", "bernoulli", "normal", "multinomial",
         "Random", "manual_seed", "seed", "RandomState", "dropout", "urandom"}


def test_our_own_files_draw_from_keystreams_alone_and_know_no_pickle() -> None:
    """No other generator is reachable from them: by no import, and by no name of numpy or torch."""
    files = sorted(HOME.glob("*.py"))
    assert len(files) >= 7
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & DRAWS, file
        roots = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)
                 for alias in node.names}
        roots |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not roots & {"pickle", "marshal", "shelve", "random", "secrets", "multiprocessing", "socket"}, file


def test_nothing_that_computes_reads_pickles() -> None:
    for file in sorted(HOME.parents[1].rglob("*.py")):
        assert not re.search(r"\bimport (pickle|marshal|shelve)\b|torch\.load|allow_pickle=True",
                             file.read_text(encoding="utf-8")), file
