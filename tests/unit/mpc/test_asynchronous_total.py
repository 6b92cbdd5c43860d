"""One total of one frozen set: what the parties get, and what the coalitions that were feared do not get."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from gmpy2 import mpz

from ledger.documents import document_hash, from_b64, new_document, new_id, new_salt, public_hex, signed, to_b64
from mpc import ciphertext, masked, paillier
from mpc.disclosure import Pattern
from mpc.errors import NotOpenable, ProtocolBroken, RangeExceeded, SetRefused, SpecRefused
from mpc.functions.plan import Counted
from mpc.functions.registry import function
from mpc.masked import Parcel, Question, contribute, members_of, open_total, question_of
from mpc.paillier import Layout
from mpc.wire import Task, parse
from tests.simulators.worker_orders import another_secret, secret

SECRET, OTHER = secret(), another_secret()
HOSPITALS = [Ed25519PrivateKey.generate() for _ in range(4)]
NAMES = [new_id() for _ in HOSPITALS]
DEALER, DEALER_SIGNING, CONSUMER = (X25519PrivateKey.generate(), Ed25519PrivateKey.generate(),
                                    X25519PrivateKey.generate())
SPACE, FLOOR = new_id(), 10
PLAN = function("describe@1").plan({"columns": ["age"], "by": "sex"}, [
    {"name": "age", "kind": "number", "unit": None, "min": "0", "max": "120", "step": "1", "codes": None},
    {"name": "sex", "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": ["f", "m"]},
], 4, 2000)
Part = tuple[dict[str, Any], bytes]


def hex_of(key: X25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def spec(**other: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "agreement": new_id(), "agreement_hash": "00" * 32,
        "grants": [{"id": new_id(), "terms_hash": "00" * 32, "dataset": NAMES[0]}],
        "function": {"name": "describe", "version": 1, "digest": "00" * 32}, "parameters": {}, "filter": [],
        "inputs": [{"dataset": NAMES[0], "dataset_hash": "00" * 32, "provider": NAMES[0]}],
        "roster": [{"seat": seat, "participant": name, "signing": public_hex(key), "record_hash": "00" * 32}
                   for seat, (name, key) in enumerate(zip(NAMES, HOSPITALS, strict=True))],
        "dealer": {"participant": new_id(), "signing": public_hex(DEALER_SIGNING)}, "engine": "paillier/1",
        "disclosure": {"floor": FLOOR}, "recipient": {"participant": new_id(), "sealing": hex_of(CONSUMER)},
        "id": new_id(), "issued_at": "2026-11-22T07:00:00Z", "deadline": "2026-11-24T07:00:00Z", "nonce": new_salt(),
        "contributions": {"by": "2026-11-23T07:00:00Z", "minimum": 3, "key": SECRET.public.document(),
                          "ciphertexts": masked.width(PLAN, 2048)}}
    made = {"type": "job_spec", "version": 1, **base, **other}
    return made


SPEC = spec()
ASKED = question_of(SPEC, PLAN, space=SPACE)


def ages(seat: int, women: int = 40, men: int = 50) -> list[list[int]]:
    return [[(20 + 7 * seat + 3 * at) % 90 for at in range(number)] for number in (women, men)]


def counted(groups: Sequence[Sequence[int]]) -> Counted:
    """What a hospital counts whose rows are these ages, by sex, and twenty more rows that lack the age alone."""
    women, men = groups
    moments = [number for group in groups for number in (sum(group), sum(one * one for one in group))]
    values = (len(women), len(men), 20, 0, *moments)
    squares = [sorted((one * one for one in (*group, 0, 0)), reverse=True) for group in groups]
    tops = [number for group in squares for number in (sum(group), *group[:2])]
    whole = len(women) + len(men)
    return Counted(values, (whole, len(women), len(men), 20, whole, 0, whole + 20, *tops))


def part(seat: int, *, of: dict[str, Any] = SPEC, question: Question = ASKED, given: Counted | None = None) -> Part:
    """A hospital's signed contribution with its ciphertexts."""
    parcel = contribute(question, PLAN, given or counted(ages(seat)), FLOOR, participant=NAMES[seat],
                        dealer_key=hex_of(DEALER))
    return told(seat, parcel, of=of, question=question)


