"""Acts: nothing is signed that was not verified down to the trust file."""

from __future__ import annotations

import copy

import pytest

from ledger import acts
from ledger.approval import domain_of, verify_revocation
from ledger.documents import document_hash, sign, signed, verify_signed
from ledger.errors import PortalRefused, PortalUnavailable, VerificationError
from tests.unit.ledger.people import DIGESTS, People, both


def test_it_works(people: People) -> None:
    grants = people.grants()
    assert [one["consent"]["role"] for one in grants] == ["custodian", "custodian"]
    ids = [one["terms"]["dataset"] for one in grants]
    product = acts.offer_product(
        people.desk("hospital_a"), people.keys["hospital_a"], people.trust, title=both("joint"), summary=both("s"),
        dataset_ids=ids, functions=["describe@1"], price={"amount": 100, "currency": "CNY"})["document"]
    confirmed = acts.confirm_product(people.desk("hospital_b"), people.keys["hospital_b"], people.trust,
                                     product["id"])
    listing = acts.decide_listing(people.desk("office"), people.keys["office"], people.trust, product["id"])
    assert confirmed["document"]["product_hash"] == listing["document"]["product_hash"] == document_hash(product)
    verify_signed(listing, type="product_listing", keys=[people.trust.regulator.signing])


def test_a_fingerprint_that_differs_is_not_admitted(people: People) -> None:
    wire = acts.enrol(people.desk("outsider"), people.keys["outsider"], people.trust, name=both("x"),
                      admitted_as=["consumer"])
    with pytest.raises(VerificationError, match=r"participant\.fingerprint"):
        acts.admit(people.desk("office"), people.keys["office"], people.trust, wire["document"]["id"],
                   fingerprint="0" * 32)


