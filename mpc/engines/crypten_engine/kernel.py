"""The one door to torch and CrypTen: import shim, own randomness, refusals, and the check that all of it took.

CrypTen 0.4.1 as shipped seeds mt19937 with 32 effective bits, lets party 0 make the triples, and talks pickle over
plain gloo. Here every draw comes from an AES-256-CTR keystream, its providers, communicators and protocols are refused,
and `self_check` raises `engine.unfit` if anything is not in place. CrypTen is not even imported, and `self_check` says
so, unless its files are those that were read when this was written. No job uses it: `comparison`, `conjunction`,
`choice` and `products` are ours, on numpy; it is the door through which its models may come. A session in which anybody
drew from torch's own generator, which no replacement can reach, ends before anything is sealed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import sys
import types
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc.errors import EngineUnfit

VERSION = "0.4.1"
SOURCES = {
    "__init__.py": "f2df9395a0fef0ba2aa66eca456bbdebd3668af462c7199810809c4ab906421f",
    "common/rng.py": "286ba7aed7c9693357eb01a876fa605a294ecba5128e9b38e93bfe03fead8a66",
    "common/serial.py": "923885d4fc849c256e50a83684e58c92e5238ec5cc802d4de3ca74ba56c2b5da",
    "communicator/__init__.py": "5ebdafe44274804f84edfc11e3fb1c3fd63e67cb6a9f08ec7089afd495a18f12",
    "communicator/communicator.py": "7d3c966d954188f79f0a6bc346a518beb36eec2f1c5439515c4c73efae167d5e",
    "communicator/distributed_communicator.py": "7e136489d5c8d4ee68b4f6b03fdc113901c04023f6aca88f1de05f847d1cb2a8",
    "communicator/in_process_communicator.py": "cc37e49b3460abf2a72f5ecb5485e0cf9c762f1e8e44890f3f41b6ce930863ca",
    "config/config.py": "cfa52aad300435f99bfd8447b8d34eae9b6398f0b131d90d1349a858d085db9d",
    "encoder.py": "f5e6cf43a18971605bc706a0234a35ead5a71bb522fad56df7fad3dc630a2a53",
    "mpc/__init__.py": "21084853fe4763d27416b24761fcd12621c33ec3d6b7116c2a68491c2542cb9f",
    "mpc/mpc.py": "4db83362646f781e73d27cbca0c6b971d00230ff19d451dd7fdeeff44cb61e99",
    "mpc/primitives/arithmetic.py": "697661d0fbd38dada56a8f9391da34ce8d96181e413fadbe305439b3da12ae60",
    "mpc/primitives/beaver.py": "f5945d3dc2a8afaa4215fb042048a7e2cbcf25c84d795ba90c2cee85d1bfd485",
    "mpc/primitives/binary.py": "950fd726e78dec03172a02413196583ca06e7b2722357569c892f27f75bf8765",
    "mpc/primitives/circuit.py": "9589e0f3f24e38ea6f15ae6efc1ccb0cf09919294421b4548512b630698bc6df",
    "mpc/primitives/converters.py": "f3791cf34f0665af8c11d9e9c2950c26a73e6e261ba02056a04dc61edfe28682",
    "mpc/primitives/replicated.py": "41dd3f5506004d7b06d3ee66f6fe197cfcbce4e8c4ebc222a15eff1a206561a7",
    "mpc/provider/__init__.py": "4baef3b6332b5d6daae6241b09b9d91d5a9d0688426ecbea6d5fb7daba1d089b",
    "mpc/provider/homomorphic_provider.py": "3fd1468ea4dc25aa0f2e227100c2af56bea5cac716dc4532bc812ffc1c219e2a",
    "mpc/provider/provider.py": "b26c4786d536feb77a2bd92337ce688ecfe734d9318017160892230be1d37324",
    "mpc/provider/tfp_provider.py": "d7593d6a5e753c388d4af589bb21c17ba190e0c389607e838304a92c51e912d9",
    "mpc/provider/ttp_provider.py": "981cc92f27bae0f3758ba38d9b3164ad6f32035f41999f6bad3a993e1ad624f3",
}
# All its other files as one, each with its name and length.
REST = "81b2bbf0436557276e346b5a078a58270ecc4c7e2d4c6d126a3f9ece5086f915"
PROTOCOL = "masked-comparison/2"  # what the parties compute by: `comparison`, `conjunction`, `choice`, `dealing`
DRAWING = ("crypten.common.rng", "crypten.mpc.primitives.arithmetic", "crypten.mpc.primitives.binary",
           "crypten.mpc.provider.tfp_provider", "crypten.mpc.provider.ttp_provider")
RING_NAME, KBIT_NAME = "generate_random_ring_element", "generate_kbit_random_tensor"
GENERATORS = ("prev", "next", "local", "global")
CPU = torch.device("cpu")
# First 16 bytes of AES-256-CTR under a zero key and counter, as two little-endian int64.
KNOWN = (-8536220552149297700, -8709815916388267859)
ZEROS = memoryview(bytes(1 << 18))


def _import_crypten() -> Any:
    """CrypTen imports on this torch only with stand-ins for what it never uses here; they leave sys.modules at once."""
    added: list[str] = []

    def missing(name: str) -> bool:
        try:
            return importlib.util.find_spec(name) is None
        except ModuleNotFoundError:
            return True

    def stand_in(name: str, **attributes: Any) -> types.ModuleType:
        module = types.ModuleType(name)
        module.__dict__.update(attributes)
        sys.modules[name] = module
        added.append(name)
        return module

    if missing("torch.onnx._internal.registration"):
        stand_in("torch.onnx._internal.registration", registry=None)
    if missing("onnx"):
        stand_in("onnx", numpy_helper=stand_in("onnx.numpy_helper"))
    try:
        import crypten
    finally:
        for name in added:
            sys.modules.pop(name, None)
    return crypten


def wrong_sources() -> str:
    """What is not as it was read, before any of it has run; nothing if all is, byte for byte."""
    if importlib.metadata.version("crypten") != VERSION:
        return f"CrypTen is not {VERSION}"
    found = importlib.util.find_spec("crypten")
    if found is None or found.origin is None:
        return "CrypTen is not there"
    home, rest = Path(found.origin).parent, sha256()
    for name, expected in SOURCES.items():
        if not (home / name).is_file() or sha256((home / name).read_bytes()).hexdigest() != expected:
            return f"CrypTen's {name} is another one"
    for name in sorted(path.relative_to(home).as_posix() for path in home.rglob("*.py")):
        if name not in SOURCES:
            source = (home / name).read_bytes()
            rest.update(f"{name}\n{len(source)}\n".encode() + source)
    return "" if rest.hexdigest() == REST else "a file of CrypTen is another one, or one too many"


crypten: Any = None if wrong_sources() else _import_crypten()


class Keystream:
    """AES-256-CTR under one key; stands where CrypTen expects a torch.Generator."""

    device = CPU

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise EngineUnfit("a keystream takes 32 bytes of key")
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def draw(self, size: int) -> np.ndarray[Any, Any]:
        """The next so many bytes."""
        drawn = np.empty(size, dtype=np.uint8)
        for start in range(0, size, len(ZEROS)):
            part = drawn[start : start + len(ZEROS)]
            self._stream.update_into(ZEROS[: len(part)], part)  # type: ignore[arg-type]
        return drawn

    def int64(self, size: Iterable[int]) -> torch.Tensor:
        shape = tuple(int(part) for part in size)
        return torch.from_numpy(self.draw(8 * math.prod(shape)).view(np.int64).reshape(shape))


def int_matmul(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The product of two matrices of 64-bit words, modulo 2^64."""
    product = torch.from_numpy(left.view(np.int64)) @ torch.from_numpy(right.view(np.int64))
    return product.numpy().view(np.uint64)


