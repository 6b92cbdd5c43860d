"""The actor behind a sign-in."""

from dataspace.participants.models import Participant, Person
from dataspace.participants.queries import actor_of
from tests.simulators.portal_space import Space


def person(people: Space, name: str) -> Person:
    return Person.objects.create(username=name, participant_id=people.id(name), roles=["analyst"])


def test_it_works(people: Space) -> None:
    people.admit("office", "maker")
    actor = actor_of(person(people, "maker"))
    assert (str(actor.participant_id), actor.admitted_as, actor.roles) == (
        people.id("maker"),
        frozenset({"consumer"}),
        frozenset({"analyst"}),
    )


def test_a_suspended_participants_person_may_nothing(people: Space) -> None:
    people.admit("office", "maker")
    Participant.objects.filter(pk=people.id("maker")).update(state="suspended")
    assert not actor_of(person(people, "maker")).is_admitted


def test_an_operator_belongs_to_nobody(people: Space) -> None:
    operator = Person.objects.create(username="operator", roles=["operator"])
    assert actor_of(operator).participant_id is None
