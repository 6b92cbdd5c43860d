"""What the dealer's office lets be opened beside what was opened: grants renewed, hospitals that slept, sessions.

Two totals of one table over two sets are, by subtraction, the figures of those who are in one set only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.documents import timestamp
from mpc.node.book import Book
from mpc.node.errors import Refused
from mpc.node.frozen import Frozen, Total
from mpc.node.papers import Papers, verify_papers
from tests.simulators.node_world import HOSPITALS, NOW, Document, World

FOUR = (*HOSPITALS, "outsider")
APART = {"engine": "paillier/1", "contributions": {
    "by": timestamp(NOW + timedelta(minutes=30)), "minimum": 3, "ciphertexts": 1, "key": {"n": "f" * 512, "hs": "2b"}}}
ALL, LAST_SLEPT = (0, 1, 2, 3), (0, 1, 2)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Frozen]:
    book = Book(tmp_path / "node.sqlite3")
    yield Frozen(book)
    book.close()


@pytest.fixture(scope="module")
def scenarios(world: World) -> list[Document]:
    """One, and the same again when its grants ran out."""
    known = {"functions": [{"name": name, "version": 1} for name in ("crosstab", "describe")]}
    return [world.scenario(FOUR, **known) for _ in range(2)]


def asked(world: World, scenario: Document, **spec: Any) -> Papers:
    return verify_papers(world.item(members=FOUR, scenario=scenario, **spec), me=world.me("dealer"), trust=world.trust,
                         now=NOW)


def freeze(office: Frozen, papers: Papers, seats: Sequence[int]) -> Document:
    members = [{"seat": seat, "participant": papers.spec["roster"][seat]["participant"], "contribution": "00" * 32}
               for seat in seats]
    standing = office.standing(papers.release_key, papers.job_hash, members)
    return standing or office.claim(papers, members, {"word": list(seats)})


def refusal(office: Frozen, papers: Papers, seats: Sequence[int] | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        if seats is None:
            office.deal(papers)
        else:
            freeze(office, papers, seats)
    return caught.value


def test_it_works(office: Frozen, world: World, scenarios: list[Document]) -> None:
    """The same set again, and the same word for it again."""
    for scenario in scenarios:
        papers = asked(world, scenario, **APART)
        assert freeze(office, papers, LAST_SLEPT) == freeze(office, papers, LAST_SLEPT) == {"word": [0, 1, 2]}


def test_renewed_grants_open_no_second_set(office: Frozen, world: World, scenarios: list[Document]) -> None:
    """Every hospital's book is blank under its new grant; the difference would be the fourth one's own figures."""
    first, second = (asked(world, scenario, **APART) for scenario in scenarios)
    assert first.release_key != second.release_key and first.shape == second.shape
    freeze(office, first, ALL)
    refused = refusal(office, second, LAST_SLEPT)
    assert (refused.code, refused.seats) == ("paillier.second_freeze", ())
    assert freeze(office, second, ALL) == {"word": [0, 1, 2, 3]}


def test_who_is_too_many_is_named(office: Frozen, world: World, scenarios: list[Document]) -> None:
    """So that the portal shows the set without: the very same total again."""
    first, second = (asked(world, scenario, **APART) for scenario in scenarios)
    freeze(office, first, LAST_SLEPT)
    refused = refusal(office, second, ALL)
    assert (refused.code, refused.seats) == ("paillier.second_freeze", (3,))
    assert refusal(office, second, (1, 2, 3)).seats == ()
    assert freeze(office, second, LAST_SLEPT) == {"word": [0, 1, 2]}


def test_no_session_under_renewed_grants_beside_a_part(office: Frozen, world: World,
                                                       scenarios: list[Document]) -> None:
    freeze(office, asked(world, scenarios[0], **APART), LAST_SLEPT)
    session = asked(world, scenarios[1])
    assert refusal(office, session).code == "disclosure.already_released"
    with pytest.raises(Refused):
        office.check_session(session)
    office.deal(asked(world, scenarios[1], function="crosstab", parameters={"rows": "grade", "columns": "pain"}))


def test_no_part_under_renewed_grants_beside_a_session(office: Frozen, world: World,
                                                       scenarios: list[Document]) -> None:
    office.deal(asked(world, scenarios[0]))
    again = asked(world, scenarios[1], **APART)
    assert refusal(office, again, LAST_SLEPT).code == "paillier.second_freeze"
    freeze(office, again, ALL)
    office.deal(asked(world, scenarios[1], function="crosstab", parameters={"rows": "grade", "columns": "pain"}))


def test_a_table_with_a_column_in_common_is_related(office: Frozen, world: World, scenarios: list[Document]) -> None:
    freeze(office, asked(world, scenarios[0], **APART), ALL)  # age by sex
    other = asked(world, scenarios[1], function="crosstab", parameters={"rows": "sex", "columns": "grade"}, **APART)
    assert refusal(office, other, LAST_SLEPT).code == "paillier.second_freeze"
    apart = asked(world, scenarios[1], function="crosstab", parameters={"rows": "pain", "columns": "grade"}, **APART)
    freeze(office, apart, LAST_SLEPT)


def test_what_is_related(world: World, scenarios: list[Document]) -> None:
    papers = asked(world, scenarios[0])
    seat = papers.spec["inputs"]
    whole = Total.of(papers)
    part = Total.of(papers, [{"seat": 0}, {"seat": 1}, {"seat": 2}])
    assert whole.gives_away(part) and part.gives_away(whole) and not part.gives_away(part)
    assert not whole.gives_away(replace(part, whole=True)), "two scenarios over two rosters were allowed by people"
    assert whole.gives_away(replace(part, tabled="another filter, say")), "one that leaves everybody in"
    assert whole.gives_away(replace(part, consumer="another")), "the same table, whoever buys it"
    assert not whole.gives_away(replace(part, tabled="of another", consumer="another"))
    assert not whole.gives_away(replace(part, tabled="of others", columns=frozenset({"grade"})))
    newer = frozenset(f"{seat[at]['dataset']} {'ab' * 32}" for at in range(3))
    one_newer = part.members - {f"{seat[0]['dataset']} {seat[0]['dataset_hash']}"} | {f"{seat[0]['dataset']} new"}
    assert whole.gives_away(replace(part, members=one_newer)), "the others' rows are in both"
    assert not whole.gives_away(replace(part, members=newer)), "no row is known to be in both"
