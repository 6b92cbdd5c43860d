"""The papers of a job on their own: they hold together, or a node refuses with the code of what is wrong."""

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.approval import approval_by_passkey, domain_of, terms_digest
from ledger.documents import chain_id_of, document_hash, new_document, new_id, new_salt, signed, timestamp
from mpc.errors import MpcError
from mpc.node.errors import CODES, Refused
from mpc.node.grants import check_approvals
from mpc.node.papers import Papers, verify_papers
from tests.simulators.node_world import COLUMNS, HOSPITALS, NOW, Document, World, category, number, resigned
from tests.simulators.passkey import SoftKey


def verify(world: World, item: Document, name: str = "hospital_a") -> Papers:
    return verify_papers(item, me=world.me(name), trust=world.trust, now=NOW)


def refused(world: World, item: Document, *names: str) -> str:
    """The code with which a hospital and the dealer's office alike refuse; each checks by itself."""
    codes = set()
    for name in names or ("hospital_a", "dealer"):
        with pytest.raises(Refused) as caught:
            verify(world, item, name)
        assert caught.value.who_must_act
        codes.add(caught.value.code)
    [code] = codes
    return code


def test_it_works(world: World) -> None:
    item = world.item()
    papers = verify(world, item)
    assert papers.job_hash == document_hash(item["spec"]["document"])
    assert papers.own is not None and papers.own.terms["custodian"] == world.keys["hospital_a"].participant
    assert papers.spec["roster"][papers.seat]["participant"] == world.keys["hospital_a"].participant
    assert papers.floor == 10
    assert papers.rows_max_total == 1500
    assert papers.shape.columns == {"age", "sex"}


def test_the_dealer_checks_the_same_papers(world: World) -> None:
    papers = verify(world, world.item(), "dealer")
    assert papers.own is None and papers.seat == len(HOSPITALS)


def test_the_floor_is_the_largest_of_spec_and_grants(world: World) -> None:
    assert verify(world, world.item(disclosure={"floor": 25})).floor == 25
    assert verify(world, world.item(disclosure={"floor": 3})).floor == 10


def test_the_same_question_under_the_same_grants_has_one_release_key(world: World) -> None:
    first = world.item()
    again = world.resign(copy.deepcopy(first), id=new_id(), nonce=new_salt())
    again["job"] = again["spec"]["document"]["id"]
    other = world.resign(copy.deepcopy(first), parameters={"columns": ["age"], "by": None})
    assert verify(world, first).release_key == verify(world, again).release_key
    assert verify(world, first).release_key != verify(world, other).release_key


# -- the spec

def test_a_spec_altered_after_signing(world: World) -> None:
    item = world.item()
    item["spec"]["document"]["disclosure"]["floor"] = 11
    assert refused(world, item) == "spec.signature_invalid"


def test_a_spec_signed_by_somebody_else(world: World) -> None:
    item = world.item()
    item["spec"] = signed(item["spec"]["document"], world.keys["outsider"].signing)
    assert refused(world, item) == "spec.signature_invalid"


@pytest.mark.parametrize("change", [{"surprise": 1}, {"engine": "other/1"}, {"filter": [{"age": 1}]}, {"nonce": "00"}])
def test_a_malformed_spec(world: World, change: Document) -> None:
    item = world.item()
    item["spec"]["document"].update(change)
    assert refused(world, item) == "spec.malformed"


def test_a_spec_without_a_field(world: World) -> None:
    item = world.item()
    del item["spec"]["document"]["recipient"]
    assert refused(world, item) == "spec.malformed"


def test_an_item_that_names_another_job(world: World) -> None:
    assert refused(world, {**world.item(), "job": new_id()}) == "spec.malformed"
    assert refused(world, {**world.item(), "attempt": 0}) == "spec.malformed"
    assert refused(world, {**world.item(), "attempt": True}) == "spec.malformed"


