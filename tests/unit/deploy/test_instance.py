import os
import subprocess
import sys

import pytest

from deploy.instance import AlreadyRunning, is_ours, only_instance, read_running, stop_running, write_running
from deploy.places import Places


def test_it_works(tmp_path):
    places = Places(tmp_path, "up")
    with only_instance(places):
        write_running(places, ready=True)
        known = read_running(places)
        assert known and known.pid == os.getpid() and known.alive and known.ready and is_ours(places)
    assert read_running(places) is None


def test_the_second_is_refused_and_told_who_is_there(tmp_path):
    places = Places(tmp_path, "demo")
    with only_instance(places):
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"), only_instance(places):
            pass
        assert is_ours(places)


def test_down_stops_the_process_that_the_file_names(tmp_path, root):
    code = (
        "import sys,time; from pathlib import Path; from deploy.instance import *; from deploy.places import Places\n"
        "with only_instance(Places(Path(sys.argv[1]))):\n print('up', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    process.stdout.readline()
    process.stdout.close()
    assert stop_running(Places(tmp_path))
    assert process.wait(timeout=5) != 0
    assert not stop_running(Places(tmp_path))


def test_a_pid_that_was_given_again_is_not_killed(tmp_path):
    places = Places(tmp_path)
    places.running.write_text(f'{{"pid": {os.getpid()}, "start": 1, "kind": "up", "ready": true}}')
    assert not stop_running(places)
