"""The recipes of `deploy/chain`, held against the code that would meet them: nothing of Besu itself is run here."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.chain.qbft.make_genesis import genesis
from ledger import abi
from ledger.chainproof import decode
from ledger.profiles import PROFILES, Fee, Finality

ADDRESSES = ["0x" + f"{number:02x}" * 20 for number in (9, 3, 7, 5)]
LARGEST_CODE = 24_576  # EIP-170


@pytest.fixture
def recipe(root: Path) -> Path:
    return root / "deploy" / "chain" / "qbft"


@pytest.fixture
def compose(recipe: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((recipe / "compose.yaml").read_text()))


def config(recipe: Path) -> dict[str, Any]:
    return tomllib.loads((recipe / "config.toml").read_text())


def test_the_genesis_is_the_profiles(recipe: Path, root: Path) -> None:
    made: Any = genesis(20261122, ADDRESSES, now=1_795_332_000)
    extra: Any = decode(bytes.fromhex(made["extraData"][2:]))
    vanity, validators, vote, round, seals = extra
    assert (len(vanity), vote, round, seals) == (32, [], b"", [])
    assert ["0x" + one.hex() for one in validators] == sorted(ADDRESSES)
    kind = PROFILES["qbft"]
    assert (kind.finality, kind.fee, kind.gas_price, kind.sealed_headers) == (Finality.INSTANT, Fee.ZERO, 0, True)
    assert made["config"]["zeroBaseFee"] is True
    assert config(recipe)["min-gas-price"] == 0
    artifact = json.loads((root / "ledger/contracts/artifact.json").read_text())
    assert f"{artifact['settings']['evmVersion']}Block" in made["config"]
    assert int(made["gasLimit"], 16) >= 4 * max(abi.DEPLOY_GAS, abi.CALL_GAS)
    assert all(len(one["deployedBytecode"]) // 2 - 1 <= LARGEST_CODE for one in artifact["contracts"].values())
    for few in (ADDRESSES[:3], [*ADDRESSES[:3], ADDRESSES[0]], [*ADDRESSES, "0x12"]):
        with pytest.raises(ValueError, match="validator"):
            genesis(1, few, now=0)


def test_validators_offer_what_our_door_asks_for_and_no_more(recipe: Path, compose: dict[str, Any]) -> None:
    known = config(recipe)
    assert set(known["rpc-http-api"]) == {"ETH", "NET", "WEB3"}
    assert "--rpc-http-host=0.0.0.0" in compose["x-validator"]["command"]
    validators = {name: one for name, one in compose["services"].items() if name.startswith("validator")}
    assert len(validators) == 4
    published: list[str] = []
    for one in validators.values():
        mounts = [mount.split(":")[1] for mount in one["volumes"]]
        assert {known["genesis-file"], known["static-nodes-file"], known["data-path"]} <= set(mounts)
        published += one["ports"]
    assert len(set(published)) == len(published) == 7
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert sum(port.endswith(f":{known['rpc-http-port']}") for port in published) == 4


def test_each_witness_asks_its_own_organisations_validator(recipe: Path, compose: dict[str, Any]) -> None:
    services = compose["services"]
    witnesses = {name: one for name, one in services.items() if name.startswith("witness")}
    assert len(witnesses) == 3
    for name, one in witnesses.items():
        number = name.removeprefix("witness")
        assert one["network_mode"] == f"service:validator{number}"
        assert f"127.0.0.1:748{number}:7480" in services[f"validator{number}"]["ports"]
        assert one["volumes"] == [f"./witnesses/{number}:/srv/witness"]
        assert one["entrypoint"] == ["python", "-m", "ledger", "witness", "--home", "/srv/witness"]
    assert "127.0.0.1" in config(recipe)["host-allowlist"], "the witness's way in"
    assert "--rpc http://127.0.0.1:8545" in (recipe / "RUNBOOK.md").read_text()
