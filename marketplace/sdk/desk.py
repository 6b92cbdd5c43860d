"""What the people of an office or a hospital do, for scripts: with the key files that `space.json` names.

For set-up, tests and examples, where one machine holds everybody's keys. In a space that is real each of these acts is
done on its own organisation's machine with `xinglin-node`; both go through `ledger.acts`, which verifies what it signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger import acts
from ledger.door import Door
from ledger.keys import EthKey, KeyFile
from ledger.trust import load_trust
from marketplace.sdk.client import our_errors
from marketplace.sdk.config import SpaceFile, read_space_file
from marketplace.sdk.errors import ConfigurationError
from marketplace.sdk.records import ChainRecords
from mpc.catalog import CATALOG

Document = dict[str, Any]
DIGESTS = {key: entry.digest for key, entry in CATALOG.items()}


class Desk:
    """The acts of one organisation: `Desk(None, "regulator")`, `Desk(None, "cleveland")`."""

    def __init__(self, space_json: str | Path | SpaceFile | None, role: str) -> None:
        file = space_json if isinstance(space_json, SpaceFile) else read_space_file(space_json)
        self.seat = file.seat(role)
        try:
            with our_errors():
                self.trust = load_trust(file.trust, fingerprint=file.fingerprint)
                self.keys = KeyFile.load(self.seat.key_file)
                approver = KeyFile.load(self.seat.approver_file) if self.seat.approver_file else self.keys
        except OSError as error:
            raise ConfigurationError(str(error), code="config.file") from error
        self._approval = approver.approval
        door = Door(file.portal, self.keys.participant, self.keys.signing)
        self.door: acts.DoorLike = acts.CheckedDoor(door, ChainRecords(self.trust, file.rpc)) if file.rpc else door

    # -- hospitals -------------------------------------------------------------------------------------------------

    def offer_product(self, *, title: Mapping[str, str], summary: Mapping[str, str], datasets: Sequence[str],
                      functions: Sequence[str] = ("describe@1", "crosstab@1"),
                      price: Mapping[str, Any] | None = None) -> str:
        """Draft a data product as its lead; answers its id. The other providers must confirm."""
        with our_errors():
            wire = acts.offer_product(
                self.door, self.keys, self.trust, title=title, summary=summary, dataset_ids=list(datasets),
                functions=list(functions), price=dict(price or {"amount": 0, "currency": "CNY"}),
            )
        return str(wire["document"]["id"])

    def confirm(self, product_id: str) -> Document:
        """Agree that our dataset is sold in this product."""
        with our_errors():
            return acts.confirm_product(self.door, self.keys, self.trust, product_id)

    def submit(self, product_id: str) -> None:
        """Hand the product to the regulator, once all have confirmed."""
        with our_errors():
            acts.submit_product(self.door, product_id)

    def consent(self, grant_id: str) -> Document:
        """Consent as the custodian, naming our node's service key."""
        service = self.keys.service
        if service is None:
            raise ConfigurationError(f"{self.seat.key_file} has no service key", code="config.key")
        with our_errors():
            return acts.consent_grant(self.door, self.trust, grant_id, approver=self._approver(),
                                      service=service.address)

    def consent_all(self, scenario_id: str) -> list[str]:
        """Consent to every grant of a scenario that waits for us; answers their ids."""
        with our_errors():
            rows = self.door.get("/grants", {"scenario": scenario_id})
        found = rows.get("items", []) if isinstance(rows, dict) else rows
        ours = [
            row["id"]
            for row in found
            if row["terms"]["scenario"] == scenario_id
            and row["terms"]["custodian"] == self.keys.participant
            and row["state"] == "submitted"
        ]
        for grant_id in ours:
            self.consent(grant_id)
        return ours

    # -- regulator -------------------------------------------------------------------------------------------------

    def list_product(self, product_id: str, *, decision: str = "list", note: str = "") -> Document:
        """Approve the listing of a product; or `delist`, or `return` it."""
        with our_errors():
            return acts.decide_listing(self.door, self.keys, self.trust, product_id, decision=decision, note=note)

    def approve_scenario(self, scenario_id: str, *, note: str = "") -> Document:
        """Approve a scenario and sign the terms of one grant for each of its datasets."""
        return self._decide(scenario_id, "approve", note)

    def return_scenario(self, scenario_id: str, *, note: str) -> Document:
        return self._decide(scenario_id, "return", note)

    def reject_scenario(self, scenario_id: str, *, note: str) -> Document:
        return self._decide(scenario_id, "reject", note)

    def _decide(self, scenario_id: str, decision: str, note: str) -> Document:
        with our_errors():
            return acts.decide_scenario(self.door, self.keys, self.trust, scenario_id, decision=decision, note=note,
                                        digests=DIGESTS, approver=self._approval)

    def suspend_participant(self, participant_id: str, *, suspended: bool = True) -> Document:
        """Suspend a participant; or, with `suspended=False`, let it act again."""
        with our_errors():
            return acts.suspend_participant(self.door, self.keys, self.trust, participant_id, suspended=suspended,
                                            approver=self._approver())

    # -- both ------------------------------------------------------------------------------------------------------

    def revoke(self, grant_id: str, *, reason: str) -> Document:
        """Revoke a grant; final wherever the revocation is seen. See `delivered` for whether the portal took it."""
        with our_errors():
            return acts.revoke_grant(self.door, self.trust, grant_id, approver=self._approver(), reason=reason)

    def suspend_grant(self, grant_id: str, *, suspended: bool = True) -> Document:
        """Hold a grant, as the regulator or as its custodian; or, with `suspended=False`, let go of it."""
        with our_errors():
            return acts.suspend_grant(self.door, self.trust, grant_id, approver=self._approver(), suspended=suspended)

    def cancel_approval(self, grant_id: str) -> Document:
        """Take back an approval or consent of our own that nobody registered yet."""
        with our_errors():
            return acts.cancel_approval(self.door, self.trust, grant_id, approver=self._approver())

    def _approver(self) -> EthKey:
        if self._approval is None:
            raise ConfigurationError(f"no approval key for {self.seat.name}", code="config.key")
        return self._approval
