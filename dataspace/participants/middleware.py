"""Sets `request.actor` from the signed-in person; the API sets it from the request's signature."""

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from dataspace.actor import NOBODY, Actor
from dataspace.http import GetResponse
from dataspace.participants.models import Person
from dataspace.participants.queries import actor_of


def _actor(request: HttpRequest) -> Actor:
    person = request.user
    return actor_of(person) if isinstance(person, Person) and person.is_active else NOBODY


class ActorMiddleware:
    """The actor is read when first asked for: a static file or a signed request costs no query."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = SimpleLazyObject(lambda: _actor(request))  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.setdefault("Cache-Control", "private, no-store")  # what is shown depends on who asks
        return response
