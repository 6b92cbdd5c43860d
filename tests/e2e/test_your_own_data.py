"""`docs/how-to/your-own-data.md`, done as written, on data that Xinglin has never seen, without dictionaries."""

import json
import os
import random
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from deploy.children import started_at
from deploy.instance import read_running
from deploy.places import Places

pytestmark = pytest.mark.stack
NAMES = ("north", "east", "south")
WARDS = ("medical", "surgical")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}  # pytest's own


def _rows(seed: int) -> list[tuple[str, str, str]]:
    """A made-up stay in hospital: number, ward, days; now and then a value is missing."""
    chance = random.Random(seed)
    return [
        (
            str(number),
            chance.choice(WARDS),
            "" if chance.random() < 0.1 else str(chance.randint(1, 40)),
        )
        for number in range(150)
    ]


@pytest.fixture
def hospitals(tmp_path):
    tables = {}
    for seed, name in enumerate(NAMES):
        folder = tmp_path / "hospitals" / name
        folder.mkdir(parents=True)
        tables[name] = _rows(seed)
        lines = ["stay,ward,days", *(",".join(row) for row in tables[name])]
        (folder / "stays.csv").write_text("\n".join(lines) + "\n")
    return tables


def _deploy(root, *arguments):
    command = [sys.executable, "-m", "deploy", *map(str, arguments)]
    return subprocess.run(
        command,
        check=False,
        env=ENVIRONMENT,
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_it_works(root, tmp_path, hospitals):
    var = tmp_path / "var"
    script = tmp_path / "script.py"
    page = (root / "docs/how-to/your-own-data.md").read_text()
    script.write_text(re.findall(r"```python\n(import .*?)```", page, re.S)[0])
    up = ("up", "--var", var, "--port", 0, "--hospitals", tmp_path / "hospitals")

    drafted = _deploy(root, *up)
    assert drafted.returncode == 1, drafted.stdout + drafted.stderr
    assert (tmp_path / "hospitals" / "north" / "stays.dictionary.draft.json").exists()
    undecided = _deploy(root, *up, "--accept-drafts")
    assert undecided.returncode == 1 and "who a person is" in undecided.stdout

    try:
        started = _deploy(root, *up, "--accept-drafts", "--persons", "stay")
        assert started.returncode == 0, started.stdout + started.stderr
        running = read_running(Places(var, "up"))
        space = json.loads((var / "space.json").read_text())
        assert [one["name"] for one in space["hospitals"]] == sorted(NAMES)
        environment = {**ENVIRONMENT, "XINGLIN_SPACE": str(var / "space.json")}
        bought = subprocess.run(
            [sys.executable, str(script), "days", "ward"], check=False, cwd=tmp_path, env=environment,
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert bought.returncode == 0, bought.stdout + bought.stderr
        _check_means(bought.stdout, hospitals)
        assert "'chain_header': 'valid'" in bought.stdout.replace("<Level.VALID: 'valid'>", "'valid'")
    finally:
        stopped = _deploy(root, "down", "--var", var)
    assert stopped.stdout.strip() == "stopped"
    assert started_at(running.pid) is None
    assert _deploy(root, "down", "--var", var).stdout.strip() == "nothing was running"


def _check_means(printed: str, tables: dict[str, list[tuple[str, str, str]]]) -> None:
    for ward in WARDS:
        days = [int(row[2]) for rows in tables.values() for row in rows if row[1] == ward and row[2]]
        mean = float(Fraction(sum(days), len(days)))
        line = next(line for line in printed.splitlines() if line.startswith(ward))
        assert line.split()[1] == str(len(days))
        assert abs(float(line.split()[2]) - mean) < 1e-5


def test_a_folder_without_hospitals_is_refused_before_anything_starts(root, tmp_path):
    (tmp_path / "nothing").mkdir()
    answer = _deploy(root, "up", "--var", tmp_path / "var", "--hospitals", tmp_path / "nothing")
    assert answer.returncode == 1
    assert "no hospital's folder" in answer.stderr
    assert not Path(tmp_path / "var" / "log").exists()