def _drawn(size: Any, generator: Any) -> torch.Tensor:
    source = crypten.generators["local"].get(CPU) if generator is None else generator
    if not isinstance(source, Keystream):
        raise EngineUnfit("a draw from anything but a keystream is refused")
    return source.int64((size,) if isinstance(size, int) else size)


def ring_element(size: Any, ring_size: int = 2**64, generator: Any = None, **_: Any) -> torch.Tensor:
    """Uniform over Z_2^64."""
    if ring_size != 2**64:
        raise EngineUnfit("no other ring than Z_2^64")
    return _drawn(size, generator)


def kbit_tensor(size: Any, bitlength: int | None = None, generator: Any = None, **_: Any) -> torch.Tensor:
    """Uniform over k bits."""
    whole = _drawn(size, generator)
    return whole if bitlength in (None, 64) else whole & ((1 << int(bitlength or 0)) - 1)


class Session:
    """The one of this process: whether it began, and the state of torch's own generator then."""

    begun = False
    untouched: Any = None


def is_initialized() -> bool:
    """CrypTen has no session of its own."""
    return False


def refuse(*_: Any, **__: Any) -> Any:
    """Stands in the place of what must never run: see `REFUSED`."""
    raise EngineUnfit("CrypTen's own set-up, providers, protocols and pickles are refused")