def test_a_deadline_that_is_over(world: World) -> None:
    item = world.item(issued_at=timestamp(NOW - timedelta(hours=2)), deadline=timestamp(NOW - timedelta(hours=1)))
    assert refused(world, item) == "spec.stale"


def test_a_spec_from_the_future(world: World) -> None:
    item = world.item(issued_at=timestamp(NOW + timedelta(seconds=90)))
    assert refused(world, item) == "spec.stale"


def test_a_deadline_too_far_away(world: World) -> None:
    item = world.item()
    item["spec"]["document"]["deadline"] = timestamp(NOW + timedelta(hours=73))
    assert refused(world, item) == "spec.malformed"


# -- roster and participants

def test_a_roster_that_is_a_subset(world: World) -> None:
    world.datasets.setdefault("outsider", world.dataset("outsider"))
    four = (*HOSPITALS, "outsider")
    scenario = world.scenario(four)
    records = sorted((world.datasets[name]["document"] for name in HOSPITALS), key=lambda one: str(one["id"]))
    item = world.item(scenario=scenario, grants=[world.grant(scenario, one) for one in records])
    assert refused(world, item) == "spec.roster_mismatch"


def test_fewer_than_three_hospitals(world: World) -> None:
    assert refused(world, world.item(members=HOSPITALS[:2])) == "spec.roster_mismatch"


def test_seats_that_are_not_the_inputs_providers(world: World) -> None:
    item = world.item()
    roster = copy.deepcopy(item["spec"]["document"]["roster"])
    roster[0]["participant"], roster[1]["participant"] = roster[1]["participant"], roster[0]["participant"]
    assert refused(world, world.resign(item, roster=roster)) == "spec.roster_mismatch"


def test_a_node_that_is_not_in_the_roster(world: World) -> None:
    assert refused(world, world.item(), "outsider") == "spec.roster_mismatch"


def test_another_dealer(world: World) -> None:
    keys = world.keys["outsider"]
    dealer = {"participant": keys.participant, "signing": keys.signing_public}
    assert refused(world, world.item(dealer=dealer)) == "spec.roster_mismatch"


def test_a_key_swapped_in_the_portals_database(world: World) -> None:
    item = world.item()
    record = copy.deepcopy(world.record("hospital_b"))
    record["keys"]["signing"] = world.keys["outsider"].signing_public
    swapped = {**world.records["hospital_b"], **signed(record, world.keys["outsider"].signing)}
    item["participants"] = [swapped if one["document"]["id"] == record["id"] else one for one in item["participants"]]
    assert refused(world, item) == "participant.record_mismatch"


def test_a_consumer_that_the_regulator_never_admitted(world: World) -> None:
    item = world.item()
    own = {**world.records["maker"], **signed(world.record("maker"), world.keys["maker"].signing)}
    item["participants"] = [own if one["document"]["id"] == own["document"]["id"] else one
                            for one in item["participants"]]
    assert refused(world, item) == "participant.record_mismatch"


def test_a_missing_record(world: World) -> None:
    item = world.item()
    item["participants"] = [one for one in item["participants"]
                            if one["document"]["id"] != world.keys["hospital_c"].participant]
    assert refused(world, item) == "participant.record_mismatch"


def test_a_sealing_key_that_is_not_the_consumers(world: World) -> None:
    recipient = {"participant": world.keys["maker"].participant, "sealing": world.keys["outsider"].sealing_public}
    assert refused(world, world.item(recipient=recipient)) == "participant.record_mismatch"


def test_a_roster_that_names_another_record(world: World) -> None:
    item = world.item()
    roster = copy.deepcopy(item["spec"]["document"]["roster"])
    roster[1]["record_hash"] = "00" * 32
    assert refused(world, world.resign(item, roster=roster)) == "participant.record_mismatch"


# -- grants

