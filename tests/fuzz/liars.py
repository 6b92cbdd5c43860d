"""A liar who holds every key: signs again what a mutation changed, and names the new hashes where the old ones stood.

Without it a mutation dies at the first signature, and what comes after is never reached. What it cannot sign, for it is
no document any more, it leaves as it is. Used by the fuzz targets alone.
"""

import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import Any

from ledger.documents import document_hash, signed
from tests.simulators.node_world import Document, World


def item_signed_again(world: World, seed: Document, item: Document, names: Sequence[str]) -> Document:
    """The papers of a job. `names`: whose record, dataset or grant stands in each place of the seed."""
    found = copy.deepcopy(item)
    by_grant = [world.name_of(grant["terms"]["custodian"]) for grant in seed["grants"]]
    providers = [world.name_of(one["document"]["provider"]) for one in seed["datasets"]]
    _each(found, seed, "participants", lambda at, one: world.admitted(one["document"], names[at]))
    _each(found, seed, "datasets", lambda at, one: signed(one["document"], world.keys[providers[at]].signing))
    _each(found, seed, "grants", lambda at, one: one if one["terms"] == seed["grants"][at]["terms"] else
          world.approved(one["terms"], by_grant[at]))
    spec, agreement = seed["spec"]["document"], seed["agreement"]["document"]
    for at in range(len(seed["grants"])):
        for paper, before in (("spec", spec), ("agreement", agreement)):
            _relink(found, before, paper, ("grants", at, "terms_hash"), lambda at=at: found["grants"][at]["terms"])
        _relink(found, spec, "spec", ("inputs", at, "dataset_hash"), lambda at=at: found["datasets"][at]["document"])
        _relink(found, spec, "spec", ("roster", at, "record_hash"), lambda at=at: found["participants"][
            names.index(by_grant[at])]["document"])
    with contextlib.suppress(Exception):
        if found["agreement"]["document"] != agreement:
            lead = world.keys[world.name_of(agreement["provider"])].signing
            found["agreement"] = signed(found["agreement"]["document"], world.keys["maker"].signing, lead)
    _relink(found, spec, "spec", ("agreement_hash",), lambda: found["agreement"]["document"])
    with contextlib.suppress(Exception):
        if found["spec"]["document"] != spec:
            found["spec"] = signed(found["spec"]["document"], world.keys["maker"].signing)
    return found


def _each(found: Document, seed: Document, name: str, again: Callable[[int, Any], Any]) -> None:
    """Sign each paper of a list that is not as it was."""
    for at, before in enumerate(seed[name]):
        with contextlib.suppress(Exception):
            if found[name][at] != before:
                found[name][at] = again(at, found[name][at])


def _relink(found: Document, before: Document, paper: str, path: tuple[str | int, ...],
            document: Callable[[], Document]) -> None:
    """The hash of a changed document takes the old one's place, unless the mutation was there."""
    with contextlib.suppress(Exception):
        old: Any = before
        here: Any = found[paper]["document"]
        for step in path[:-1]:
            old, here = old[step], here[step]
        if here[path[-1]] == old[path[-1]]:
            here[path[-1]] = document_hash(document())


def verdicts_signed_again(world: World, seed: Document, item: Document) -> Document:
    """Members' verdicts, each by its member; ours is not theirs to sign, but they try."""
    found = _by_its_participant(world, seed, item, "verdicts")
    with contextlib.suppress(Exception):
        if found["dealer"] != seed["dealer"]:
            found["dealer"] = signed(found["dealer"]["document"], world.keys["dealer"].signing)
    return found


def contributions_signed_again(world: World, seed: Document, item: Document) -> Document:
    """Hospitals that lie to the dealer's office."""
    return _by_its_participant(world, seed, item, "contributions")


def _by_its_participant(world: World, seed: Document, item: Document, name: str) -> Document:
    """A copy in which each paper of a list is signed by whose it was in the seed."""
    found = copy.deepcopy(item)
    _each(found, seed, name, lambda at, one: signed(
        one["document"], world.keys[world.name_of(seed[name][at]["document"]["participant"])].signing))
    return found