def _providers() -> Sequence[type]:
    from crypten.mpc.provider import HomomorphicProvider, TrustedFirstParty, TrustedThirdParty, TTPServer

    return (HomomorphicProvider, TrustedFirstParty, TrustedThirdParty, TTPServer)


_MAKERS = ("generate_additive_triple", "square", "generate_binary_triple", "generate_xor_triple", "wrap_rng", "B2A_rng",
           "__init__")
# What must never run, by module: all its functions, or those that are named. CrypTen's protocols over shares are here
# too: its products may fail by chance, its "replicated" ones are not masked again, its bits cost 432 bytes a number.
REFUSED: dict[str, tuple[str, ...]] = {
    "crypten": ("init", "init_thread", "_setup_prng", "_sync_seeds", "manual_seed", "load", "load_from_party", "save",
                "save_from_party", "rand", "randn", "bernoulli", "fill_cache"),
    "crypten.common.serial": (), "crypten.mpc.primitives.beaver": (), "crypten.mpc.primitives.replicated": (),
    "crypten.mpc.primitives.converters": (), "crypten.mpc.primitives.circuit": (),
}
COMMUNICATORS = (("distributed_communicator", "DistributedCommunicator"),
                 ("in_process_communicator", "InProcessCommunicator"))
_originals: set[int] = set()
_kept: list[Any] = []  # so that no identity is ever given to something else
_places: list[tuple[types.ModuleType, str]] = []


def _modules() -> list[types.ModuleType]:
    return [module for name, module in list(sys.modules.items())
            if module is not None and (name == "crypten" or name.startswith("crypten."))]


def _refuse_functions() -> None:
    """Each function of `REFUSED`, under every name that any module of CrypTen knows it by."""
    for name, functions in REFUSED.items():
        inside = vars(sys.modules[name])
        _kept.extend(found for key, found in inside.items() if isinstance(found, types.FunctionType) and (
            key in functions or (not functions and found.__module__ == name)))
    _originals.update(map(id, _kept))
    for module in _modules():
        for key, found in list(vars(module).items()):
            if id(found) in _originals:
                setattr(module, key, refuse)
                _places.append((module, key))


def _communicators() -> Sequence[type]:
    return [getattr(sys.modules[f"crypten.communicator.{module}"], name) for module, name in COMMUNICATORS]


def patch() -> None:
    """Put every replacement in its place."""
    torch.set_num_threads(1)
    for name in DRAWING:
        module = sys.modules[name]
        for old, new in ((RING_NAME, ring_element), (KBIT_NAME, kbit_tensor)):
            if hasattr(module, old):
                setattr(module, old, new)
    for provider in _providers():
        for maker in _MAKERS:
            if maker in vars(provider):
                setattr(provider, maker, refuse)
    for communicator in _communicators():
        for maker in ("__init__", "initialize"):
            setattr(communicator, maker, refuse)
    _refuse_functions()
    crypten.mpc.get_default_provider = refuse
    getattr(crypten.mpc, "__SUPPORTED_PROVIDERS").clear()
    crypten.communicator.get = refuse
    crypten.communicator.is_initialized = is_initialized
    crypten.cfg.mpc.provider = "TTP"
    for kind in GENERATORS:
        crypten.generators[kind].clear()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise EngineUnfit(what)