def told(seat: int, parcel: Parcel, *, of: dict[str, Any] = SPEC, question: Question = ASKED,
         key: Ed25519PrivateKey | None = None) -> Part:
    document = new_document(
        "contribution", job=of["id"], job_hash=document_hash(of), participant=NAMES[seat], seat=seat,
        question=question.hash, dealer_key=hex_of(DEALER), ciphertexts=ciphertext.hash_of(parcel.ciphertexts),
        seed=to_b64(parcel.seed), engine={})
    return signed(document, key or HOSPITALS[seat]), parcel.ciphertexts


def frozen(parts: Sequence[Part], *, of: dict[str, Any] = SPEC, question: Question = ASKED,
           key: Ed25519PrivateKey = DEALER_SIGNING) -> dict[str, Any]:
    """A dealer that remembers nothing; the one that does is tested with its book, in `tests/unit/node`."""
    documents = masked.check_set(question, of, [wire for wire, _ in parts])
    masks = masked.masks_total(question, documents, sealing=DEALER, recipient_key=of["recipient"]["sealing"])
    return signed(new_document(
        "frozen_set", job=of["id"], job_hash=document_hash(of), participant=of["dealer"]["participant"],
        question=question.hash, members=members_of(documents), recipient=of["recipient"]["participant"],
        recipient_key=of["recipient"]["sealing"], masks=to_b64(masks)), key)


def opened(parts: Sequence[Part], word: object, *, given: bytes | None = None) -> tuple[Pattern, list[int]]:
    return open_total(ASKED, SPEC, parts, word, secret=SECRET, sealing=CONSUMER, given=given)


def total(seats: Sequence[int]) -> list[int]:
    return [sum(column) for column in zip(*(counted(ages(seat)).values for seat in seats), strict=True)]


ALL = [part(seat) for seat in range(4)]
ALL_SHOWN = (True, True, True, False)  # nobody lacks the sex: not shown


def only_shown(values: list[int]) -> list[int]:
    """Nobody lacks the sex, so that how many do not is not shown either: it reads 0."""
    return [*values[:3], 0, *values[4:]]


def test_it_works() -> None:
    assert opened(ALL, frozen(ALL)) == (ALL_SHOWN, only_shown(total([0, 1, 2, 3])))


def test_a_hospital_that_never_comes_is_done_without() -> None:
    parts = [ALL[2], ALL[0], ALL[3]]
    assert opened(parts, frozen(parts)) == (ALL_SHOWN, only_shown(total([0, 2, 3])))