def grants_with(world: World, change: Callable[[Document], Document]) -> Document:
    """A job whose first grant is changed before everybody signs it."""
    scenario = world.scenario()
    records = sorted((world.datasets[name]["document"] for name in HOSPITALS), key=lambda one: str(one["id"]))
    papers = [world.grant(scenario, one) for one in records]
    papers[0] = change(papers[0])
    return world.item(scenario=scenario, grants=papers)


def test_a_grant_for_another_dataset(world: World) -> None:
    other = world.datasets["outsider"]["document"]

    def change(papers: Document) -> Document:
        name = world.name_of(papers["terms"]["custodian"])
        terms = {**papers["terms"], "dataset": other["id"], "dataset_hash": document_hash(other),
                 "dataset_chain_id": chain_id_of(other["id"], other["id_salt"])}
        return world.approved(terms, name)
    assert refused(world, grants_with(world, change)) == "grant.wrong_dataset"


def test_a_grant_for_another_version_of_the_dataset(world: World) -> None:
    def change(papers: Document) -> Document:
        name = world.name_of(papers["terms"]["custodian"])
        return world.approved({**papers["terms"], "dataset_hash": "00" * 32}, name)
    assert refused(world, grants_with(world, change)) == "grant.wrong_dataset"


def test_another_custodians_signature(world: World) -> None:
    def change(papers: Document) -> Document:
        terms = {**papers["terms"], "custodian_approver": world.approver("outsider").address}
        return world.approved(terms, "outsider")
    assert refused(world, grants_with(world, change)) == "grant.wrong_custodian"


def test_another_custodian_in_the_terms(world: World) -> None:
    def change(papers: Document) -> Document:
        terms = {**papers["terms"], "custodian": world.keys["outsider"].participant}
        return world.approved(terms, world.name_of(papers["terms"]["custodian"]))
    assert refused(world, grants_with(world, change)) == "grant.wrong_custodian"


def test_an_approval_by_nobody_of_the_trust_file(world: World) -> None:
    def change(papers: Document) -> Document:
        return world.approved(papers["terms"], world.name_of(papers["terms"]["custodian"]), office="outsider")
    assert refused(world, grants_with(world, change)) == "grant.approval_invalid"


def test_the_regulators_approval_in_both_slots(world: World) -> None:
    item = world.item()
    item["grants"][1]["consent"] = item["grants"][1]["approval"]
    assert refused(world, item) == "grant.approval_invalid"


@pytest.mark.parametrize("slot", ["approval", "consent"])
def test_a_forged_or_missing_approval(world: World, slot: str) -> None:
    item = world.item()
    bad = item["grants"][2][slot]["signature"]
    item["grants"][2][slot]["signature"] = bad[:10] + ("0" if bad[10] != "0" else "1") + bad[11:]
    assert refused(world, item) == "grant.approval_invalid"
    item["grants"][2][slot] = None
    assert refused(world, item) == "grant.approval_invalid"


def test_terms_altered_by_the_portal(world: World) -> None:
    item = world.item()
    item["grants"][0]["terms"]["max_uses"] = 1000
    assert refused(world, item) == "grant.terms_mismatch"


def test_a_grant_that_is_missing_from_the_papers(world: World) -> None:
    item = world.item()
    del item["grants"][0]
    assert refused(world, item) == "grant.terms_mismatch"


def test_a_function_outside_the_grants(world: World) -> None:
    scenario = world.scenario(functions=[{"name": "describe", "version": 1}])
    item = world.item(scenario=scenario, function="crosstab")
    assert refused(world, item) == "grant.outside_scope"


def test_a_function_digest_that_changed(world: World) -> None:
    function = {"name": "describe", "version": 1, "digest": "00" * 32}
    assert refused(world, world.resign(world.item(), function=function)) == "spec.function_digest"


def test_a_digest_granted_other_than_ours(world: World) -> None:
    def change(papers: Document) -> Document:
        functions = [{**one, "digest": "00" * 32} for one in papers["terms"]["functions"]]
        return world.approved({**papers["terms"], "functions": functions},
                              world.name_of(papers["terms"]["custodian"]))
    assert refused(world, grants_with(world, change)) == "spec.function_digest"


