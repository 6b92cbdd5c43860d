"""The dealer's office freezes one set of contributors for a question, once, and releases the total of their masks.

It judges the papers as for any job, as far as they are about who contributed; sees no ciphertext; and opens seeds only
for the set that it writes in its book first. A question is named by what it would open (function, parameters, filter,
snapshots, grants), so that another job does not open another set. The same set asked again gets the very same word
again. Whoever stands in the way of a set is named, so that the portal may show another one: nothing is claimed yet.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ledger.documents import document_hash, new_document, parse_time, read_signed, signed, to_b64, verify_signed
from ledger.errors import LedgerError
from mpc import masked
from mpc.errors import MpcError, SetRefused
from mpc.node.audit import TROUBLE, Audit
from mpc.node.contributing import question_of
from mpc.node.errors import CODES, Refused, Unfit
from mpc.node.frozen import Frozen
from mpc.node.grants import Document
from mpc.node.judge import MOST
from mpc.node.logs import note
from mpc.node.papers import Papers
from mpc.node.sessions import Home


def contributors(item: Mapping[str, Any]) -> frozenset[str]:
    """Who has contributed, as the portal shows it; that they did is checked with their signatures, at the freeze."""
    found = set()
    for wire in _listed(item, "contributions"):
        try:
            found.add(str(read_signed(wire, "contribution")["participant"]))
        except LedgerError:
            continue
    return frozenset(found)


def given_words(audit: Audit) -> set[str]:
    """The jobs of which this office's own record says that a set was frozen."""
    return {str(line["facts"].get("job_hash")) for line in audit.lines() if line.get("event") == "set.frozen"}


class Freezer:
    """For one home, which is the dealer's; `now` is asked at every freeze."""

    def __init__(self, home: Home, *, now: Callable[[], datetime]) -> None:
        self._home, self._now = home, now
        self._frozen = Frozen(home.book)

    def freeze(self, papers: Papers, item: Mapping[str, Any]) -> Document:
        """The signed word on this set; raises `Refused`. The papers are judged already."""
        try:
            documents = masked.check_set(question_of(papers, self._home.trust), papers.spec,
                                         _listed(item, "contributions"))
        except MpcError as error:
            raise _refused(error) from error
        members = masked.members_of(documents)
        word = self._frozen.standing(papers.release_key, papers.job_hash, members)
        if word is None:
            self._check_whole(_listed(item, "words"))
            self._check(papers, documents, _listed(item, "withdrawals"))
            # an office that can record nothing freezes nothing; the word itself is on record once it is given
            self._home.audit.keep("set.freezing", job=papers.job, job_hash=papers.job_hash, members=len(members))
            word = self._frozen.claim(papers, members, self._word(papers, documents))
            self._home.audit.note("set.frozen", job=papers.job, job_hash=papers.job_hash, members=len(members),
                                  frozen=document_hash(word["document"]))
        self._home.book.post(f"/jobs/{papers.job}/freeze", {"freeze": word}, until=int(papers.deadline.timestamp()))
        note("set.frozen", job=papers.job, members=len(members))
        self._home.flush()
        return word

    def _check(self, papers: Papers, documents: Sequence[Document], withdrawals: Iterable[object]) -> None:
        """Nobody cut off who still had time, nothing that was taken back, seeds to this office, each use on chain."""
        early = self._now() < parse_time(papers.spec["contributions"]["by"])
        if early and len(documents) < len(papers.spec["roster"]):
            raise Refused("paillier.too_early", "contributions are still coming in")
        taken = self._taken_back(papers, withdrawals)
        _without(documents, lambda one: one["seat"] in taken, "paillier.withdrawn", "taken back: that of")
        _without(documents, lambda one: one["dealer_key"] != self._home.keys.sealing_public, "paillier.malformed",
                 "sealed to another key than this office's: the seed of")
        _without(documents, lambda one: not self._home.chain.used(papers.grants[one["seat"]], papers.job_hash),
                 "paillier.use_not_final", "not final on chain: the use of")

    def _check_whole(self, words: Iterable[object]) -> None:
        """This book knows every word that this office gave, as far as anybody shows them: its own record, the portal.
        An older one, put back after a disk was lost, would freeze again what was frozen since."""
        try:
            given = given_words(self._home.audit)
        except (Unfit, AttributeError, *TROUBLE) as error:
            raise Refused("node.unrecorded", "this office's record cannot be read, so nobody knows which words it gave"
                          ) from error
        for wire in words:
            try:
                given.add(verify_signed(wire, type="frozen_set", keys=[self._home.keys.signing_public])["job_hash"])
            except LedgerError:
                continue  # not ours
        if self._frozen.unknown(given):
            raise Refused("book.older_than_its_words", "this office gave a word that is not in its book any more")

    def _taken_back(self, papers: Papers, given: Iterable[object]) -> Collection[int]:
        """Seats whose hospital took its contribution back; what came once, by the portal or by file, stays known."""
        seats: dict[int, Any] = {}
        book = self._home.book
        for wire in [*book.revocations([papers.job]), *given]:
            try:
                seat = read_signed(wire, "withdrawal")["seat"]
                member = papers.spec["roster"][seat]
                document = verify_signed(wire, type="withdrawal", keys=[member["signing"]])
            except (LedgerError, LookupError):
                continue
            if (document["job"], document["job_hash"]) == (papers.job, papers.job_hash):
                seats[seat] = wire
        for wire in seats.values():
            book.add_revocation(papers.job, wire)
        return seats

    def _word(self, papers: Papers, documents: Sequence[Document]) -> Document:
        question, recipient = question_of(papers, self._home.trust), papers.spec["recipient"]
        try:
            masks = masked.masks_total(question, documents, sealing=self._home.keys.sealing,
                                       recipient_key=recipient["sealing"])
        except MpcError as error:
            raise _refused(error) from error
        return signed(new_document(
            "frozen_set", job=papers.job, job_hash=papers.job_hash, participant=self._home.participant,
            question=question.hash, members=masked.members_of(documents), recipient=recipient["participant"],
            recipient_key=recipient["sealing"], masks=to_b64(masks)), self._home.keys.signing)


def _without(documents: Sequence[Document], wrong: Callable[[Document], bool], code: str, text: str) -> None:
    """Refuse a set in which some are `wrong`, naming all of these."""
    found = [one for one in documents if wrong(one)]
    if found:
        raise Refused(code, f"{text} {', '.join(one['participant'] for one in found)}"[:500],
                      seats=[one["seat"] for one in found])


def _listed(item: Mapping[str, Any], name: str) -> list[Any]:
    found = item.get(name, [])
    if not isinstance(found, list) or len(found) > MOST:
        raise Refused("paillier.malformed", f"the work item has no list of {name}")
    return found


def _refused(error: MpcError) -> Refused:
    return Refused(error.code if error.code in CODES else "paillier.malformed", error.text,
                   seats=error.seats if isinstance(error, SetRefused) else ())