class TestWhatIsWithheld:
    def test_a_cell_that_one_may_not_show_is_noise_for_all(self) -> None:
        """Not a total over the others: two such totals would be a subset's difference, cell by cell."""
        few = counted(ages(1, women=FLOOR - 1))
        parts = [ALL[0], part(1, given=few), ALL[2]]
        pattern, values = opened(parts, frozen(parts))
        assert pattern == (False, False, True, False), "the other half of the split stays closed with it"
        assert values[2] == 60 and [values[at] for at in (0, 1, 4, 5, 6, 7)] == [0] * 6

    def test_nobody_sees_who_spoilt_a_cell_or_how_many_did(self) -> None:
        """The consumer, without any mask in its way, sees uniform slots: equal neither to the others' total nor to a
        second try of the same hospital."""
        few = counted(ages(1, women=FLOOR - 1))
        seen = []
        for given in (few, few):
            parts = [ALL[0], part(1, given=given), ALL[2]]
            word = frozen(parts)
            documents = masked.check_set(ASKED, SPEC, [wire for wire, _ in parts])
            vector = masked.product(ASKED, documents, [data for _, data in parts])
            masks = masked._masks(ASKED, SPEC, documents, word, CONSUMER)
            seen.append(masked.unmask(ASKED, vector, masks, secret=SECRET))
        shown = {2, *range(PLAN.width + 2, len(seen[0]), len(PLAN.cells))}  # a count and its marks
        spoilt = [at for at in range(len(seen[0])) if at not in shown]
        assert all(seen[0][at] != seen[1][at] for at in spoilt)
        assert seen[0][0] != total([0, 2])[0] and seen[0][2] == seen[1][2] == 60

    def test_the_noise_of_one_and_of_two_is_alike(self) -> None:
        """Noise of a narrow range would add up to a wider one for two; every slot of it is even over its whole ring."""
        few, cells = counted(ages(1, women=FLOOR - 1)), len(PLAN.cells)
        layout = ASKED.layout
        marks = [PLAN.width + at * cells for at in range(ASKED.marks)]  # of the first cell
        for spoilers in (1, 2):
            slots: list[int] = []
            for _ in range(24):
                total = 0
                for _ in range(spoilers):
                    total = layout.add(total, self.without_its_mask(few))
                found = layout.split(total)
                slots += [found[at] for at in (0, 4, 5, *marks)]
            octaves = [0] * 8
            for one in slots:
                octaves[(one % (1 << layout.ring)) >> (layout.ring - 3)] += 1
            even = len(slots) / 8
            assert sum((found - even) ** 2 for found in octaves) / even < 60, octaves  # chi-square, 7 degrees

    def without_its_mask(self, given: Counted) -> int:
        """What a contribution holds, as nobody but dealer and consumer together see it."""
        wire, data = part(1, given=given)
        seed = masked.open_seed(ASKED, from_b64(wire["document"]["seed"]), NAMES[1], sealing=DEALER)
        vector = ciphertext.from_bytes(SECRET.public, data, count=ASKED.ciphertexts)
        return ASKED.layout.subtract(ASKED.layout.unpack(SECRET.open(vector), 2048),
                                     masked.expand(seed, ASKED, NAMES[1]))

    @pytest.mark.parametrize(("groups", "expected"), [
        ([[30] * 10, [30] * 10], (True, True)), ([[30] * 9, [30] * 40], (False, False)),
        ([[30] * 40, [1] * 8 + [120, 120]], (False, False)), ([[], []], (False, False)),
    ], ids=["just enough", "too few persons", "two hold nearly all", "nobody"])
    def test_floor_and_dominance_hold_in_each_hospitals_own_table(self, groups: list[list[int]],
                                                                  expected: Pattern) -> None:
        assert masked.shown(PLAN.gate, counted(groups).numbers, FLOOR)[:2] == expected

    def test_what_all_may_show_the_gate_of_a_session_would_show_too(self) -> None:
        """Whoever is left out, the others reach the floor, and no two of them hold nearly all."""
        for _ in range(60):
            tables = [counted([[secrets.randbelow(121) for _ in range(secrets.randbelow(16))] for _ in "fm"])
                      for _ in range(3)]
            alone = [masked.shown(PLAN.gate, one.numbers, 4) for one in tables]
            together = PLAN.gate.decide([one.numbers for one in tables], 4)
            for cell in range(len(together)):
                assert together[cell] or not all(one[cell] for one in alone)

    def test_noise_is_not_taken_for_a_total_by_chance(self) -> None:
        """A small table has narrow slots: one mark of 14 bits would be nothing by chance once in 16,384 withheld
        cells, and the noise beside it read as a count."""
        small = function("crosstab@1").plan({"rows": "sex", "columns": "sex2"}, [
            {**one, "name": name} for one in PLAN.used if one["kind"] == "category" for name in ("sex", "sex2")], 3, 50)
        for plan in (small, PLAN):
            layout = masked.layout_of(plan)
            marks = (layout.count - plan.width) // len(plan.cells)
            assert layout.ring * marks >= 64
        assert masked.layout_of(small).ring == 14

    def test_a_cell_opens_only_if_each_of_its_marks_is_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = masked.unmask

        def by_chance(*given: Any, **more: Any) -> list[int]:
            slots = shown(*given, **more)
            slots[PLAN.width] = 0  # the first mark of the first cell
            return slots

        monkeypatch.setattr(masked, "unmask", by_chance)
        parts = [ALL[0], part(1, given=counted(ages(1, women=FLOOR - 1))), ALL[2]]
        assert opened(parts, frozen(parts))[0] == (False, False, True, False)

    def test_a_contribution_is_as_long_whatever_it_withholds(self) -> None:
        closed = part(1, given=counted([[], []]))
        assert len(closed[1]) == len(ALL[1][1]) == ASKED.ciphertexts * SECRET.public.width

    def test_more_rows_than_the_record_declares_are_refused(self) -> None:
        given = counted(ages(0))
        with pytest.raises(RangeExceeded):
            part(0, given=replace(given, values=(2001, *given.values[1:])))
        with pytest.raises(RangeExceeded):
            part(0, given=replace(given, numbers=given.numbers[1:]))