def test_a_grant_of_another_grantee(world: World) -> None:
    def change(papers: Document) -> Document:
        return world.approved({**papers["terms"], "grantee": world.keys["outsider"].participant},
                              world.name_of(papers["terms"]["custodian"]))
    assert refused(world, grants_with(world, change)) == "grant.outside_scope"


def test_grants_of_two_scenarios(world: World) -> None:
    def change(papers: Document) -> Document:
        return world.approved({**papers["terms"], "scenario": new_id()},
                              world.name_of(papers["terms"]["custodian"]))
    assert refused(world, grants_with(world, change)) == "grant.outside_scope"


@pytest.mark.parametrize(("when", "code"), [
    ({"not_before": timestamp(NOW - timedelta(days=9)), "not_after": timestamp(NOW - timedelta(days=1))},
     "grant.expired"),
    ({"not_before": timestamp(NOW + timedelta(days=1)), "not_after": timestamp(NOW + timedelta(days=9))},
     "grant.not_yet"),
])
def test_a_grant_out_of_its_time(world: World, when: dict[str, str], code: str) -> None:
    assert refused(world, world.item(scenario=world.scenario(**when))) == code


def test_our_own_grant_under_a_key_that_is_not_pinned_here(world: World) -> None:
    item = world.item()
    me = world.me("hospital_a")
    for other in ({"approver": world.approver("outsider").address},
                  {"service": world.service("outsider").address}):
        changed = type(me)(**{**me.__dict__, **other})
        with pytest.raises(Refused) as caught:
            verify_papers(item, me=changed, trust=world.trust, now=NOW)
        assert caught.value.code == "grant.wrong_custodian"


# -- datasets, agreement, parameters

def test_a_dataset_record_that_its_provider_did_not_sign(world: World) -> None:
    item = world.item()
    item["datasets"][0] = signed(item["datasets"][0]["document"], world.keys["outsider"].signing)
    assert refused(world, item) == "grant.wrong_dataset"


def test_a_dataset_record_that_was_replaced(world: World) -> None:
    item = world.item()
    name = world.name_of(item["datasets"][0]["document"]["provider"])
    item["datasets"][0] = resigned(item["datasets"][0], world.keys[name].signing, rows_max=1000)
    assert refused(world, item) == "grant.wrong_dataset"


def test_an_agreement_that_only_the_consumer_signed(world: World) -> None:
    item = world.item()
    item["agreement"] = signed(item["agreement"]["document"], world.keys["maker"].signing)
    assert refused(world, item) == "agreement.invalid"


def test_an_agreement_about_other_grants(world: World) -> None:
    item = world.item()
    agreement = {**item["agreement"]["document"], "grants": item["agreement"]["document"]["grants"][1:]}
    lead = world.keys[world.name_of(agreement["provider"])].signing
    item["agreement"] = signed(agreement, world.keys["maker"].signing, lead)
    item = world.resign(item, agreement_hash=document_hash(agreement))
    assert refused(world, item) == "agreement.invalid"


def test_another_agreement_than_the_specs(world: World) -> None:
    item, other = world.item(), world.item()
    item["agreement"] = other["agreement"]
    assert refused(world, item) == "agreement.invalid"


