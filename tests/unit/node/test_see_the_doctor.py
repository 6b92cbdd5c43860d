"""The doctor: everything well is OK, each thing that is not has its line, its mend and a status; in both languages."""

import json
import os
import shutil
import socket
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from mpc.node import config, console, doctor, reach
from mpc.node.book import Book, Dataset
from mpc.node.console import Said
from mpc.node.data import fingerprint
from mpc.node.errors import Unfit
from tests.simulators.node_world import ChainInMemory, World
from tests.simulators.relay_at_hand import RelayAtHand

Examine = Callable[..., Said]


def portal(status: int = 200, behind: float = 0.0) -> Callable[..., Any]:
    def answer(url: str, **_: Any) -> Any:
        date = format_datetime(datetime.now(UTC) - timedelta(seconds=behind), usegmt=True)
        return SimpleNamespace(status_code=status, headers={"date": date})
    return answer


@pytest.fixture
def home(tmp_path: Path, world: World) -> Path:
    place = tmp_path / "node"
    place.mkdir(mode=0o700)
    config.write_private(place / "keys.json", (world.folder / "hospital_a.keys.json").read_text())
    config.create(config.Config(
        home=place, participant=world.keys["hospital_a"].participant, role="provider", portal="http://127.0.0.1:1",
        name_zh="x", name_en="x", fingerprint=world.fingerprint, approver=world.approver("hospital_a").address,
        service=world.service("hospital_a").address))
    config.write_private(place / "trust.json", json.dumps(world.trust_wire))
    known, file = config.load(place), place / "data" / "heart.csv"
    file.write_text("age\n50\n")
    book = Book(known.book)
    book.put_dataset(Dataset("d-1", file, "csv", {"fingerprint": fingerprint(file, known.local_key())}))
    book.close()
    return place