class TestCoalitions:
    def test_portal_and_consumer_together_open_no_single_contribution(self) -> None:
        """Without masks they would: the consumer's key opens each ciphertext the portal holds."""
        layout, first = ASKED.layout, counted(ages(0)).values
        whole = layout.join((*first, *([0] * (layout.count - len(first)))))
        bare = paillier.encrypt(SECRET.public, layout.pack(whole, 2048))
        assert layout.split(layout.unpack(SECRET.open(bare), 2048))[: len(first)] == list(first), "the naive way leaks"
        vector = ciphertext.from_bytes(SECRET.public, ALL[0][1], count=ASKED.ciphertexts)
        seen = layout.split(layout.unpack(SECRET.open(vector), 2048))
        assert all(one != value for one, value in zip(seen, first, strict=False))
        word = frozen(ALL)
        with pytest.raises(SetRefused, match="too few"):  # nor by calling fewer contributions the set
            opened(ALL[:1], word)
        with pytest.raises(NotOpenable, match="not the contributions that were frozen"):
            opened(ALL[:3], word)
        documents = masked.check_set(ASKED, SPEC, [wire for wire, _ in ALL])
        masks = masked._masks(ASKED, SPEC, documents, word, CONSUMER)
        careless = masked.product(ASKED, documents[:3], [data for _, data in ALL])
        assert masked.unmask(ASKED, careless, masks, secret=SECRET)[:3] != total([0, 1, 2])[:3], "one total, one set"

    def test_two_sets_of_one_question_would_give_a_hospital_away(self) -> None:
        """Why the dealer keeps a book: one that forgets opens hospital 3's own figures."""
        careless = [opened(ALL, frozen(ALL)), opened(ALL[:3], frozen(ALL[:3]))]
        leaked = [one - other for one, other in zip(careless[0][1], careless[1][1], strict=True)]
        assert leaked == only_shown(total([3]))

    def test_the_dealers_office_opens_masks_and_nothing_else(self) -> None:
        """With the portal it has every mask and every ciphertext; equal values do not even show as equal."""
        assert part(0)[1] != part(0)[1]
        documents = masked.check_set(ASKED, SPEC, [wire for wire, _ in ALL])
        word = frozen(ALL)
        with pytest.raises(NotOpenable):
            masked._masks(ASKED, SPEC, documents, word, DEALER)
        masks = masked.add_masks(ASKED, [
            (one["participant"], masked.open_seed(ASKED, from_b64(one["seed"]), one["participant"], sealing=DEALER))
            for one in documents])
        vector = masked.product(ASKED, documents, [data for _, data in ALL])
        packed = [mpz(one) for one in ASKED.layout.pack(masks, 2048)]
        public = SECRET.public
        bare = [one * (1 - mask * public.n) % public.square for one, mask in zip(vector, packed, strict=True)]
        honest = ASKED.layout.unpack(SECRET.open(vector), 2048)
        slots = ASKED.layout.split(ASKED.layout.subtract(honest, masks))
        assert slots[:3] == total([0, 1, 2, 3])[:3], "the consumer can"
        for tried in (vector, bare):
            seen = OTHER.open([one % OTHER.public.square for one in tried])
            slots = ASKED.layout.split(ASKED.layout.random(b"".join(
                one.to_bytes(256, "little") for one in seen)[: ASKED.layout.count * ASKED.layout.size]))
            assert not set(slots[: PLAN.width]) & set(total([0, 1, 2, 3])) - {0}

    def test_masks_are_drawn_anew_for_every_contribution(self) -> None:
        """Two of the same hospital, opened and subtracted: with one seed for both every slot would be the difference of
        the values, here nothing."""
        opened_slots = []
        for _ in range(2):
            vector = ciphertext.from_bytes(SECRET.public, part(0)[1], count=ASKED.ciphertexts)
            opened_slots.append(ASKED.layout.unpack(SECRET.open(vector), 2048))
        apart = ASKED.layout.split(ASKED.layout.subtract(*opened_slots))
        assert not any(one == 0 for one in apart[: PLAN.width])
        seed = secrets.token_bytes(32)
        assert masked.expand(seed, ASKED, NAMES[0]) != masked.expand(seed, ASKED, NAMES[1])


