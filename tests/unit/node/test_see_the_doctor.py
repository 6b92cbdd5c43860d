"""The doctor: everything well is OK, each thing that is not has its line, its mend and a status; in both languages."""

import json
import os
import re
import shutil
import socket
import sqlite3
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx
import pytest

from mpc.node import config, console, doctor, reach, wayout
from mpc.node.book import Book, Dataset
from mpc.node.console import Said
from mpc.node.data import fingerprint
from mpc.node.errors import Unfit
from mpc.node.words import LANGUAGES, MENDS, say
from mpc.wire import PORTS
from tests.simulators.node_world import ChainInMemory, World
from tests.simulators.relay_at_hand import RelayAtHand
from tests.simulators.tls_at_hand import TlsAtHand

SENTENCE = re.compile(r"(?:\b[a-z]{2,} ){2}[a-z]+")  # three English words in a row


@dataclass(frozen=True)
class Examine:
    """The examination of a home, with a portal and a chain in memory unless others are given."""

    home: Path
    chain: ChainInMemory

    def __call__(self, language: str = "en", **parts: Any) -> Said:
        with console.room(self.home, language) as here:
            return doctor.examine(here, **{"http": portal(), "chain": lambda _, trust: self.chain, **parts})


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
    """The worker is any program that says it is ready. The sandbox is tried for real in test_confine_workers."""
    monkeypatch.setattr("mpc.node.sandbox.probe", lambda *_, **__: dict.fromkeys(doctor.PREVENTED, True))
    monkeypatch.setattr(doctor, "WORKER", ("/bin/echo", '{"ready": true}'))
    return Examine(home, ChainInMemory())


def failed(said: Said) -> list[str]:
    found: list[str] = said.body["failed"]
    assert said.status == (1 if found else 0)
    assert all(one["mend"] for one in said.body["checks"] if one["ok"] is False)
    return found


def one(said: Said, check: str) -> dict[str, Any]:
    return next(one for one in said.body["checks"] if one["check"] == check)


def mend(said: Said, check: str) -> str:
    return str(one(said, check)["mend"])


def unchecked(said: Said) -> dict[str, str]:
    return {one["check"]: one["seen"] for one in said.body["checks"] if "not checked" in one["seen"]}


def mended(key: str, language: str = "en", **values: object) -> str:
    return say(MENDS, key, language, **values)


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


