"""The dealer's office freezes one set of contributors for a question, once, and releases the total of their masks.

It judges the papers as for any job, sees no ciphertext, and opens seeds only for the set that it writes in its book
first. A question is named by what it would open (function, parameters, filter, snapshots, grants), so that another job
does not open another set. The same set asked again gets the very same word again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ledger.documents import document_hash, new_document, parse_time, signed, to_b64
from mpc import masked
from mpc.errors import MpcError
from mpc.node.contributing import question_of
from mpc.node.errors import CODES, Refused
from mpc.node.frozen import Frozen
from mpc.node.logs import note
from mpc.node.papers import Document, Papers
from mpc.node.sessions import Home

MOST = 70


class Freezer:
    """For one home, which is the dealer's; `now` is asked at every freeze."""

    def __init__(self, home: Home, *, now: Callable[[], datetime]) -> None:
        self._home, self._now = home, now
        self._frozen = Frozen(home.book)

    def freeze(self, papers: Papers, wires: Any) -> Document:
        """The signed word on this set; raises `Refused`. The papers are judged already."""
        documents = self._check(papers, wires)
        members, key = masked.members_of(documents), papers.release_key
        word = self._frozen.standing(key, papers.job_hash, members)
        if word is None:
            word = self._frozen.claim(key, papers.job_hash, members, self._word(papers, documents))
            self._home.audit.note("set.frozen", job=papers.job, job_hash=papers.job_hash, members=len(members),
                                  frozen=document_hash(word["document"]))
        self._home.book.post(f"/jobs/{papers.job}/freeze", {"freeze": word}, until=int(papers.deadline.timestamp()))
        note("set.frozen", job=papers.job, members=len(members))
        self._home.flush()
        return word

    def _check(self, papers: Papers, wires: Any) -> list[Document]:
        """Every contribution as it must be, each use on chain, and nobody cut off who still had time."""
        if not isinstance(wires, list) or len(wires) > MOST:
            raise Refused("paillier.malformed", "the work item has no list of contributions")
        try:
            documents = masked.check_set(question_of(papers, self._home.trust), papers.spec, wires)
        except MpcError as error:
            raise _refused(error) from error
        early = self._now() < parse_time(papers.spec["contributions"]["by"])
        if early and len(documents) < len(papers.spec["roster"]):
            raise Refused("paillier.too_early", "contributions are still coming in")
        for one in documents:
            if one["dealer_key"] != self._home.keys.sealing_public:
                raise Refused("paillier.malformed",
                              f"the seed of {one['participant']} is sealed to another key than this office's")
        for one in documents:
            if not self._home.chain.used(papers.grants[one["seat"]], papers.job_hash):
                raise Refused("paillier.use_not_final", "a contributor's use is not final on chain")
        return documents

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


def _refused(error: MpcError) -> Refused:
    return Refused(error.code if error.code in CODES else "paillier.malformed", error.text)
