"""The recipes for a node outside the demo say what the node relies on; systemd reads the units, where there is one."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mpc.catalog import DIGESTS
from mpc.node.__main__ import parser

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / "deploy/node"
PAGE = (ROOT / "docs/how-to/run-a-node.md").read_text("utf-8")
UNITS = sorted(HERE.glob("*.service"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_it_works(tmp_path: Path) -> None:
    """Nothing in them is unknown to it, or contradicts itself; the program alone is another."""
    assert len(UNITS) == 2
    for unit in UNITS:
        text = re.sub(r"^(Exec\w+=-?)\S+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS)],
                          capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if "xinglin" in line]
    assert ours == [], ours


def test_a_broken_policy_does_not_keep_the_node_down() -> None:
    """It denies then, and says so: a node that is down says nothing."""
    before = re.findall(r"^ExecStartPre=(.*)", (HERE / "xinglin-node.service").read_text(), re.MULTILINE)
    assert before and all(one.startswith("-") for one in before)


def test_one_worker_without_memory_is_not_the_end_of_all() -> None:
    assert "OOMPolicy=continue" in (HERE / "xinglin-node.service").read_text()


def test_the_container_can_be_told_dead_reaps_and_has_room() -> None:
    image = (HERE / "Containerfile").read_text()
    assert 'ENTRYPOINT ["tini", "--", "xinglin-node"]' in image and "TMPDIR=/var/lib/xinglin-node" in image
    assert re.search(r'^HEALTHCHECK .*"xinglin-node", "status"', image, re.MULTILINE)  # 1 when no agent runs
    service = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]["node"]
    assert service["read_only"] and "init" not in service and "ports" not in service


def test_the_page_makes_the_user_and_the_folder_of_the_unit() -> None:
    unit = (HERE / "xinglin-node.service").read_text()
    user = re.findall(r"^User=(.*)", unit, re.MULTILINE)[0]
    for text in (PAGE, unit):
        assert re.search(rf"useradd --system .*--home-dir /var/lib/{user} .* {user}$", text, re.MULTILINE)
        assert f"install -d -o {user} -g {user} -m 0700 /var/lib/{user}\n" in text


def test_one_version_of_uv() -> None:
    """The page, the image and `./run` install with the same one."""
    version = re.findall(r"^UV_VERSION=(.+)", (ROOT / "run").read_text(), re.MULTILINE)
    assert re.findall(r"pip install (?:--no-cache-dir )?uv(\S*)", PAGE) == [f"=={version[0]}"]
    assert re.findall(r" uv==(\S+)", (HERE / "Containerfile").read_text()) == version


def test_every_command_of_the_page_is_one() -> None:
    """In a shell, and in the container, where the home is the volume of compose.yaml and the files lie in /data."""
    lines = re.findall(r"^(?:xinglin-node|\$node) .*", PAGE, re.MULTILINE)
    given = [parser().parse_args(shlex.split(line, comments=True)[1:]) for line in lines]
    inside = [one for one in given if str(one.home) != "HOME"]
    assert [one.command for one in inside[:3]] == ["init", "adopt-trust", "enrol"] == [one.command for one in given[:3]]
    volumes = yaml.safe_load((HERE / "compose.yaml").read_text())["services"]["node"]["volumes"]
    assert {f"node:{one.home}" for one in inside} == {volumes[0]} and volumes[1] == "./data:/data:ro"
    assert [one.trust.parent for one in inside if one.command == "adopt-trust"] == [Path("/data")]


def test_both_stages_stand_on_one_python_that_can_be_pinned() -> None:
    image = (HERE / "Containerfile").read_text()
    assert re.findall(r"^FROM (\S+)", image, re.MULTILINE) == ["${PYTHON}"] * 2
    assert image.index("ARG PYTHON=") < image.index("FROM") and '--build-arg PYTHON="$base"' in PAGE


def test_the_page_says_where_a_functions_digest_comes_from() -> None:
    code = re.findall(r'/opt/xinglin/bin/python -c "(.*)"', PAGE)
    done = subprocess.run([sys.executable, "-c", code[0]], capture_output=True, text=True, check=True, cwd=ROOT)
    assert all(digest in done.stdout for digest in DIGESTS.values())