def test_an_admission_that_does_not_become_final_is_unknown_and_not_refused(
        people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = acts.enrol(people.desk("outsider"), people.keys["outsider"], people.trust, name=both("x"),
                      admitted_as=["consumer"])
    monkeypatch.setattr(people.portal, "post", lambda path, body: {"state": "applied"})
    with pytest.raises(PortalUnavailable, match=r"participant\.pending"):
        acts.admit(people.desk("office"), people.keys["office"], people.trust, wire["document"]["id"],
                   fingerprint=acts.fingerprint_of(wire), seconds=0.1)


def test_only_the_regulator_of_the_trust_file_admits(people: People) -> None:
    wire = acts.enrol(people.desk("outsider"), people.keys["outsider"], people.trust, name=both("x"),
                      admitted_as=["consumer"])
    with pytest.raises(VerificationError, match=r"key\.wrong_role"):
        acts.admit(people.desk("outsider"), people.keys["outsider"], people.trust, wire["document"]["id"],
                   fingerprint=acts.fingerprint_of(wire))
    with pytest.raises(VerificationError, match=r"key\.wrong_role"):
        acts.admit(people.desk("office"), people.keys["office"], people.trust, wire["document"]["id"],
                   fingerprint=acts.fingerprint_of(wire), approver=people.approver("outsider"))


def test_a_key_swapped_by_the_portal_is_found(people: People) -> None:
    maker = people.keys["maker"].participant
    shelf = people.portal.shelves["participants"][maker]
    swapped = copy.deepcopy(shelf["record"])
    swapped["document"]["keys"]["signing"] = people.keys["outsider"].signing_public
    swapped["signatures"] = [sign(swapped["document"], people.keys["outsider"].signing), *swapped["signatures"]]
    shelf["record"] = swapped
    with pytest.raises(VerificationError, match=r"signature\."):
        acts.participant_of(people.desk("office"), people.trust, maker)


def test_a_participant_nobody_admitted_is_not_believed(people: People) -> None:
    wire = acts.enrol(people.desk("outsider"), people.keys["outsider"], people.trust, name=both("x"),
                      admitted_as=["provider"])
    with pytest.raises(VerificationError, match=r"signature\.missing"):
        acts.participant_of(people.desk("office"), people.trust, wire["document"]["id"])


def test_another_participant_shown_in_place_of_the_asked_is_refused(people: People) -> None:
    shelf, maker = people.portal.shelves["participants"], people.keys["maker"].participant
    shelf[maker] = shelf[people.keys["hospital_a"].participant]
    with pytest.raises(VerificationError, match=r"portal\.other_document"):
        acts.participant_of(people.desk("office"), people.trust, maker)


def test_who_is_not_admitted_as_a_provider_registers_no_dataset_that_counts(people: People) -> None:
    """The portal ought to refuse it; whoever signs over it looks again."""
    record = people.register("maker")
    with pytest.raises(VerificationError, match=r"participant\.wrong_role"):
        acts.dataset_of(people.desk("office"), people.trust, record["id"])


def test_nobody_is_granted_a_roster_it_sits_in(people: People) -> None:
    scenario = acts.scenario_of(people.desk("office"), people.trust, people.scenario())
    reference = scenario["datasets"][0]
    provider = acts.participant_of(people.desk("office"), people.trust, reference["provider"])
    dataset = acts.dataset_of(people.desk("office"), people.trust, reference["id"])
    own = {**scenario, "consumer": reference["provider"]}
    with pytest.raises(VerificationError, match=r"grant\.own_data"):
        acts.terms_for(own, dataset, provider=provider, consumer=provider, digests=DIGESTS, trust=people.trust)


def test_a_changed_dataset_stops_the_decision(people: People) -> None:
    scenario = people.scenario()
    dataset = people.portal.shelves["scenarios"][scenario]["document"]["document"]["datasets"][0]
    shelf = people.portal.shelves["datasets"][dataset["id"]]
    owner = next(keys for keys in people.keys.values() if keys.participant == dataset["provider"])
    shelf["record"] = signed({**shelf["record"]["document"], "number": 2}, owner.signing)
    with pytest.raises(VerificationError, match=r"dataset\.changed"):
        acts.decide_scenario(people.desk("office"), people.keys["office"], people.trust, scenario, digests=DIGESTS)


def test_a_function_the_catalogue_lacks_is_not_granted(people: People) -> None:
    with pytest.raises(VerificationError, match=r"grant\.unknown_function"):
        acts.decide_scenario(people.desk("office"), people.keys["office"], people.trust, people.scenario(),
                             digests={"describe@1": "00" * 32})


def test_a_returned_scenario_carries_no_grants(people: People) -> None:
    body = acts.decide_scenario(people.desk("office"), people.keys["office"], people.trust, people.scenario(),
                                decision="return", note="补充")
    assert "grants" not in body


@pytest.mark.parametrize("change", [{"floor": 1}, {"max_uses": 999}, {"by_institution": True},
                                    {"not_after": "2029-01-01T00:00:00Z"}])
def test_terms_wider_than_the_scenario_get_no_consent(people: People, change: dict[str, object]) -> None:
    decided = acts.decide_scenario(people.desk("office"), people.keys["office"], people.trust, people.scenario(),
                                   digests=DIGESTS)
    terms = decided["grants"][0]["terms"]
    people.portal.shelves["grants"][terms["id"]]["terms"] = {**terms, **change}
    name = next(name for name, keys in people.keys.items() if keys.participant == terms["custodian"])
    with pytest.raises(VerificationError, match=r"grant\.terms_mismatch"):
        acts.consent_grant(people.desk(name), people.trust, terms["id"], approver=people.approver(name),
                           service=people.service(name))


def test_another_hospitals_grant_gets_no_consent(people: People) -> None:
    decided = acts.decide_scenario(people.desk("office"), people.keys["office"], people.trust, people.scenario(),
                                   digests=DIGESTS)
    terms = decided["grants"][0]["terms"]
    name = next(name for name in ("hospital_a", "hospital_b")
                if people.keys[name].participant != terms["custodian"])
    with pytest.raises(VerificationError, match=r"grant\.wrong_custodian"):
        acts.consent_grant(people.desk(name), people.trust, terms["id"], approver=people.approver(name),
                           service=people.service(name))


def test_a_revocation_is_made_also_when_the_portal_refuses(people: People,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    grant = people.grants()[0]

    def refuse(path: str, body: object) -> None:
        raise PortalRefused(403, "denied", "no")
    monkeypatch.setattr(people.portal, "post", refuse)
    made = acts.revoke_grant(people.desk("office"), people.trust, grant["terms"]["id"],
                             approver=people.approver("office"), reason="停止", terms=grant["terms"])
    assert made["delivered"] is False
    verify_revocation(grant["terms"], made["revocation"], domain=domain_of(people.trust))


def test_an_outsider_revokes_nothing(people: People) -> None:
    grant = people.grants()[0]
    with pytest.raises(VerificationError, match=r"key\.wrong_role"):
        acts.revoke_grant(people.desk("outsider"), people.trust, grant["terms"]["id"],
                          approver=people.approver("outsider"), reason="x")
