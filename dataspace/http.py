"""Between requests and the domain: statuses of errors, request ids, and one middleware that answers for errors."""

import logging
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dataspace.actor import Actor
from dataspace.errors import Conflict, DataspaceError, Denied, IllegalMove, Invalid, NotFound, Refused, Unavailable

log = logging.getLogger(__name__)

STATUS: dict[type[DataspaceError], int] = {
    Denied: 403,
    NotFound: 404,
    Invalid: 422,
    Refused: 409,
    IllegalMove: 409,
    Conflict: 409,
    Unavailable: 503,
}

GetResponse = Callable[[HttpRequest], HttpResponse]


class ActorRequest(HttpRequest):
    """A request after the middlewares: it knows who acts and its own id."""

    actor: Actor
    request_id: str


def status_of(error: DataspaceError) -> int:
    """The HTTP status of an error; an unknown kind is our fault."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


class RequestIdMiddleware:
    """Gives each request an id, returned in a header and in every problem."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid.uuid4())
        request.request_id = request_id  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


class ErrorMiddleware:
    """Turns the domain's errors into a page with the right status; the API has its own handler."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, DataspaceError):
            return None
        status = status_of(exception)
        context = {"status": status, "code": exception.code, "detail": exception.message}
        return render(request, "error.html", context, status=status)
