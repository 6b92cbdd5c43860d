"""The people of a hospital at the command line of a node in memory: what they type, and what they are told."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpc.node.__main__ import main
from tests.simulators.node_at_work import Maker, Node

HOLD = ('[[rule]]\nname = "look first"\ncustomers = ["*"]\nfunctions = ["describe", "crosstab"]\n'
        'decision = "hold"\nfloor = 10\n')


def home(one: Node) -> Path:
    return one.agent.config.home


def held(node: Maker, **more: Any) -> Node:
    one = node(**more)
    one.agent.config.policy.write_text(HOLD)
    assert one.check()["decision"] == "hold"
    return one


def say(one: Node, command: str, *arguments: str, capsys: pytest.CaptureFixture[str]) -> Any:
    main([command, "--home", str(home(one)), "--json", *arguments])
    said = capsys.readouterr()
    return json.loads(said.out) if said.out else said.err


def within(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told(one: Node, command: str, *arguments: str, capsys: pytest.CaptureFixture[str],
         language: str = "en") -> tuple[str, int]:
    """What stands on the terminal, and the exit status."""
    status = main([command, "--home", str(home(one)), "--lang", language, *arguments])
    said = capsys.readouterr()
    return said.out or said.err, status