def test_a_question_that_no_worker_could_compute(world: World) -> None:
    """Refused before anybody accepts, and as the buyer's to mend: not by a worker, in the name of a hospital."""
    own, many = dict(world.datasets), [f"code {at}" for at in range(3800)]
    fine = {**number("age"), "min": "0", "max": "9000", "step": "0.0000000000000001"}
    broad = category("sex", *many)
    wide = [{**number(f"column {at}"), "max": "999"} for at in range(32)]
    for columns, asked in (
            ([fine, *COLUMNS[1:]], {}),
            ([fine, *COLUMNS[1:]], {"function": "crosstab", "filter": {"op": "missing", "column": "age"}}),
            ([broad, *wide], {"parameters": {"columns": [one["name"] for one in wide], "by": "sex"}})):
        world.datasets.update({name: world.dataset(name, columns) for name in HOSPITALS})
        try:
            assert refused(world, world.item(scenario=world.scenario(filter_columns=["age"]), **asked)
                           ) == "spec.parameters", asked
        finally:
            world.datasets.update(own)


@pytest.mark.parametrize("parameters", [
    {"columns": ["weight"], "by": "sex"}, {"columns": ["age"], "by": "age"}, {"columns": []}, {"rows": "sex"},
    {"columns": ["age"], "by": "sex", "provider": "hospital_a"},
])
def test_parameters_that_do_not_fit(world: World, parameters: dict[str, Any]) -> None:
    assert refused(world, world.item(parameters=parameters)) == "spec.parameters"


def test_a_column_that_one_hospital_lacks(world: World) -> None:
    own = dict(world.datasets)
    world.datasets["hospital_b"] = world.dataset("hospital_b", [*COLUMNS, number("weight")])
    try:
        assert refused(world, world.item(parameters={"columns": ["weight"], "by": None})) == "spec.parameters"
    finally:
        world.datasets.update(own)


def test_a_column_that_one_hospital_declares_as_wide_as_the_ring(world: World) -> None:
    """On the grid that follows from it every value of the others would look alike to the rule of dominance."""
    own = dict(world.datasets)
    world.datasets["hospital_b"] = world.dataset("hospital_b", [{**number("age"), "max": "9000000000000000"},
                                                                *COLUMNS[1:]])
    try:
        with pytest.raises(Refused) as caught:
            verify(world, world.item())
        cause = caught.value.__cause__
        assert (caught.value.code, isinstance(cause, MpcError) and cause.code) == ("spec.parameters", "encoding.coarse")
        verify(world, world.item(function="crosstab"))
    finally:
        world.datasets.update(own)


def test_every_code_names_who_must_act() -> None:
    assert set(CODES.values()) <= {"consumer", "custodian", "regulator", "operator"}
    with pytest.raises(ValueError, match="not a public code"):
        Refused("made.up", "no such code")


def test_a_verdict_can_carry_every_code() -> None:
    for code, who in CODES.items():
        new_document("verdict", job=new_id(), job_hash="00" * 32, attempt=1, participant=new_id(), seat=0,
                     decision="refuse", code=code, rule="", who_must_act=who, grant_block=None,
                     policy_hash="00" * 32, session=None)


def test_which_passkeys_speak_for_the_regulator_is_the_trust_files_to_say(world: World) -> None:
    """Whatever a custodian's record lists under the same account (a record that does is admitted by nobody)."""
    papers, account = verify(world, world.item()), "0x" + "5a" * 20
    true, forged = SoftKey.create(), SoftKey.create()
    office = replace(world.trust.regulator, approvers=(account,), passkeys={account: [true.public]})
    trust, terms = replace(world.trust, regulator=office), papers.grants[0].terms
    record = copy.deepcopy(papers.records[terms["custodian"]])
    record["keys"]["approval"].append({"scheme": "passkey", "address": account, "keys": [forged.public]})

    def approve(key: SoftKey) -> None:
        value = terms_digest(domain_of(trust), terms, role="regulator", decider=account, nonce="0x" + "01" * 32,
                             sign_by=2**32)
        given = approval_by_passkey(terms, account, key.sign(value), role="regulator", nonce="0x" + "01" * 32,
                                    sign_by=2**32)
        check_approvals(replace(papers.grants[0], approval=given), {terms["custodian"]: record}, trust)

    approve(true)
    with pytest.raises(Refused) as caught:
        approve(forged)
    assert caught.value.code == "grant.approval_invalid"