@pytest.fixture
def reachable(examine: Examine, home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """The examination with the portal dialled for real, at this address; the relay is not the question."""
    monkeypatch.setattr("mpc.node.sandbox.dial", lambda *_, urls, **__: dict.fromkeys(urls, doctor.KNOCKED))

    def look(address: str, language: str = "en") -> Said:
        change(home, portal=address)
        return examine(language, http=httpx.get)
    return look


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_certificate_that_this_machine_does_not_know(reachable: Callable[..., Said], tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """A hospital's proxy that opens TLS signs with its own authority: that belongs into the machine's store."""
    tls = TlsAtHand(tmp_path)
    with tls.serve() as address:
        said = reachable(address, language)
        assert failed(said) == ["portal"] and mend(said, "portal") == mended("portal_authority", language)
        assert "update-ca-certificates" in said.text and one(said, "clock")["ok"] is None
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
        assert failed(reachable(address, language)) == []


@pytest.mark.parametrize(("shown", "key"), [
    ({"ends": -1}, "portal_expired"), ({"begins": 1}, "portal_expired"),
    ({"subject": "portal.example"}, "portal_name")])
def test_a_certificate_out_of_its_time_or_of_another(reachable: Callable[..., Said], tmp_path: Path, key: str,
                                                     monkeypatch: pytest.MonkeyPatch, shown: dict[str, Any]) -> None:
    tls = TlsAtHand(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    with tls.serve(**shown) as address:
        said = reachable(address)
    assert failed(said) == ["portal"] and mend(said, "portal") == mended(key, host="localhost")


def test_a_portal_whose_port_is_closed(reachable: Callable[..., Said]) -> None:
    """Host and port are what the network's people need."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = reachable(f"https://127.0.0.1:{port}")
    assert failed(said) == ["portal"] and "ECONNREFUSED" in said.text
    assert mend(said, "portal") == mended("portal_closed", host="127.0.0.1", port=port)
    assert unchecked(said) == {"clock": "not checked: mend “portal, connection and TLS” first, then run doctor again"}


@pytest.mark.parametrize(("status", "key"), [(503, "portal_ill"), (500, "portal_ill"), (404, "portal_other")])
def test_a_portal_that_answers_badly(reachable: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     status: int, key: str) -> None:
    tls = TlsAtHand(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    with tls.serve(status=status) as address:
        said = reachable(address)
    assert failed(said) == ["portal"] and str(status) in one(said, "portal")["seen"]
    assert mend(said, "portal") == mended(key, host="localhost", port=address.rpartition(":")[2])
    assert one(said, "clock")["ok"], "an ill portal tells the time as well"


def test_a_way_that_is_cut_where_tls_begins(reachable: Callable[..., Said]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        cutting = threading.Thread(target=hang_up, args=(server,), daemon=True)
        cutting.start()
        port = server.getsockname()[1]
        said = reachable(f"https://127.0.0.1:{port}")
        cutting.join(10)
    assert failed(said) == ["portal"] and mend(said, "portal") == mended("portal_cut", host="127.0.0.1", port=port)


@pytest.mark.parametrize(("error", "key"), [
    (httpx.ConnectTimeout(""), "portal_closed"), (httpx.ReadTimeout(""), "portal_cut"),
    (httpx.RemoteProtocolError(""), "portal_cut"), (httpx.UnsupportedProtocol(""), "portal"),
    (httpx.ProxyError("407 Proxy Authentication Required"), "proxy_password"),
    (httpx.ProxyError("403 Forbidden"), "proxy_refuses"), (httpx.InvalidURL(""), "portal")])
def test_each_way_of_not_answering_has_its_mend(examine: Examine, home: Path, error: Exception, key: str) -> None:
    def away(url: str, **_: Any) -> Any:
        raise error
    said = examine(http=away)
    assert failed(said) == ["portal"]
    assert mend(said, "portal") == mended(key, host="127.0.0.1", port=1, file=home / "proxy.password")


def test_a_proxy_of_the_environment_that_is_not_there(examine: Examine, home: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
    change(home, portal="https://portal.example", relay="ws://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{place}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("mpc.node.sandbox.dial", lambda *_, urls, **__: dict.fromkeys(urls, doctor.KNOCKED))
    said = examine(http=httpx.get)
    assert failed(said) == ["portal"] and mend(said, "portal") == mended("proxy", place=place)


def test_a_portal_without_tls_on_another_machine(examine: Examine, home: Path) -> None:
    config.save(config.Config(**{**config.load(home).__dict__, "portal": "http://portal.invalid"}))
    said = examine()
    assert "portal" in failed(said) and "https://" in mend(said, "portal")


def test_a_clock_that_is_off(examine: Examine) -> None:
    for behind in (-300, 27, 300):
        assert failed(examine(http=portal(behind=behind))) == ["clock"]


def test_a_clock_that_nobody_tells_is_not_called_right(examine: Examine) -> None:
    def dateless(url: str, **_: Any) -> Any:
        return SimpleNamespace(status_code=200, headers={})
    said = examine(http=dateless)
    assert failed(said) == [] and next(one for one in said.body["checks"] if one["check"] == "clock")["ok"] is None


@pytest.mark.parametrize("stamp", ["yesterday", "Fri, 31 Dec 9999 23:59:59 -2300", "Mon, 01 Jan 2026 99:00:00 GMT",
                                   "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "\u0663"])
def test_a_time_that_nobody_can_read_is_no_time(examine: Examine, stamp: str) -> None:
    """The portal is reached; nothing else is wrong with it."""
    def odd(url: str, **_: Any) -> Any:
        return SimpleNamespace(status_code=200, headers={"date": stamp})
    said = examine(http=odd)
    assert failed(said) == [] and one(said, "portal")["ok"]
    assert one(said, "clock") == {"check": "clock", "ok": None, "seen": "the portal tells no time", "mend": None}


def test_a_clock_behind_the_chain(examine: Examine) -> None:
    """The chain is well; it is this machine that is not."""
    vars(examine.chain).update(age=-90)
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


def hang_up(server: socket.socket) -> None:
    server.settimeout(60)
    server.accept()[0].close()


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
    said = examine()
    assert failed(said) == ["trust"] and "adopt-trust" in mend(said, "trust")
    assert unchecked(said) == {"chain": "not checked: mend “trust file” first, then run doctor again"}


def test_a_trust_file_that_is_lost(examine: Examine, home: Path) -> None:
    (home / "trust.json").unlink()
    for _ in range(2):
        said = examine()
        assert failed(said) == ["trust"] and str(home / "trust.json") in mend(said, "trust")
        assert list(unchecked(said)) == ["chain"]
        config.write_private(home / "trust.json", "{")


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_keys_that_are_lost_come_from_the_backup(examine: Examine, home: Path, text: str | None) -> None:
    (home / "keys.json").unlink()
    if text:
        config.write_private(home / "keys.json", text)
    said = examine()
    assert failed(said) == ["keys"] and mend(said, "keys") == mended("keys_lost", file=home / "keys.json")
    assert not unchecked(said)


def test_what_needs_the_lost_fingerprint_key_is_not_called_wrong(examine: Examine, home: Path) -> None:
    (home / "fingerprint.key").unlink()
    said = examine()
    assert failed(said) == ["keys"] and str(home / "fingerprint.key") in mend(said, "keys")
    assert list(unchecked(said)) == ["policy", "datasets"]


def test_a_damaged_book_is_named_by_whoever_meets_it(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise sqlite3.DatabaseError("file is not a database")
    monkeypatch.setattr(Book, "datasets", broken)
    said = examine()
    assert failed(said) == ["datasets"] and mend(said, "datasets") == mended("book")


def test_in_chinese_nothing_is_said_in_english(examine: Examine, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for names, figures and codes. A node on which almost nothing is well, and one on which all is."""
    assert not SENTENCE.findall(examine("zh").text)
    (home / "policy.toml").write_text("surprise = 1")
    (home / "audit.jsonl").write_text("{}\n")
    (home / "data" / "heart.csv").unlink()
    (home / "keys.json").unlink()
    change(home, relay="ws://relay.invalid:1", proxy="http://127.0.0.1:1", portal="https://portal.invalid")
    vars(examine.chain).update(unavailable="chain.disagree")
    monkeypatch.setattr("mpc.node.sandbox.dial", lambda *_, urls, **__: dict.fromkeys(urls, "the relay answers 500"))
    for _ in range(2):
        said = examine("zh", http=httpx.get)
        assert len(failed(said)) >= 5
        assert [one for one in said.body["checks"] if SENTENCE.search(one["seen"])] == []
        change(home, proxy="")
        (home / "trust.json").unlink(missing_ok=True)


def test_a_check_that_faints_in_a_new_way_still_has_words(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError(28, "No space left on device"), ValueError("{odd} text"), Unfit("some.code", "why {so}")):
        def faint(*_: Any, error: Exception = error) -> Any:
            raise error
        monkeypatch.setattr(shutil, "disk_usage", faint)
        assert failed(examine()) == ["disk"]
        assert not SENTENCE.search(one(examine("zh"), "disk")["seen"])


@pytest.mark.parametrize(("change", "seen"), [({"unavailable": "chain.disagree"}, "chain.disagree"),
                                              ({"age": 600}, "chain.stale_head")])
def test_a_chain_that_cannot_be_believed(examine: Examine, change: dict[str, Any], seen: str) -> None:
    vars(examine.chain).update(change)
    said = examine()
    assert failed(said) == ["chain"] and seen in said.text


def test_a_broken_policy(examine: Examine, home: Path) -> None:
    (home / "policy.toml").write_text("surprise = 1")
    said = examine()
    assert failed(said) == ["policy"] and "line 1" in said.text


def test_a_policy_that_lacks_its_zone_is_not_called_unreadable(examine: Examine, home: Path) -> None:
    rule = '[[rule]]\ncustomers = ["*"]\nfunctions = ["describe"]\ndecision = "auto"\n'
    for name, line in (("hours", 'hours = "08:00-18:00"'), ("days", 'days = ["mon"]'), ("per_day", "per_day = 3")):
        (home / "policy.toml").write_text(f"{rule}{line}\n")
        said = examine("zh")
        assert failed(said) == ["policy"] and "不能读" not in (seen := one(said, "policy")["seen"])
        assert all(word in seen for word in ("第 5 行", name, 'zone = "Asia/Shanghai"', "拒绝一切"))
        assert f"line 5: {name} needs a zone" in one(examine("en"), "policy")["seen"]
    (home / "policy.toml").write_text('surprise = "hours needs a zone"')
    assert "第 1 行不能读" in one(examine("zh"), "policy")["seen"]


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
    said = examine()
    assert failed(said) == ["proxy"] and mend(said, "proxy") == mended("proxy", place="127.0.0.1:1")
    assert list(unchecked(said)) == ["dns", "portal", "clock", "relay", "chain"]


def test_a_proxy_whose_password_others_may_read(examine: Examine, home: Path) -> None:
    change(home, proxy="http://127.0.0.1:1")
    config.write_private(home / "proxy.password", "node:s3:cret/\n")
    (home / "proxy.password").chmod(0o640)
    said = examine()
    assert failed(said) == ["proxy", "keys"] and f"chmod 600 {home / 'proxy.password'}" in mend(said, "proxy")


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_mend_can_be_said_whatever_its_check_died_of(home: Path, language: str) -> None:
    for address in ("https://portal.example", "https://[::1", "https://portal.example:99999", ""):
        change(home, portal=address)
        with console.room(home) as here:
            known = doctor._values(doctor.Patient(here))
        assert all(say(MENDS, key, language, **known) for key in MENDS)


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
        said = examine()
        assert failed(said) == ["proxy"]
        assert mend(said, "proxy") == mended("proxy_password", file=home / "proxy.password")
        config.write_private(home / "proxy.password", "node:s3:cret/\n")
        assert failed(examine()) == []
        thread.join(10)
    assert b"Authorization" not in heard[0]
    assert b"Proxy-Authorization: Basic " + b64encode(b"node:s3:cret/") in heard[1]


@pytest.mark.parametrize(("answer", "status"), [
    (b"HTTP/1.1 200 Connection established\r\n\r\n", "200"), (b"HTTP/1.0 407\r\n\r\n", "407"),
    (b"HTTP/1.1 \x1bc\r\n\r\n", ""), (b"HTTP/1.1 \x9b2J\r\n\r\n", ""), (b"HTTP/1.1 2000 OK\r\n\r\n", ""),
    (b"HTTP/1.1 20\r\n\r\n", ""), (b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", ""), (b"SSH-2.0-x 200 y\r\n", ""), (b"", "")])
def test_a_status_is_three_digits_or_none(examine: Examine, home: Path, answer: bytes, status: str) -> None:
    with proxy_that_says(answer) as there:
        assert wayout.ask_proxy(there, "portal.example:443", urlsplit("http://proxy")) == status
    with proxy_that_says(answer) as there:
        change(home, proxy=f"http://{there[0]}:{there[1]}")
        found = one(examine(), "proxy")
    assert found["ok"] if status == "200" else found["seen"].endswith(f"answers {status or '?'}")


@contextmanager
def proxy_that_says(answer: bytes) -> Iterator[tuple[str, int]]:
    """One that answers once."""
    def serve() -> None:
        line, _ = server.accept()
        line.settimeout(10)
        with line:
            line.recv(4096)
            line.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()
        thread.join(10)


@pytest.mark.parametrize("seen", ["\x1bc", "\x9b2J", "\u202egnp", "one\r\nOK    keys: 600"])
def test_nothing_that_others_say_moves_the_cursor_or_draws_a_line(examine: Examine, home: Path, seen: str,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """The portal's, the relay's and the chain's words, and those of an error."""
    def away(url: str, **_: Any) -> Any:
        raise httpx.UnsupportedProtocol(seen)

    def broken(*_: Any) -> Any:
        raise ValueError(seen)
    lines = len(examine().text.splitlines())
    change(home, relay="ws://127.0.0.1:1")
    monkeypatch.setattr("mpc.node.sandbox.dial", lambda *_, urls, **__: dict.fromkeys(urls, seen))
    monkeypatch.setattr(examine.chain, "check_contracts", broken)
    for language in LANGUAGES:
        said = examine(language, http=away)
        assert failed(said) == ["portal", "relay", "chain"]
        assert len(said.text.split("\n")) == lines + 3, "three mends, and no other line"
        assert all(one.isprintable() for one in said.text.split("\n"))
        assert all(one["seen"].isprintable() for one in said.body["checks"])


@pytest.mark.parametrize(("address", "port"), [("http://proxy.example", 80), ("http://proxy.example:3128", 3128)])
def test_the_proxy_is_asked_at_the_port_that_the_worker_dials(examine: Examine, home: Path, address: str, port: int,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(there: tuple[str, int], aim: str, proxy: SplitResult) -> str:
        asked.append(there)
        return "403"
    monkeypatch.setattr(wayout, "ask_proxy", ask)
    change(home, proxy=address)
    said = examine()
    assert asked == [("proxy.example", port)] and f"proxy.example:{port} " in one(said, "proxy")["seen"]
    assert PORTS["http"] == 80 and {scheme: wayout.place(f"{scheme}://host")["port"] for scheme in PORTS} == PORTS


@pytest.mark.parametrize("address", ["http://proxy:99999", "proxy:3128", "http://[::1"])
def test_an_address_that_is_no_proxys(examine: Examine, home: Path, address: str) -> None:
    change(home, proxy=address)
    said = examine()
    assert failed(said) == ["proxy"] and mend(said, "proxy") == mended("proxy", place=address)


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