def check_sources() -> None:
    """The files that were read when the patches were written."""
    wrong = wrong_sources()
    _require(not wrong, wrong)


def check_patches() -> None:
    """Every replacement is in place, and draws what it must."""
    _require(crypten is not None, "CrypTen was not imported: its files are others")
    for name in DRAWING:
        module = sys.modules[name]
        _require(getattr(module, RING_NAME, ring_element) is ring_element, f"{name} draws from elsewhere")
        _require(getattr(module, KBIT_NAME, kbit_tensor) is kbit_tensor, f"{name} draws bits from elsewhere")
    for provider in _providers():
        _require(all(vars(provider)[maker] is refuse for maker in _MAKERS if maker in vars(provider)),
                 f"{provider.__name__} can be used")
    for communicator in _communicators():
        _require(all(getattr(communicator, maker) is refuse for maker in ("__init__", "initialize")),
                 f"{communicator.__name__} can be used")
    for module in _modules():
        for name, found in vars(module).items():
            _require(id(found) not in _originals, f"{module.__name__}.{name} can be used")
            _require(not isinstance(found, torch.Generator), f"{module.__name__} holds a generator")
            _require(name not in (RING_NAME, KBIT_NAME) or found in (ring_element, kbit_tensor),
                     f"{module.__name__} draws from elsewhere")
    for module, name in _places:
        _require(getattr(module, name) is refuse, f"{module.__name__}.{name} can be used")
    _check_settings()
    _require(crypten.mpc.get_default_provider is refuse, "a provider can be reached")
    _require(not getattr(crypten.mpc, "__SUPPORTED_PROVIDERS"), "another provider can be named")
    _require(crypten.communicator.get is refuse, "a communicator can be reached")
    _require(crypten.communicator.is_initialized is is_initialized, "CrypTen has a session of its own")
    _require(torch.get_num_threads() == 1, "torch may use one thread only")
    _require(tuple(Keystream(bytes(32)).int64((2,)).tolist()) == KNOWN, "the keystream is not AES-256-CTR")
    try:
        ring_element((1,), generator=torch.Generator())
    except EngineUnfit:
        return
    raise EngineUnfit("a torch.Generator is accepted")


def _check_settings() -> None:
    """No mode of CrypTen in which it opens, prints or computes otherwise."""
    mpc, debug = crypten.cfg.mpc, crypten.cfg.debug
    _require(mpc.protocol == "beaver", "the replicated protocol is refused")
    _require(mpc.provider == "TTP", "no other provider may be named")
    _require(not debug.validation_mode and not debug.debug_mode, "validation and debug mode open shared numbers")


def check_session() -> None:
    """Before the first round: no generator of CrypTen's is reachable; all draws of this session come from the
    keystreams that our protocols hold."""
    for kind in GENERATORS:
        _require(not crypten.generators[kind], f"a generator {kind} is reachable")


def begin_session() -> None:
    """One session a process, with every safeguard in place."""
    _require(not Session.begun, "one session a process")
    check_patches()
    check_session()
    Session.begun, Session.untouched = True, torch.default_generator.get_state()


def end_session() -> None:
    """Nobody has drawn from torch's own generator, in Python or beneath it, whatever its seed: it stands where it
    stood. What was computed with such randomness must not leave."""
    _require(Session.untouched is not None and torch.equal(torch.default_generator.get_state(), Session.untouched),
             "torch's own generator was drawn from")


def self_check() -> None:
    check_sources()
    check_patches()


def versions() -> dict[str, str]:
    return {"crypten": VERSION, "torch": str(torch.__version__), "xinglin-engine": "crypten/1",
            "xinglin-protocol": PROTOCOL}


if crypten is not None:
    patch()
