"""Whatever reads bytes that somebody else may have made stands under fire, or says here why it need not.

The table names every function that parses JSON, TOML or a form of our own: with the fuzz targets that reach it, or with
a reason. A file without `::` stands for all that it reads. A reader that is not in the table fails here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.source import ROOT

PACKAGES = ("mpc", "ledger", "marketplace", "dataspace")
CALLS = {("json", "loads"), ("json", "load"), ("tomllib", "loads"), ("tomllib", "load")}

TARGETS: dict[str, tuple[str, ...]] = {
    "ledger/documents.py::load_json": ("documents", "work item"),
    "ledger/door.py::Door._parsed": ("the portal's answer",),
    "ledger/door.py::_refusal": ("the portal's answer",),
    "ledger/endpoint.py::_Endpoint._ask": ("an endpoint's answers",),
    "ledger/keys.py::KeyFile.load": ("key file",),
    "ledger/logdir.py::LogDir.anchors": ("exported log",),
    "ledger/passkey.py::_check_client_data": ("passkey assertion",),
    "ledger/receipt.py::read_receipt": ("receipt", "a buyer's receipt"),
    "ledger/rpc.py::Rpc._call": ("a chain's answers",),
    "ledger/trust.py::load_trust": ("trust file",),
    "marketplace/jobs/services/collect.py::_checked": ("ciphertexts",),
    "marketplace/jobs/services/collect.py::multiply": ("ciphertexts",),
    "mpc/disclosure.py::Opening.from_bytes": ("opening",),
    "mpc/disclosure.py::open_result": ("opening",),
    "mpc/masked.py::product": ("ciphertexts", "contributions"),
    "mpc/node/config.py::load": ("node settings",),
    "mpc/node/data.py::read_dictionary": ("dictionary",),
    "mpc/node/inbox.py::take": ("inbox",),
    "mpc/node/policyfile.py::load": ("policy",),
    "mpc/node/workers.py::Worker._feed": ("worker's words",),
    "mpc/paillier.py::Secret.from_text": ("Paillier secret",),
    "mpc/token.py::read": ("relay token",),
    "mpc/transport/link.py::spoken": ("hello", "last word"),
    "mpc/wire.py::parse": ("worker's order",),
}
OWN_BOOK = "this node's own database, which nobody else writes"
OWN_PARENT = "said by the process that made this one, over a pipe of their own"
BY_HAND = "a file that its operator names on the command line; what is in it is verified as the documents are"
REASONS: dict[str, str] = {
    "dataspace/management/commands/seed_people.py": "the operator's own file of test people",
    "dataspace/provenance/guard.py": "the portal's own mark beside its database; unreadable counts as none",
    "dataspace/provenance/record.py": "a row that a trigger of the portal's own database wrote",
    "ledger/abi.py": "the committed artifact, part of the package",
    "ledger/witness_service.py": "a witness's own home; requests are the targets of witnesses",
    "marketplace/api/auth.py": "`load_json` on a body, each field asked for with its own except",
    "marketplace/api/parsers.py": "`load_json` alone, turned into a 400; the documents in it are a target",
    "marketplace/sdk/__main__.py": BY_HAND,
    "marketplace/sdk/cache.py": "the buyer's own cache; as evidence it is verified again: a buyer's evidence",
    "marketplace/sdk/config.py": "the buyer's own space file",
    "mpc/node/__main__.py": BY_HAND,
    "mpc/node/audit.py": "the node's own record; `verify` tells what was done to it, and is tested line by line",
    "mpc/node/book.py": OWN_BOOK,
    "mpc/node/cases.py": OWN_BOOK,
    "mpc/node/contributing.py": OWN_BOOK,
    "mpc/node/doctor.py": OWN_PARENT,
    "mpc/node/frozen.py": OWN_BOOK,
    "mpc/node/keysdesk.py": BY_HAND,
    "mpc/node/loop.py": OWN_BOOK,
    "mpc/node/nursery.py": OWN_PARENT,
    "mpc/node/sandbox.py": OWN_PARENT,
    "mpc/nursery.py": OWN_PARENT,
    "mpc/worker.py": OWN_PARENT,
}


def reads(call: ast.Call) -> bool:
    """Whether this parses bytes into something."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "load_json"
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = ast.unparse(call.func.value)
    return (owner, call.func.attr) in CALLS or (call.func.attr == "from_bytes" and owner != "int")


def readers_of(tree: ast.AST, inside: str = "") -> Iterator[str]:
    """The functions of a module that read, by their whole names."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        name = f"{inside}.{node.name}".lstrip(".") if named else inside  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and reads(node):
            yield name
        yield from readers_of(node, name)


def readers() -> set[str]:
    found = set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            found |= {f"{place}::{name}" for name in readers_of(ast.parse(path.read_text("utf-8")))}
    return found


def fuzzed() -> set[str]:
    """The names of the targets, without running them."""
    found = set()
    for path in (ROOT / "tests" / "fuzz").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Dict):
                found |= {key.value for key, value in zip(node.keys, node.values, strict=True)
                          if isinstance(key, ast.Constant) and isinstance(value, ast.Call)
                          and getattr(value.func, "id", "") == "Target"}
            if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "PARSERS":
                found |= {node.slice.value} if isinstance(node.slice, ast.Constant) else set()
    return found


def test_every_reader_is_under_fire_or_says_why_not() -> None:
    missing = [one for one in readers() if one not in TARGETS and one.partition("::")[0] not in REASONS]
    assert missing == [], "give it a target in tests/fuzz, or a reason in this file"


def test_the_table_names_nobody_who_is_gone() -> None:
    known = readers()
    places = {one.partition("::")[0] for one in known}
    assert ([one for one in TARGETS if one not in known], [one for one in REASONS if one not in places]) == ([], [])


def test_every_target_of_the_table_exists() -> None:
    assert {name for names in TARGETS.values() for name in names} - fuzzed() == set()


def test_a_reader_is_noticed() -> None:
    source = ("class A:\n    def read(self):\n        return json.loads(b'')\n"
              "def other():\n    return int.from_bytes(b'')\n")
    assert list(readers_of(ast.parse(source))) == ["A.read"]
    assert "work item" in fuzzed()
