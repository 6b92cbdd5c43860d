"""An order is read strictly, and refused before anything is opened; any difference is another computation."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import to_b64
from mpc.catalog import CATALOG
from mpc.errors import MpcError, SpecRefused
from mpc.party import agreement, evened, keys_of, plan_of
from mpc.transport.identity import Place, SessionIdentity
from mpc.wire import parse_order


def identity(seat: int) -> SessionIdentity:
    return SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place("11" * 32, 1, seat), now=datetime.now(UTC))


OWN = identity(1)
RELAY = {"url": "wss://relay.example", "token": "t", "proxy": None}
SEX = {"name": "sex", "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": ["F", "M"]}
COLUMNS = [SEX, SEX | {"name": "grade", "codes": ["0", "1"]},
           {"name": "age", "kind": "number", "unit": None, "min": "0", "max": "120", "step": "1", "codes": None}]


def order(**changed: Any) -> dict[str, Any]:
    made = {
        "role": "party", "space": "s", "seat": 1, "parties": 3, "job_hash": "11" * 32, "attempt": 1,
        "session": "22" * 32,
        "peers": [{"seat": seat, "participant": f"p{seat}",
                   "certificate": to_b64(OWN.certificate), "exchange": OWN.exchange.hex()} for seat in range(4)],
        "own": {"certificate": to_b64(OWN.certificate), "private_key": to_b64(OWN.private_key),
                "exchange_private": OWN.exchange_private.hex()},
        "relay": RELAY, "deadline": 2_000_000_000, "function": "crosstab@1",
        "parameters": {"rows": "sex", "columns": "grade"}, "columns": COLUMNS, "rows_max_total": 100, "floor": 10,
        "data": {"path": "a.csv", "kind": "csv", "fingerprint_check": None},
        "recipient": {"participant": "c", "sealing": "33" * 32}, "sender": "p1",
    }
    return deepcopy(made) | changed


def read(**changed: Any) -> Any:
    return parse_order(json.dumps(order(**changed)))


def test_it_works() -> None:
    parsed = read()
    assert sorted(parsed.peers) == [0, 2, 3]
    assert parsed.dealer == 3
    assert len(plan_of(parsed).cells) == 6
    assert read(role="dealer", seat=3, data=None).data is None
    assert parsed.dials == (("relay.example", 443),)
    assert read(relay=RELAY | {"proxy": "http://proxy.example:3128"}).dials == (("proxy.example", 3128),)
    pairs, dealt = keys_of(parsed)
    assert (pairs.seat, sorted(dealt)) == (1, [3])


def test_the_key_of_fingerprints_is_in_no_text() -> None:
    data = {"path": "a.csv", "kind": "csv", "fingerprint_check": {"key": "5e" * 32, "expected": "11" * 32}}
    assert read(data=data).data.check["key"] == "5e" * 32 and "5e" * 32 not in repr(read(data=data).data)


def test_parties_and_dealer_agree_on_keys() -> None:
    people = [identity(seat) for seat in range(4)]
    peers = [{"seat": seat, "participant": "p", "certificate": to_b64(one.certificate),
              "exchange": one.exchange.hex()} for seat, one in enumerate(people)]
    own = [{"certificate": to_b64(one.certificate), "private_key": to_b64(one.private_key),
            "exchange_private": one.exchange_private.hex()} for one in people]
    party, dealt = keys_of(read(peers=peers, own=own[1]))
    _, dealing = keys_of(read(peers=peers, own=own[3], role="dealer", seat=3, data=None))
    assert sorted(dealing) == [0, 1, 2]
    assert dealing[1] == dealt[3]
    other, _ = keys_of(read(peers=peers, own=own[0], seat=0))
    assert party.derive(0, "x") == other.derive(1, "x") != party.derive(2, "x")


@pytest.mark.parametrize("change", [
    {"seat": 7}, {"surplus": 1}, {"session": "22"}, {"role": "boss"}, {"parties": 2}, {"role": "dealer"},
    {"peers": []}, {"peers": order()["peers"][:3]}, {"peers": [order()["peers"][0]] * 4}, {"own": {}}, {"data": None},
    {"data": {"path": "a", "kind": "csv", "more": 1}}, {"data": {"path": "a", "kind": "csv", "unlisted_as_missing": 1}},
    {"data": {"path": "a", "kind": "csv", "fingerprint_check": {"key": "zz", "expected": "11" * 32}}},
    {"floor": 0}, {"floor": True}, {"floor": "10"}, {"rows_max_total": 0}, {"function": 3}, {"function": {"name": "x"}},
    {"columns": {}}, {"recipient": {"participant": "c"}}, {"deadline": "soon"}, {"relay": None},
    {"relay": {"url": "wss://relay.example", "token": "t"}}, {"relay": RELAY | {"url": "https://relay.example"}},
    {"relay": RELAY | {"url": "wss://"}}, {"relay": RELAY | {"url": "wss://relay.example:0"}},
    {"relay": RELAY | {"url": "wss://relay.example:x"}}, {"relay": RELAY | {"token": ""}},
    {"relay": RELAY | {"proxy": "socks5://proxy.example"}},
])
def test_a_malformed_order_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SpecRefused) as refused:
        read(**change)
    assert refused.value.code == "spec.malformed"


@pytest.mark.parametrize("line", ["", "[]", "null", "{}", '{"role": "party", "role": "party"}', "[" * 2000])
def test_what_is_no_order_is_refused(line: str) -> None:
    with pytest.raises(SpecRefused):
        parse_order(line)


@pytest.mark.parametrize(("change", "code"), [
    ({"floor": 1}, "disclosure.floor"), ({"parameters": {"rows": "age", "columns": "sex"}}, "parameters.invalid"),
    ({"function": "median@1"}, "spec.function_digest"), ({"rows_max_total": 2**47}, "encoding.range"),
    ({"function": {"name": "crosstab", "version": 1, "digest": "00" * 32}}, "spec.function_digest"),
])
def test_an_order_that_may_not_be_worked_on_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(MpcError) as refused:
        plan_of(read(**change))
    assert refused.value.code == code


def test_the_digest_of_the_spec_may_be_named() -> None:
    digest = CATALOG["crosstab@1"].digest
    assert plan_of(read(function={"name": "crosstab", "version": 1, "digest": digest})).parties == 3


def test_code_that_is_not_what_the_catalogue_names_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.party.digest_of", lambda key: "00" * 32)
    with pytest.raises(MpcError) as refused:
        plan_of(read())
    assert refused.value.code == "spec.function_digest"


def test_any_difference_is_another_computation() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"rows_max_total": 101}, {"space": "t"}, {"job_hash": "12" * 32}, {"function": "describe@1", "parameters": {
            "columns": ["age"], "by": "sex"}}, {"parameters": {"rows": "grade", "columns": "sex"}},
        {"columns": [SEX | {"codes": ["M", "F"]}, *COLUMNS[1:]]},
        {"recipient": {"participant": "d", "sealing": "33" * 32}},
        {"recipient": {"participant": "c", "sealing": "34" * 32}},
    ]
    found = [agreement(read(**change), plan_of(read(**change))) for change in changes]
    assert len(set(found)) == len(changes)
    assert agreement(read(seat=0), plan_of(read(seat=0))) == found[0]
    dealer = read(role="dealer", seat=3, data=None, floor=20)
    assert agreement(dealer, plan_of(dealer)) == found[0]


def test_another_engine_is_another_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two versions of the gate each would take the other's messages for an attack."""
    order = read()
    ours = agreement(order, plan_of(order))
    monkeypatch.setattr("mpc.party.engine_digest", lambda: "00" * 32)
    assert agreement(order, plan_of(order)) != ours


@pytest.mark.parametrize(("spent", "full"), [
    (0.0, 0.25), (0.01, 0.25), (0.25, 0.25), (0.26, 0.5), (0.9, 1.0), (3.0, 4.0), (4.1, 5.0), (5.0, 5.0), (5.1, 10.0),
    (8.0, 10.0), (9.0, 10.0), (10.9, 15.0), (600.0, 600.0), (600.1, 605.0)])
def test_counting_takes_a_round_time(spent: float, full: float) -> None:
    """Or the peers could tell from it how many rows there are; and nobody waits five seconds more."""
    assert evened(spent) == full
