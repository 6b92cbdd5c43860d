"""The acts of the people of one home, done with the keys that lie there: apply, admit, register, consent, revoke.

Each goes through `ledger.acts`, which verifies what it signs; what is added here is the home (its keys, its files, its
book) and the ways round the portal: a revocation is handed to the chain and to other nodes' inboxes directly.
Every function answers a plain dict, which the command line prints as JSON.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import acts
from ledger.approval import grant_chain_id
from ledger.chain import Chain
from ledger.documents import canonical, document_hash, new_id, public_hex, sign, verify_signed
from ledger.door import Door
from ledger.errors import ChainUnavailable, LedgerError, PortalUnavailable, VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from mpc.catalog import CATALOG
from mpc.node import config, data, inbox, reach, sources
from mpc.node.book import Book, Dataset
from mpc.node.config import Config
from mpc.node.errors import Unfit
from mpc.node.policy import DEFAULT_TEXT

ADMITTED_AS = {"provider": ["provider"], "dealer": ["dealer"], "regulator": ["regulator"], "consumer": ["consumer"]}
SLUG = re.compile(r"[^a-z0-9]+")
Answer = dict[str, Any]


def init(home: Path, *, role: str, portal: str, name_zh: str, name_en: str, policy: str = DEFAULT_TEXT) -> Config:
    """A new home with fresh keys; nobody outside has seen any of them. A provider's policy denies everything unless
    another is given."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (home / "config.toml").exists():
        raise Unfit("config.exists", f"{home} already holds a node")
    keys = KeyFile.create(home / "keys.json", service=role == "provider")
    person = KeyFile.create(home / "approver.json", participant=keys.participant, approval=True)
    made = Config(home=home, participant=keys.participant, role=role, portal=portal, name_zh=name_zh, name_en=name_en,
                  approver=person.approval.address if person.approval else "",
                  service=keys.service.address if keys.service else "")
    config.create(made, policy=policy)
    return made


def make_trust_file(home: Path, facts: Mapping[str, Any], out: Path) -> Answer:
    """The regulator's root key (made once, kept offline in life) signs the roots of the space."""
    known = config.load(home)
    keys = KeyFile.load(known.keys)
    root_file = home / "root.json"
    if not root_file.exists():
        KeyFile.create(root_file, participant=keys.participant)
    root: Ed25519PrivateKey = KeyFile.load(root_file).signing
    wire = make_trust(
        root, space_id=facts.get("space_id") or new_id(), name=facts["name"], chain=facts["chain"],
        log_key=facts["log"]["key"], dealer=facts["dealer"],
        regulator={"participant": keys.participant, "signing": keys.signing_public,
                   "sealing": keys.sealing_public, "approvers": [known.approver]})
    config.write_private(out, canonical(wire).decode())
    return {"trust": str(out), "fingerprint": fingerprint_of_root(public_hex(root))}


def adopt_trust(home: Path, trust: Path, fingerprint: str) -> Answer:
    """Believe this trust file from now on; the fingerprint came outside the portal."""
    known = config.load(home)
    verified = load_trust(trust, fingerprint=fingerprint)
    config.write_private(known.trust, trust.read_text())
    config.save(replace(known, fingerprint=verified.fingerprint))
    return {"space": verified.space_id, "serial": verified.serial, "fingerprint": verified.fingerprint}


