"""House rules that a pattern can hold; each carries a bad line it must catch and a good one it must let pass."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, dotted, modules, tracked, tree

FUNCTION_LINES = 60
FILE_LINES = 450
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base_utils"}
TOP_LEVEL = {
    "manage.py", "pyproject.toml", "dataspace", "marketplace", "mpc", "ledger", "tests", "fixtures", "deploy",
    "README.md", "README.zh-CN.md", "CHANGELOG.md", "LICENSE", "NOTICE", "SECURITY.md", "docs", ".ci", "run",
    "package.json", "package-lock.json", ".gitignore", ".gitattributes",
}


@dataclass(frozen=True)
class Rule:
    """A pattern that no line of these folders may match."""

    pattern: str
    because: str
    bad: str
    good: str
    folders: tuple[str, ...]
    except_in: tuple[str, ...] = ()


RULES = [
    Rule(r"\.save\(\)", "name the columns, or use advance: a whole-row save loses a concurrent write",
         "grant.save()", "grant.save(update_fields=['ends'])", ("dataspace", "marketplace")),
    Rule(r"\.state\s*=[^=]", "only moves.py writes a state",
         "grant.state = 'active'", "if grant.state == State.ACTIVE:", ("dataspace", "marketplace"),
         ("dataspace/moves.py", "marketplace/sdk/")),
    Rule(r"\bos\.environ\b|\bos\.getenv\b", "only settings.py reads the environment of the portal",
         "os.environ['DATABASE_URL']", "settings.DATABASE_URL", ("dataspace", "marketplace"),
         ("dataspace/settings.py", "dataspace/celery.py", "dataspace/wsgi.py", "marketplace/sdk/config.py")),
    Rule(r"\bpickle\b|\bmarshal\b|\bdill\b", "nothing from outside is unpickled",
         "import pickle", "import json", ("dataspace", "marketplace", "mpc/node", "mpc/transport", "ledger")),
    Rule(r"(?<![\w.])(eval|exec)\(", "no code is made of text",
         "eval(text)", "model.eval_mode(text)", ("dataspace", "marketplace", "mpc", "ledger")),
    Rule(r"\bverify\s*=\s*False", "a certificate is always checked",
         "httpx.get(url, verify=False)", "httpx.get(url, verify=context)",
         ("dataspace", "marketplace", "mpc", "ledger", "deploy")),
    Rule(r"\bimport random\b|\bfrom random\b", "keys, nonces and masks come from `secrets`; jitter says why",
         "import random", "import secrets", ("dataspace", "marketplace", "ledger", "mpc/functions", "mpc/engines"),
         ("mpc/engines/crypten_engine/",)),
    Rule(r"\bdatetime\.(utcnow|now\(\))", "a time has a zone",
         "datetime.now()", "datetime.now(UTC)", ("dataspace", "marketplace", "mpc", "ledger", "deploy")),
    Rule(r"django\.contrib\.admin", "it would write state around moves.advance",
         "'django.contrib.admin',", "'django.contrib.auth',", ("dataspace", "marketplace")),
    Rule(r"\bmark_safe\b|\|\s*safe\b", "what people wrote is escaped",
         "mark_safe(text)", "format_html('<b>{}</b>', text)", ("dataspace", "marketplace"),
         ("dataspace/templatetags/",)),
    Rule(r"(?i)\bmd5\b|\bsha1\b", "hashes are SHA-256 or keccak",
         "hashlib.md5(data)", "hashlib.sha256(data)", ("dataspace", "marketplace", "mpc", "ledger")),
    Rule(r"shell\s*=\s*True", "no command goes through a shell",
         "subprocess.run(line, shell=True)", "subprocess.run([name, argument])",
         ("dataspace", "marketplace", "mpc", "ledger", "deploy")),
]


def applies(rule: Rule, path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    if rule.except_in and name.startswith(rule.except_in):
        return False
    return any(name.startswith(f"{folder}/") for folder in rule.folders)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_the_rule_catches_its_bad_line_only(rule: Rule) -> None:
    assert re.search(rule.pattern, rule.bad)
    assert not re.search(rule.pattern, rule.good)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_nobody_breaks_it(rule: Rule) -> None:
    wrong = [f"{dotted(path)}:{number}: {rule.because}" for path in modules() if applies(rule, path)
             for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
             if re.search(rule.pattern, line.partition("#")[0])]
    assert wrong == []


def test_every_module_says_what_it_is() -> None:
    assert [dotted(path) for path in modules() if tree(path).body and not ast.get_docstring(tree(path))] == []


def test_package_inits_stay_empty() -> None:
    full = [dotted(path) for path in modules() if path.name == "__init__.py" and path.read_text("utf-8").strip()]
    assert set(full) <= {"marketplace.sdk"}


def test_no_function_is_long() -> None:
    long = [f"{dotted(path)}.{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines" for path in modules()
            for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES]
    assert long == []


def test_no_file_is_long() -> None:
    long = [f"{dotted(path)}: {lines}" for path in modules()
            if (lines := path.read_text("utf-8").count("\n")) > FILE_LINES]
    assert long == []


def test_no_assert_and_no_bare_except_outside_tests() -> None:
    wrong = [f"{dotted(path)}:{node.lineno}" for path in modules() for node in ast.walk(tree(path))
             if isinstance(node, ast.Assert) or (isinstance(node, ast.ExceptHandler) and node.type is None)]
    assert wrong == []


def test_every_function_has_its_types() -> None:
    wrong = [f"{dotted(path)}.{node.name}" for path in modules() for node in ast.walk(tree(path))
             if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is None]
    assert wrong == []


def test_no_file_has_a_vague_name() -> None:
    assert [dotted(path) for path in modules() if path.stem in VAGUE or path.parent.name in VAGUE] == []


def test_the_top_level_is_as_designed() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in found if not name.startswith("requirements")} <= TOP_LEVEL


def test_no_path_of_a_builder_s_machine_is_in_a_file() -> None:
    marks = re.compile(r"/(home|Users|root|work)/[a-z_]+/")
    wrong = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in (".py", ".md", ".toml", ".sh", ".json", ".html", ".yml") and "vendor" not in name and \
                name != "tests/architecture/test_house_rules.py" and marks.search(path.read_text("utf-8")):
            wrong.append(name)
    assert wrong == []