class TestReplay:
    def test_a_contribution_to_another_job_is_refused(self) -> None:
        other = spec()
        question = question_of(other, PLAN, space=SPACE)
        with pytest.raises(SetRefused):
            frozen([ALL[0], ALL[1], part(2, of=other, question=question)])
        assert question.hash != ASKED.hash != replace(ASKED, space=new_id()).hash

    def test_a_seed_does_not_open_for_another_job_or_hospital(self) -> None:
        """The portal signs nothing, but suppose that a hospital signs what it did not make."""
        other = spec()
        question = question_of(other, PLAN, space=SPACE)
        stolen = contribute(question, PLAN, counted(ages(2)), FLOOR, participant=NAMES[2], dealer_key=hex_of(DEALER))
        with pytest.raises(SetRefused):
            frozen([ALL[0], ALL[1], told(2, stolen)])

    def test_a_contributor_counts_once(self) -> None:
        with pytest.raises(SetRefused):
            frozen([ALL[0], ALL[1], part(0)])


@pytest.mark.parametrize("change", [
    lambda parts: [told(0, Parcel(parts[0][1], b"x" * 80)), *parts[1:]],
    lambda parts: [told(0, Parcel(parts[0][1], b""), key=HOSPITALS[1]), *parts[1:]],
    lambda parts: [({**parts[0][0], "signatures": []}, parts[0][1]), *parts[1:]],
    lambda parts: [({}, parts[0][1]), *parts[1:]],
    lambda parts: [(None, b""), *parts[1:]],
], ids=["seed", "another's signature", "no signature", "no document", "nothing"])
def test_a_malformed_contribution_is_not_frozen(change: Callable[[list[Part]], list[Part]]) -> None:
    with pytest.raises(SetRefused) as refused:
        frozen(change(ALL))
    assert refused.value.code == "paillier.malformed"


def test_too_few_are_not_frozen() -> None:
    with pytest.raises(SetRefused) as refused:
        frozen(ALL[:2])
    assert refused.value.code == "paillier.too_few"


