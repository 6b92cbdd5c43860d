"""The recipes for a node outside the demo say what the node relies on; systemd reads the units, where there is one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parents[3] / "deploy/node"
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
