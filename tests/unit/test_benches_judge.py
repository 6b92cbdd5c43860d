"""A benchmark that cannot fail shows nothing: each judge is shown what it must not let pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from tests.bench import soak
from tests.bench.engine_inputs import check, inputs, off, wanted
from tests.bench.machine import LOADED, MET, UNJUDGED, UNMET, Aims
from tests.bench.soak import Done
from tests.bench.trees import Sample, below, fitted, is_zombie, sample

SIZES = {"sum": 500, "comparisons": 500, "product": 40, "gradient": 256}
QUIET = Sample(100_000, 10, 2, 0, 0)


class TestTheEnginesResults:
    @pytest.mark.parametrize("case", SIZES)
    @pytest.mark.parametrize("by_chance", [False, True])
    def test_it_works(self, case: str, by_chance: bool) -> None:
        values = inputs(case, SIZES[case])
        check(case, values, wanted(case, values), by_chance=by_chance)

    @pytest.mark.parametrize("case", SIZES)
    @pytest.mark.parametrize("by_chance", [False, True])
    def test_zeros_are_wrong_everywhere(self, case: str, by_chance: bool) -> None:
        """Weights of at most 0.03 once passed as zeros under a bound of 0.05."""
        values = inputs(case, SIZES[case])
        for wrong in (0 * wanted(case, values), 1 - 1.0 * wanted(case, values), float("nan") * wanted(case, values)):
            with pytest.raises(ValueError, match="wrong"):
                check(case, values, wrong, by_chance=by_chance)

    def test_one_wrong_answer_is_enough_for_an_engine_that_never_fails(self) -> None:
        values = inputs("comparisons", 500)
        found = wanted("comparisons", values).copy()
        found[7] ^= True
        with pytest.raises(ValueError, match="wrong"):
            check("comparisons", values, found)

    def test_failed_truncations_are_counted(self) -> None:
        values = inputs("truncation", 100)
        found = wanted("truncation", values)
        found[:3] += 2.0**32
        assert (off(values, found), off(values, wanted("truncation", values) + 1)) == (3, 0)


class TestAims:
    @pytest.mark.parametrize(("seconds", "load", "status"), [
        (0.2, 0.1, MET), (0.3, 0.1, UNMET), (0.2, LOADED + 1, UNJUDGED), (0.3, LOADED + 1, UNJUDGED)])
    def test_it_works(self, seconds: float, load: float, status: int) -> None:
        aims = Aims("x", load)
        aims.most("case", "seconds", seconds, 0.25)
        aims.most("case", "seconds", seconds, 0.1, hoped=True)
        assert aims.status() == status

    def test_nothing_aimed_at_is_nothing_met(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert Aims("x", 0.0).status() == UNJUDGED
        assert json.loads(capsys.readouterr().out)["verdict"] == "not judged"


class TestTheSoak:
    def judged(self, samples: Sequence[Sample], *, left: dict[str, int] | None = None, wanted: int | None = None,
               trouble: str | None = None) -> int:
        done = [Done("together", 1.0, trouble) for _ in samples]
        return soak._judge([{"portal": one} for one in samples], [left or {} for _ in samples], done,
                           wanted=wanted or len(samples))

    def test_it_works(self) -> None:
        noise = np.random.default_rng(1).integers(-500, 500, 120)
        assert self.judged([Sample(100_000 + int(one), 10, 2, 0, 0) for one in noise]) == MET

    @pytest.mark.parametrize("grown", [(100, 0, 0), (0, 1, 0), (0, 0, 1)])
    def test_what_piles_up_is_found_in_noise(self, grown: tuple[int, int, int]) -> None:
        """100 KiB a job; a file, or a process, in every tenth."""
        noise, (memory, files, processes) = np.random.default_rng(1).integers(-500, 500, 120), grown
        assert self.judged([Sample(100_000 + int(one) + memory * at, 10 + files * at // 10, 2 + processes * at // 10,
                                   0, 0) for at, one in enumerate(noise)]) == UNMET

    def test_zombies_leftovers_and_failed_jobs_are_leaks(self) -> None:
        assert self.judged([*[QUIET] * 99, Sample(100_000, 10, 2, 1, 0)]) == UNMET
        assert self.judged([QUIET] * 100, left={"processes without a parent": 1}) == UNMET
        assert self.judged([QUIET] * 100, trouble="job.failed") == UNMET

    def test_neither_few_jobs_nor_an_interrupted_run_are_called_clean(self) -> None:
        assert [self.judged([QUIET] * 3), self.judged([QUIET] * 100, wanted=200), self.judged([])] == 3 * [UNJUDGED]

    def test_the_line_says_how_sure_it_is(self) -> None:
        straight = fitted([3.0 * at for at in range(50)])
        assert (round(straight.slope, 6), round(straight.unsure, 6)) == (3.0, 0.0)
        noisy = fitted((np.random.default_rng(1).normal(0, 100, 50)).tolist())
        assert abs(noisy.slope) < 2 * noisy.unsure

    def test_a_tree_is_counted_with_all_below_it(self) -> None:
        program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
        with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            while not below(child.pid):
                assert child.poll() is None
            assert child.pid in below(os.getpid(), deep=False) and not is_zombie(child.pid)
            held = sample([child.pid, *below(child.pid)])
            assert held.processes == 2 and held.files >= 6 and held.memory > 1000
            child.communicate(b"\n")