class TestTheConsumerBelievesNobody:
    @pytest.mark.parametrize("change", [
        lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b"", lambda data: data + data,
    ], ids=["flipped", "empty", "twice"])
    def test_altered_ciphertexts_are_refused(self, change: Callable[[bytes], bytes]) -> None:
        word = frozen(ALL)
        with pytest.raises(NotOpenable):
            opened([(ALL[0][0], change(ALL[0][1])), *ALL[1:]], word)

    @pytest.mark.parametrize("number", [0, SECRET.p, SECRET.p * SECRET.q], ids=["zero", "a factor", "n"])
    def test_no_ciphertext_is_refused_though_a_hospital_signs_it(self, number: int) -> None:
        data = number.to_bytes(SECRET.public.width, "big") + ALL[0][1][SECRET.public.width :]
        seed = masked.Parcel(data, contribute(ASKED, PLAN, counted(ages(0)), FLOOR, participant=NAMES[0],
                                              dealer_key=hex_of(DEALER)).seed)
        parts = [told(0, seed), *ALL[1:]]
        word = frozen(parts)
        with pytest.raises(ProtocolBroken):
            opened(parts, word)

    def test_who_fills_more_than_its_slots_is_named(self) -> None:
        """It opens to nobody, and alone each contribution is masked: to look which one it was tells no value."""
        made = contribute(ASKED, PLAN, counted(ages(1)), FLOOR, participant=NAMES[1], dealer_key=hex_of(DEALER))
        vector = paillier.encrypt(SECRET.public, [1 << 2045] * ASKED.ciphertexts)
        parts = [ALL[0], told(1, Parcel(ciphertext.to_bytes(SECRET.public, vector), made.seed)), ALL[2]]
        word = frozen(parts)
        with pytest.raises(NotOpenable, match=NAMES[1]) as refused:
            opened(parts, word)
        assert refused.value.about_seat == 1

    def test_another_product_is_refused(self) -> None:
        documents = masked.check_set(ASKED, SPEC, [wire for wire, _ in ALL])
        vectors = masked.product(ASKED, documents, [data for _, data in ALL])
        honest = ciphertext.to_bytes(SECRET.public, vectors)
        assert opened(ALL, frozen(ALL), given=honest)[0] == ALL_SHOWN
        with pytest.raises(NotOpenable):
            opened(ALL, frozen(ALL), given=ALL[0][1])

    def test_another_dealers_word_is_refused(self) -> None:
        with pytest.raises(NotOpenable):
            opened(ALL, frozen(ALL, key=Ed25519PrivateKey.generate()))
        word = frozen(ALL)
        for name, value in (("job", new_id()), ("question", "00" * 32), ("masks", "AAAA"),
                            ("members", word["document"]["members"][:3])):
            with pytest.raises(NotOpenable):
                opened(ALL, signed({**word["document"], name: value}, DEALER_SIGNING))

    def test_another_key_is_refused(self) -> None:
        word = frozen(ALL)
        with pytest.raises(NotOpenable, match="under another key"):
            open_total(ASKED, SPEC, ALL, word, secret=OTHER, sealing=CONSUMER)


class TestTheQuestion:
    def test_the_spec_says_how_many_ciphertexts_there_are(self) -> None:
        with pytest.raises(SpecRefused):
            question_of(spec(contributions={**SPEC["contributions"], "ciphertexts": 2}), PLAN, space=SPACE)

    def test_slots_hold_whatever_the_rows_may_hold(self) -> None:
        layout = masked.layout_of(PLAN)
        assert layout.limit > 2000 * 120 * 120 and layout.size < 8
        wide = replace(PLAN, rows_max=2**45)
        assert masked.layout_of(wide).limit > 2**45 * 120 * 120
        assert Layout.holding(2**255 - 1, count=1, parties=16).limit >= 2**255


class TestTheWorkersOrder:
    LINE: ClassVar[dict[str, Any]] = {
        "role": "contributor", "space": SPACE, "spec": {**SPEC, "filter": None}, "columns": [], "rows_max_total": 2000,
        "floor": FLOOR, "data": {"path": "/x", "kind": "csv"}, "sender": NAMES[0], "dealer_key": hex_of(DEALER),
        "deadline": 1.0}

    def test_it_works(self) -> None:
        task = parse(json.dumps(self.LINE))
        assert isinstance(task, Task) and (task.function, task.parties, task.dials) == ("describe@1", 4, ())

    @pytest.mark.parametrize("change", [
        {"more": 1}, {"role": "dealer"}, {"spec": {}}, {"spec": None}, {"columns": None}, {"rows_max_total": 0},
        {"floor": True}, {"data": {"path": ""}}, {"data": None}, {"dealer_key": "00"}, {"deadline": "soon"},
        {"sender": ""}, {"spec": {**SPEC, "filter": None, "engine": "crypten/1"}},
        {"spec": {**SPEC, "filter": None, "contributions": {**SPEC["contributions"], "minimum": 2}}},
    ])
    def test_anything_odd_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(SpecRefused):
            parse(json.dumps({**self.LINE, **change}))
