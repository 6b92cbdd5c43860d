"""Where a node lets its worker dial: what the portal may name, what only the folder may, and through which proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpc.node import reach
from mpc.node.config import Config
from mpc.node.errors import Refused

PORTAL = "https://portal.example"


def known(portal: str = PORTAL, **more: str) -> Config:
    return Config(Path("/nowhere"), "p", "provider", portal, "甲", "A", **more)  # type: ignore[arg-type]


def offered(url: object) -> dict[str, object]:
    return {"url": url, "token": "t"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(("portal", "url"), [
    (PORTAL, "wss://portal.example"), (PORTAL, "wss://portal.example/"), (PORTAL, "wss://portal.example:443/relay"),
    (f"{PORTAL}:8443", "wss://portal.example:8443/relay"), (f"{PORTAL}:8443", "wss://PORTAL.example/relay"),
    ("http://127.0.0.1:8000", "ws://127.0.0.1:8300"), ("http://localhost:8000", "ws://localhost:8300/"),
])
def test_it_works(portal: str, url: str) -> None:
    assert reach.way(offered(url), known(portal)) == {"url": url, "token": "t", "proxy": None}


@pytest.mark.parametrize(("portal", "url"), [
    (PORTAL, "ws://portal.example"), (PORTAL, "ws://portal.example:443/"), (PORTAL, "ws://portal.example:6379/x"),
    (PORTAL, "wss://portal.example:6379"), (PORTAL, "wss://portal.example:8443"), (PORTAL, "wss://portal.example:80"),
    (PORTAL, "wss://portal.example/admin"), (PORTAL, "wss://portal.example/relay/../x"),
    (PORTAL, "wss://portal.example/relay?x=1"), (PORTAL, "wss://me:it@portal.example/"),
    (PORTAL, "wss://portal.example.evil.example"), (PORTAL, "wss://10.0.0.9"), (PORTAL, "wss://portal.example@10.0.0.9"),
    (PORTAL, "https://portal.example"), (PORTAL, "wss://portal.example:x"), (PORTAL, "wss://portal.example:0"),
    (PORTAL, "wss://"), (PORTAL, ""), (PORTAL, None), (PORTAL, ["wss://portal.example"]),
    ("http://portal.example", "ws://portal.example:8300"), ("http://10.0.0.1:8000", "ws://10.0.0.1:6379"),
    ("http://127.0.0.1:8000", "ws://127.0.0.2:8300"),
])
def test_the_portal_names_nothing_but_its_own_address(portal: str, url: object) -> None:
    with pytest.raises(Refused) as refused:
        reach.way(offered(url), known(portal))
    assert refused.value.code == "relay.refused"


def test_another_relay_is_the_folders_to_name() -> None:
    pinned = "ws://relay.hospital.example:8300/anything"
    found = reach.way(offered("wss://10.0.0.9"), known(relay=pinned))
    assert found["url"] == pinned


@pytest.mark.parametrize("word", [None, [], {}, {"url": "wss://portal.example"}, {"url": "wss://portal.example",
                                                                                   "token": 5}])
def test_no_admission_is_no_way(word: object) -> None:
    with pytest.raises(Refused):
        reach.way(word, known())


def test_the_proxy_is_the_folders_else_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    for url in ("wss://portal.example", "https://rpc.example/key"):
        assert reach.proxy_for(url, known()) == "http://proxy.example:3128"
        assert reach.proxy_for(url, known(proxy="http://other.example:1")) == "http://other.example:1"
    assert reach.proxy_for("https://inside.example", known()) is None
    assert reach.proxy_for("http://rpc.example", known()) is None