@dataclass(frozen=True)
class Desk:
    """One home at work: its settings, keys, trust file and door."""

    config: Config
    keys: KeyFile
    door: Door
    trust: Trust | None

    @classmethod
    def open(cls, home: Path) -> "Desk":
        """The desk of this home; the trust file is read when there is one."""
        known = config.load(home)
        keys = KeyFile.load(known.keys)
        trust = load_trust(known.trust, fingerprint=known.fingerprint) if known.fingerprint else None
        return cls(known, keys, reach.door_of(known, keys), trust)

    @property
    def roots(self) -> Trust:
        """The trust file, which most acts need."""
        if self.trust is None:
            raise Unfit("config.no_trust", "no trust file: run adopt-trust first")
        return self.trust

    def approver(self) -> EthKey:
        """The person's approval key."""
        key = KeyFile.load(self.config.approver_keys).approval
        if key is None:
            raise Unfit("config.no_approver", "approver.json holds no approval key")
        return key

    @contextmanager
    def chain(self) -> Iterator[Chain]:
        """The chain of the trust file, asked by ourselves."""
        chain = reach.chain_of(self.config, self.roots)
        try:
            yield chain
        finally:
            chain.close()

    @contextmanager
    def checked(self) -> Iterator[acts.DoorLike]:
        """The door with the chain at hand: a record that it does not hold as current is not believed."""
        with self.chain() as chain:
            yield acts.CheckedDoor(self.door, chain)

    def enrol(self) -> Answer:
        """Apply to the space with our own keys."""
        wire = acts.enrol(self.door, self.keys, self.roots, admitted_as=ADMITTED_AS[self.config.role],
                          name={"zh": self.config.name_zh, "en": self.config.name_en}, approvers=[self.approver()])
        return {"participant": self.config.participant, "fingerprint": acts.fingerprint_of(wire)}

    def admit(self, participant: str, fingerprint: str) -> Answer:
        """Admit an applicant whose fingerprint was confirmed outside the portal."""
        with self.chain() as chain:
            acts.admit(self.door, self.keys, self.roots, participant, fingerprint=fingerprint,
                       approver=self.approver(), chain=chain)
        return {"participant": participant, "state": "admitted"}

    def register(self, file: Path, *, dictionary: Path | None, title_zh: str, title_en: str,
                 accept_draft: bool, version_of: str = "", persons: str = "",
                 one_person_per_row: bool = False) -> Answer:
        """Check the file against its dictionary here and describe it to the space, anew or as the later version of a
        dataset of ours; the rows stay. Who a person is must be said: in the dictionary, or by one of the last two."""
        words = data.with_persons(self._dictionary(file, dictionary, accept_draft), column_name=persons,
                                  per_row=one_person_per_row)
        title, columns = words.title, words.columns
        seen = sources.survey(self.config, file, columns, unlisted_as_missing=words.unlisted_as_missing)
        name = SLUG.sub("-", file.stem.lower()).strip("-") or "dataset"
        title = {"zh": title_zh or title.get("zh") or file.stem, "en": title_en or title.get("en") or file.stem}
        book = Book(self.config.book)
        try:
            known = book.dataset(version_of) if version_of else None
            if version_of and known is None:
                raise Unfit("dataset.unknown", f"no dataset {version_of} is registered here")
            wire = acts.register_dataset(
                self.door, self.keys, name=name, title=title, columns=columns,
                rows_max=data.rows_max(seen.findings.rows), fingerprint=seen.fingerprint,
                one_person_per_row=bool(words.one_person_per_row), former=known.record if known else None)
            record = wire["document"]
            book.put_dataset(Dataset(record["id"], sources.resolved(self.config, file),
                                     sources.kind_of(self.config, file), record))
        finally:
            book.close()
        slow = {"warning": f"the fingerprint took {seen.seconds:.0f} s, and a job makes it again within session_seconds"
                           f" ({self.config.session_seconds}): raise that in config.toml"}
        return {"dataset": record["id"], "hash": document_hash(record), "columns": len(columns),
                "persons": words.identifiers or "rows",
                "cells_counted_as_missing": sum(seen.findings.unlisted.values()),
                **(slow if seen.seconds * 3 > self.config.session_seconds else {})}

    @staticmethod
    def _dictionary(file: Path, dictionary: Path | None, accept_draft: bool) -> data.Dictionary:
        if dictionary is not None:
            return data.read_dictionary(dictionary)
        if not accept_draft:
            raise Unfit("dictionary.missing", "give --dictionary, or look at `draft` and say --accept-draft")
        made = data.drafted(file)
        return data.Dictionary(made.columns, {}, unlisted_as_missing=True, one_person_per_row=None,
                               candidates=tuple(made.candidates))

    def confirm(self, product: str) -> Answer:
        """Agree that our dataset is sold in this product."""
        with self.checked() as door:
            acts.confirm_product(door, self.keys, self.roots, product)
        return {"product": product, "confirmed": True}

    def list_product(self, product: str, decision: str, note: str) -> Answer:
        """List, delist or return a product."""
        with self.checked() as door:
            acts.decide_listing(door, self.keys, self.roots, product, decision=decision, note=note)
        return {"product": product, "decision": decision}

    def decide(self, scenario: str, decision: str, note: str) -> Answer:
        """Decide a scenario; approving signs the terms of every grant."""
        with self.checked() as door:
            body = acts.decide_scenario(
                door, self.keys, self.roots, scenario, decision=decision, note=note,
                digests={key: entry.digest for key, entry in CATALOG.items()}, approver=self.approver())
        return {"scenario": scenario, "decision": decision,
                "grants": [grant["terms"]["id"] for grant in body.get("grants", [])]}

    def consent(self, grant: str) -> Answer:
        """Consent to a grant over our own dataset, as our own book knows it, naming our own service key."""
        book = Book(self.config.book)
        try:
            own = {one.dataset: one.record for one in book.datasets()}
        finally:
            book.close()
        wanted = self.door.get(f"/grants/{grant}")["terms"]["dataset"]
        if wanted not in own:
            raise VerificationError("grant.wrong_dataset", "the grant is about a dataset that is not registered here")
        with self.checked() as door:
            acts.consent_grant(door, self.roots, grant, approver=self.approver(), service=self.config.service,
                               dataset=own[wanted])
        return {"grant": grant, "consented": True}

    def revoke(self, grant: str, reason: str, *, homes: Sequence[Path], portal: bool, chain: bool,
               terms: Mapping[str, Any] | None = None) -> Answer:
        """Revoke: by the portal, by our own transaction on chain, and by file to the dealer and to ourselves."""
        door: Any = self.door if portal else _Deaf(self.door)
        done = acts.revoke_grant(door, self.roots, grant, approver=self.approver(), reason=reason, terms=terms)
        dropped = [str(inbox.drop(home / "inbox", done["revocation"])) for home in (self.config.home, *homes)]
        on_chain = chain and self._revoke_on_chain(done["terms"], done["revocation"])
        return {"grant": grant, "portal": done["delivered"], "chain": on_chain, "inboxes": len(dropped),
                "revocation": done["revocation"]}

    def _revoke_on_chain(self, terms: Mapping[str, Any], revocation: Mapping[str, Any]) -> bool:
        """Our own transaction, from an account made for it: anyone may relay a signed revocation."""
        chain = reach.chain_of(self.config, self.roots)
        try:
            sender = EthKey.create()
            raw = chain.sign_revoke(sender, 0, grant_id=grant_chain_id(terms), reason_hash=revocation["reason_hash"],
                                    decider=revocation["decider"], signature=revocation["signature"])
            chain.wait(chain.send_raw(raw.raw), seconds=10)
            return True
        except (ChainUnavailable, VerificationError):
            return chain_says_revoked(chain, terms, revocation["decider"])
        finally:
            chain.close()


