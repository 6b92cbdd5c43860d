"""Who tries passwords has to wait; whether the name exists makes no difference."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dataspace.participants.models import FailedSignIn, Person
from dataspace.participants.policies import FAILURES_COUNT_FOR, MOST_FAILURES
from dataspace.participants.services import sign_in as counting
from tests.simulators.portal_space import Space

PASSWORD = "long enough to be one"


@pytest.fixture
def person(people: Space, settings: object) -> Person:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]
    made = Person.objects.create(username="Reader", roles=[])
    made.set_password(PASSWORD)
    made.save()
    return made


def sign_in(name: str, password: str) -> int:
    return Client().post("/sign-in", {"username": name, "password": password}).status_code


def test_it_works(person: Person) -> None:
    assert sign_in("Reader", "wrong") == 200
    assert sign_in("Reader", PASSWORD) == 302
    assert FailedSignIn.objects.count() == 0


@pytest.mark.parametrize("name", ["Reader", "Nobody"])
def test_after_some_failures_the_name_waits(person: Person, name: str) -> None:
    answers = [sign_in(name, f"wrong {number}") for number in range(MOST_FAILURES)]
    assert set(answers) == {200}
    assert sign_in(name, PASSWORD) == 429
    assert sign_in(name.upper(), PASSWORD) == 429
    assert not FailedSignIn.objects.filter(name_hash__icontains=name).exists()
    FailedSignIn.objects.update(at=timezone.now() - FAILURES_COUNT_FOR - timedelta(seconds=1))
    assert sign_in(name, PASSWORD) == (302 if name == "Reader" else 200)


def test_what_counts_no_more_is_forgotten(person: Person) -> None:
    sign_in("Reader", "wrong")
    counting.forget_failed_sign_ins(now=timezone.now())
    assert FailedSignIn.objects.count() == 1
    counting.forget_failed_sign_ins(now=timezone.now() + FAILURES_COUNT_FOR * 2)
    assert FailedSignIn.objects.count() == 0
