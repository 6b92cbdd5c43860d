"""The two ways of looking that the story's leak tests use do find what is there."""

import base64
import gzip
import json
import subprocess
import sys

import pytest

from tests.e2e import traces
from tests.e2e.openers import Openers

ROW = ["63", "Male", "typical angina", "145.0"]
NEEDLE = "63,Male,typical angina,145.0"


@pytest.mark.parametrize("written", [
    ",".join(ROW), "\t".join(ROW), json.dumps(ROW), str(tuple(ROW)), json.dumps(json.dumps([63, *ROW[1:3], 145])),
    "x\\n" + ",".join(ROW) + "\\n", "\\\\x" + json.dumps(ROW).encode().hex(),
    base64.urlsafe_b64encode(json.dumps(ROW).encode()).decode().rstrip("="), "0x" + ",".join(ROW).encode().hex(),
])  # fmt: skip
def test_a_value_is_found_however_it_is_written(written):
    assert traces.found([NEEDLE], traces.unpacked(f'{{"before": 1, "it": {written}, "after": 2}}'))


def test_a_value_that_is_not_there_is_not_found():
    assert traces.found([NEEDLE], traces.unpacked('["typical angina", "Male"], 63, 145.0, "63 Male"')) == []


def test_a_packed_file_is_unpacked(tmp_path):
    packed = tmp_path / "state"
    packed.write_bytes(gzip.compress(b"63 Male"))
    assert traces.read(packed) == "63 Male"


def test_everybody_who_opens_a_file_is_seen(tmp_path):
    file, other = tmp_path / "rows.csv", tmp_path / "other.csv"
    for one in (file, other):
        one.write_text("age\n63\n")
    with Openers([file, other]) as openers:
        reader = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", f"print(open({str(file)!r}).read())"], stdout=subprocess.PIPE, text=True
        )
        assert reader.communicate(timeout=20)[0] == "age\n63\n\n"
        subprocess.run(["cat", "other.csv"], cwd=tmp_path, check=True, capture_output=True, timeout=20)
    seen = {(one.path.name, one.pid == reader.pid) for one in openers.seen}
    assert seen == {("rows.csv", True), ("other.csv", False)}
    assert all(len(one.line) > 1 and one.command for one in openers.seen)