def chain_says_revoked(chain: Chain, terms: Mapping[str, Any], decider: str) -> bool:
    """The chain already knows; not to know is to say no."""
    try:
        return chain.is_revoked(grant_chain_id(terms), [decider])
    except LedgerError:
        return False


class _Deaf:
    """A door that hears and says nothing of a revocation: for handing it on outside the portal alone."""

    def __init__(self, door: Door) -> None:
        self._door, self.participant = door, door.participant

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return self._door.get(path, params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        raise PortalUnavailable("the portal was left out on purpose")


def sign_agreement(door: Any, keys: KeyFile, trust: Trust, item: Mapping[str, Any]) -> Answer:
    """As the product's lead: an offered agreement that says what product and grants say, signed by us as well."""
    wire = item["document"]
    consumer = acts.participant_of(door, trust, wire["document"]["consumer"])
    agreement = verify_signed(wire, type="agreement", keys=[consumer["keys"]["signing"]])
    product = acts.product_of(door, trust, agreement["product"], current=False)
    if (agreement["provider"], product["lead"]) != (keys.participant, keys.participant):
        raise VerificationError("agreement.invalid", "another organisation leads this product")
    if agreement["product_hash"] != document_hash(product) or agreement["price"] != product["price"]:
        raise VerificationError("agreement.invalid", "the agreement is not about our product at its price")
    if sorted(one["dataset"] for one in agreement["grants"]) != sorted(one["id"] for one in product["datasets"]):
        raise VerificationError("agreement.invalid", "the grants are not those of the product's datasets")
    terms = {grant["terms"]["id"]: grant["terms"] for grant in item["grants"]}
    for named in agreement["grants"]:
        known = terms.get(named["id"])
        if known is None or (document_hash(known), known["dataset"]) != (named["terms_hash"], named["dataset"]):
            raise VerificationError("agreement.invalid", "a grant's terms are not those that the agreement names")
        if (known["scenario"], known["scenario_hash"], known["grantee"]) != (
                agreement["scenario"], agreement["scenario_hash"], agreement["consumer"]):
            raise VerificationError("agreement.invalid", "a grant is of another scenario or consumer")
    by_consumer = [one for one in wire["signatures"] if one["key"] == consumer["keys"]["signing"]]
    return {"document": agreement, "signatures": [*by_consumer, sign(agreement, keys.signing)]}
