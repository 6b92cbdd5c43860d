"""A grant from the regulator's signature to its end."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client

from dataspace.grants import services
from dataspace.grants.models import Grant
from dataspace.participants.models import Person
from dataspace.provenance.models import ChainTx
from ledger import acts
from ledger.approval import consent, domain_of, sign_revocation
from ledger.documents import new_salt
from ledger.errors import ChainRefused, PortalRefused
from tests.simulators.portal_space import HOSPITALS, Space, Stage, now, staged

stage = staged(lambda space: space.ready().decide(space.applied()))


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def grants(people: Space, stage: Stage) -> list[str]:
    return list(stage.made)


def state(people: Space, grant: str) -> str:
    return str(people.door("office").get(f"/grants/{grant}")["state"])


def test_it_works(people: Space, grants: list[str]) -> None:
    people.consent(grants[0])
    assert state(people, grants[0]) == "consented"
    people.pass_time()
    shown = people.door("maker").get(f"/grants/{grants[0]}")
    assert shown["state"] == "active"
    assert shown["registered"]["block"] > 0
    assert state(people, grants[1]) == "submitted"


def test_mined_is_not_yet_final(people: Space, grants: list[str]) -> None:
    from dataspace.provenance import followers

    people.consent(grants[0])
    followers.run_all()
    assert ChainTx.objects.get(kind="register").status == "mined"
    assert state(people, grants[0]) == "consented"


def test_while_the_chain_is_away_the_registration_waits(people: Space, grants: list[str]) -> None:
    people.chain.switches.on = False
    people.consent(grants[0])
    people.pass_time()
    assert state(people, grants[0]) == "consented"
    people.chain.switches.on = True
    people.pass_time()
    assert state(people, grants[0]) == "active"


def test_another_custodian_cannot_consent(people: Space, grants: list[str]) -> None:
    row = Grant.objects.get(pk=grants[0])
    other = next(name for name in HOSPITALS if people.id(name) != str(row.custodian_id))
    forged = {**_consent_of(people, row), "decider": people.approver(other).address}
    with pytest.raises(PortalRefused) as refused:
        people.door(other).post(f"/grants/{row.pk}/consent", {"consent": forged})
    assert refused.value.status == 404
    custodian = people.name_of(str(row.custodian_id))
    with pytest.raises(PortalRefused) as refused:
        people.door(custodian).post(f"/grants/{row.pk}/consent", {"consent": forged})
    assert refused.value.code == "approval.wrong_custodian"


def _consent_of(people: Space, row: Grant) -> dict[str, object]:
    name = people.name_of(str(row.custodian_id))
    found: dict[str, object] = consent(
        row.terms,
        people.approver(name),
        service=people.service(name).address,
        domain=domain_of(people.trust),
        nonce="0x" + new_salt(),
        sign_by=int(now().timestamp()) + 600,
    )
    return found


def test_the_regulators_signature_does_not_fill_the_custodians_place(people: Space, grants: list[str]) -> None:
    row = Grant.objects.get(pk=grants[0])
    custodian = people.name_of(str(row.custodian_id))
    with pytest.raises(PortalRefused) as refused:
        people.door(custodian).post(f"/grants/{row.pk}/consent", {"consent": row.approval})
    assert refused.value.code == "approval.wrong_role"


@pytest.mark.parametrize("by", ["regulator", "custodian"])
def test_a_revocation_is_final_when_it_is_seen(people: Space, grants: list[str], by: str) -> None:
    people.chain.switches.on = False
    row = Grant.objects.get(pk=grants[0])
    name = "office" if by == "regulator" else people.name_of(str(row.custodian_id))
    acts.revoke_grant(people.door(name), people.trust, grants[0], approver=people.approver(name), reason="misuse")
    assert state(people, grants[0]) == "revoked"
    people.chain.switches.on = True
    people.pass_time()
    assert ChainTx.objects.filter(kind="revoke", status="final").count() == 1


def test_the_grantee_revokes_nothing(people: Space, grants: list[str]) -> None:
    row = Grant.objects.get(pk=grants[0])
    revocation = sign_revocation(
        row.terms, people.approver("office"), by="regulator", reason="x", domain=domain_of(people.trust)
    )
    with pytest.raises(PortalRefused) as refused:
        people.door("maker").post(f"/grants/{row.pk}/revocation", {"revocation": revocation})
    assert refused.value.status == 403


def test_a_grant_expires(people: Space, grants: list[str]) -> None:
    services.follow(now=now() + timedelta(days=31))
    assert set(Grant.objects.values_list("state", flat=True)) == {"expired"}


def test_a_grant_is_exhausted_when_its_uses_are_on_chain(people: Space) -> None:
    granted = people.granted(max_uses=1)
    spec = people.spec(people.agreement(people.listed(), granted))
    people.order(spec)
    people.released(spec)
    rows = Grant.objects.filter(pk__in=granted)
    assert set(rows.values_list("state", flat=True)) == {"active"}
    people.pass_time()
    assert set(rows.values_list("state", flat=True)) == {"exhausted"}


def test_terms_that_say_more_than_the_scenario_are_refused(people: Space) -> None:
    from ledger.approval import approve

    scenario = people.applied()
    real = people.door("office").post
    door = people.door("office")

    def wider(path: str, body: dict[str, object], **more: object) -> object:
        if path.endswith("/decision"):
            grant = body["grants"][0]  # type: ignore[index]
            grant["terms"]["max_uses"] = 999
            grant["approval"] = approve(
                grant["terms"],
                people.approver("office"),
                domain=domain_of(people.trust),
                nonce="0x" + new_salt(),
                sign_by=int(now().timestamp()) + 600,
            )
        return real(path, body)

    door.post = wider  # type: ignore[method-assign,assignment]
    from tests.simulators.portal_space import DIGESTS

    with pytest.raises(PortalRefused) as refused:
        acts.decide_scenario(door, people.keys["office"], people.trust, scenario, digests=DIGESTS)
    assert refused.value.code == "grant.terms_mismatch"
    assert not Grant.objects.filter(scenario_id=scenario).exists()


def test_a_refused_registration_is_seen_and_holds_up_no_other(people: Space, grants: list[str]) -> None:
    people.chain.switches.reverting = True
    people.consent(grants[0])
    people.pass_time()
    people.chain.switches.reverting = False
    people.consent(grants[1])
    people.pass_time()
    shown = people.door("maker").get(f"/grants/{grants[0]}")
    assert (shown["state"], shown["registered"], shown["problem"]) == ("consented", None, "chain.reverted")
    shown = people.door("maker").get(f"/grants/{grants[1]}")
    assert (shown["state"], shown["problem"]) == ("active", None)
    reader = Client()
    reader.force_login(Person.objects.create(username="clerk", participant_id=people.id("office")))
    page = reader.get("/grants", headers={"Accept-Language": "en"}).content.decode()
    assert page.count("The chain refused to register it (chain.reverted).") == 1
    assert grants[0] in page


def test_one_grant_that_cannot_be_sent_holds_up_no_other(
    people: Space, grants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register = services.relay_registration

    def refuse(grant: Grant) -> ChainTx:
        if str(grant.pk) == grants[0]:
            raise ChainRefused("chain.form", "not to be encoded")
        return register(grant)

    monkeypatch.setattr(services, "relay_registration", refuse)
    people.consent(grants[0])
    people.consent(grants[1])
    acts.revoke_grant(
        people.door("office"), people.trust, grants[2], approver=people.approver("office"), reason="misuse"
    )
    people.pass_time()
    assert [state(people, one) for one in grants[:3]] == ["consented", "active", "revoked"]
    assert ChainTx.objects.filter(kind="revoke", status="final").count() == 1