@pytest.fixture
def examine(home: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """The examination with a portal and a chain in memory; the worker is any program that says it is ready. The sandbox
    is tried for real in test_confine_workers."""
    chain = ChainInMemory()
    monkeypatch.setattr("mpc.node.sandbox.probe", lambda *_, **__: dict.fromkeys(doctor.PREVENTED, True))
    monkeypatch.setattr(doctor, "WORKER", ("/bin/echo", '{"ready": true}'))

    def look(language: str = "en", **parts: Any) -> Said:
        with console.room(home, language) as here:
            return doctor.examine(here, **{"http": portal(), "chain": lambda _, trust: chain, **parts})
    look.chain = chain  # type: ignore[attr-defined]
    return look


def failed(said: Said) -> list[str]:
    found: list[str] = said.body["failed"]
    assert said.status == (1 if found else 0)
    assert all(one["mend"] for one in said.body["checks"] if one["ok"] is False)
    return found


def change(home: Path, **changes: Any) -> None:
    config.save(replace(config.load(home), **changes))


def test_it_works(examine: Examine) -> None:
    said = examine()
    assert failed(said) == [], said.text
    assert [one["check"] for one in said.body["checks"]] == [
        "switch", "proxy", "dns", "portal", "clock", "relay", "disk", "keys", "trust", "chain", "policy", "datasets",
        "book", "audit", "sandbox", "worker"]


def test_a_portal_that_is_away_or_answers_badly(examine: Examine) -> None:
    def away(url: str, **_: Any) -> Any:
        raise httpx.ConnectError("refused")
    assert failed(examine(http=away)) == ["portal"]
    assert failed(examine(http=portal(503))) == ["portal"]


def test_a_portal_without_tls_on_another_machine(examine: Examine, home: Path) -> None:
    config.save(config.Config(**{**config.load(home).__dict__, "portal": "http://portal.invalid"}))
    assert "portal" in failed(examine())


def test_a_clock_that_is_off(examine: Examine) -> None:
    for behind in (-300, 27, 300):
        assert failed(examine(http=portal(behind=behind))) == ["clock"]


def test_a_clock_that_nobody_tells_is_not_called_right(examine: Examine) -> None:
    def dateless(url: str, **_: Any) -> Any:
        return SimpleNamespace(status_code=200, headers={})
    said = examine(http=dateless)
    assert failed(said) == [] and next(one for one in said.body["checks"] if one["check"] == "clock")["ok"] is None


def test_a_clock_behind_the_chain(examine: Examine) -> None:
    """The chain is well; it is this machine that is not."""
    vars(examine.chain).update(age=-90)  # type: ignore[attr-defined]
    said = examine()
    assert failed(said) == ["clock"] and "timedatectl" in said.text


def test_a_name_that_nobody_knows(examine: Examine, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of portal, relay and chain each one is looked up, but for what lies behind a proxy."""
    asked = []

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    change(home, relay="wss://relay.invalid")
    monkeypatch.setattr("mpc.node.sandbox.dial", lambda *_, urls, **__: dict.fromkeys(urls, doctor.KNOCKED))
    said = examine()
    assert failed(said) == ["dns"] and "relay.invalid" in said.text
    change(home, relay="")
    monkeypatch.setattr(doctor, "_rpc", lambda known: ["https://chain.invalid"])
    assert failed(examine()) == ["dns"] and asked[-1] == "chain.invalid"


def test_the_relay_is_dialled_as_a_worker_dials_it(examine: Examine, home: Path) -> None:
    """From inside the sandbox, to the upgrade: an open port alone is no relay."""
    relay = RelayAtHand()
    change(home, relay=relay.url.replace("127.0.0.1", "localhost"))  # by name: looked up before the confinement
    said = examine()
    assert failed(said) == [], said.text
    relay.stop()
    assert failed(examine()) == ["relay"]
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        change(home, relay=f"ws://127.0.0.1:{deaf.getsockname()[1]}")
        answering = threading.Thread(target=not_found, args=(deaf,), daemon=True)
        answering.start()
        assert failed(examine()) == ["relay"]
        answering.join(10)


def not_found(server: socket.socket) -> None:
    server.settimeout(60)
    line, _ = server.accept()
    line.settimeout(10)
    with line:
        line.recv(4096)
        line.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(("portal_at", "places"), [
    ("https://portal.example", ["wss://portal.example:443", "wss://portal.example:443/relay"]),
    ("https://portal.example:8443", ["wss://portal.example:8443", "wss://portal.example:8443/relay",
                                     "wss://portal.example:443", "wss://portal.example:443/relay"]),
    ("http://127.0.0.1:8000", [])])
def test_where_the_portal_may_name_a_relay(home: Path, portal_at: str, places: list[str]) -> None:
    known = replace(config.load(home), portal=portal_at)
    assert reach.relays(known) == places
    assert [reach.way({"url": one, "token": "x"}, known)["url"] for one in places] == places


def test_no_room_on_the_disk(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10 << 20))
    assert failed(examine()) == ["disk"]


def test_a_key_that_others_may_read(examine: Examine, home: Path) -> None:
    (home / "keys.json").chmod(0o644)
    said = examine()
    assert failed(said) == ["keys"] and f"chmod 600 {home / 'keys.json'}" in said.text


def test_everything_that_others_must_not_touch(examine: Examine, home: Path) -> None:
    config.write_private(home / "proxy.password", "node:s3:cret/\n")
    for name, mode, mend in (("proxy.password", 0o640, "600"), ("policy.toml", 0o666, "600"),
                             ("node.sqlite3", 0o660, "600"), ("", 0o755, "700")):
        before = (home / name).stat().st_mode
        (home / name).chmod(mode)
        said = examine()
        assert failed(said) == ["keys"] and f"chmod {mend} {home / name}" in said.text
        (home / name).chmod(before)
    assert failed(examine()) == []


def test_a_trust_file_of_another_root(examine: Examine, home: Path) -> None:
    config.save(config.Config(**{**config.load(home).__dict__, "fingerprint": "00" * 32}))
    assert failed(examine()) == ["trust", "chain"]


@pytest.mark.parametrize(("change", "seen"), [({"unavailable": "chain.disagree"}, "chain.disagree"),
                                              ({"age": 600}, "chain.stale_head")])
def test_a_chain_that_cannot_be_believed(examine: Examine, change: dict[str, Any], seen: str) -> None:
    vars(examine.chain).update(change)  # type: ignore[attr-defined]
    said = examine()
    assert failed(said) == ["chain"] and seen in said.text


def test_a_broken_policy(examine: Examine, home: Path) -> None:
    (home / "policy.toml").write_text("surprise = 1")
    said = examine()
    assert failed(said) == ["policy"] and "line 1" in said.text


def test_a_file_that_changed(examine: Examine, home: Path) -> None:
    (home / "data" / "heart.csv").write_text("age\n51\n")
    assert failed(examine()) == ["datasets"]
    (home / "data" / "heart.csv").unlink()
    assert failed(examine()) == ["datasets"]


def test_a_record_that_was_changed(examine: Examine, home: Path) -> None:
    with console.room(home) as here:
        console.start(here)
    (home / "audit.jsonl").write_text("")
    assert failed(examine()) == ["audit"]


def test_a_stopped_node(examine: Examine, home: Path) -> None:
    with console.room(home) as here:
        console.stop(here, "holiday")
    assert failed(examine()) == ["switch"]


def test_a_worker_that_cannot_start(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "WORKER", ("/bin/echo", '{"event": "failed", "code": "engine.unfit"}'))
    said = examine()
    assert failed(said) == ["worker"] and "engine.unfit" in said.text


def test_a_kernel_that_prevents_nothing(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.node.sandbox.probe", lambda *_, **__: {"landlock": 0, "filter": False})
    said = examine("zh")
    assert failed(said) == ["sandbox"] and "reads_no_keys" in said.text and "Landlock" in said.text


def test_a_proxy_that_is_not_there(examine: Examine, home: Path) -> None:
    config.save(config.Config(**{**config.load(home).__dict__, "proxy": "http://127.0.0.1:1"}))
    assert failed(examine()) == ["proxy"]


def test_a_proxy_that_asks_for_a_password(examine: Examine, home: Path) -> None:
    heard = []

    def answer() -> None:
        for status in (b"407 Proxy Authentication Required", b"200 Connection established"):
            line, _ = server.accept()
            line.settimeout(10)
            with line:
                heard.append(line.recv(4096))
                line.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        config.save(config.Config(**{**config.load(home).__dict__, "proxy": address}))
        assert failed(examine()) == ["proxy"]
        config.write_private(home / "proxy.password", "node:s3:cret/\n")
        assert failed(examine()) == []
        thread.join(10)
    assert b"Authorization" not in heard[0]
    assert b"Proxy-Authorization: Basic " + b64encode(b"node:s3:cret/") in heard[1]


def test_a_password_that_others_read_is_refused(home: Path) -> None:
    known = replace(config.load(home), proxy="http://proxy:3128")
    config.write_private(home / "proxy.password", "node:s3:cret/\n")
    assert known.proxy_address() == "http://node:s3%3Acret%2F@proxy:3128"
    (home / "proxy.password").chmod(0o640)
    with pytest.raises(Unfit, match="chmod 600"):
        known.proxy_address()
    config.save(replace(known, proxy="http://node:secret@proxy:3128"))
    with pytest.raises(Unfit, match=r"proxy\.password"):
        config.load(home)


def test_nothing_is_left_behind(examine: Examine, home: Path) -> None:
    before = sorted(path.name for path in home.iterdir())
    examine()
    assert sorted(path.name for path in home.iterdir() if path.name != "scratch") == [
        name for name in before if name != "scratch"] and os.listdir(home / "scratch") == []
