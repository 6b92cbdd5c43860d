"""Every error of the API as a problem document (RFC 9457), with a stable code and the request's id."""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DataError
from django.http import Http404
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response

from dataspace.errors import DataspaceError
from dataspace.http import status_of
from ledger.errors import ChainUnavailable, DocumentError, LedgerError, PortalUnavailable
from mpc.errors import MpcError

log = logging.getLogger(__name__)

PLAIN = {  # the API speaks one language; what is Django's own would follow the reader's
    "not_authenticated": "the request is not signed",
    "method_not_allowed": "this address has no such method",
    "unsupported_media_type": "the body is application/json",
    "not_acceptable": "the answer is application/json",
}
CONTENT_TYPE = "application/problem+json"


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str,
    who_must_act: str | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """One problem document."""
    body: dict[str, Any] = {
        "type": f"urn:xinglin:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    if who_must_act:
        body["who_must_act"] = who_must_act
    if errors:
        body["errors"] = errors
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return Response(body, status=status, content_type=CONTENT_TYPE, headers=headers)


def handle(exception: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: what went wrong, never what was in it."""
    request = context.get("request")
    request_id = str(getattr(getattr(request, "_request", None), "request_id", ""))
    if isinstance(exception, DataspaceError):
        return problem(
            status_of(exception),
            exception.code,
            exception.message,
            request_id=request_id,
            who_must_act=exception.who_must_act,
        )
    if isinstance(exception, LedgerError):
        return _of_ledger(exception, request_id)
    if isinstance(exception, MpcError):
        return problem(422, exception.code, exception.text, request_id=request_id)
    if isinstance(exception, APIException):
        return _of_drf(exception, request_id)
    if isinstance(exception, Http404):
        return problem(404, "not_found", "no such thing", request_id=request_id)
    if isinstance(exception, RequestDataTooBig):
        return problem(413, "http.too_long", "the body is too long", request_id=request_id)
    if isinstance(exception, PermissionDenied):
        return problem(403, "denied", "not allowed", request_id=request_id)
    if isinstance(exception, DataError):  # well formed, and beyond the tables: its text may hold the value
        return problem(422, "document.too_large", "a value is larger than this portal keeps", request_id=request_id)
    log.error("request %s failed", request_id, exc_info=exception)
    return problem(500, "internal", "this is our fault", request_id=request_id)


def _of_ledger(exception: LedgerError, request_id: str) -> Response:
    if isinstance(exception, ChainUnavailable | PortalUnavailable):
        return problem(503, exception.code, exception.message, request_id=request_id)
    errors = None
    if isinstance(exception, DocumentError):
        pointer, _, rest = exception.message.partition(": ")
        errors = [{"pointer": f"#{pointer}", "detail": rest}]
    return problem(422, exception.code, exception.message, request_id=request_id, errors=errors)


def _of_drf(exception: APIException, request_id: str) -> Response:
    codes: Any = exception.get_codes()
    code = codes if isinstance(codes, str) else "invalid"
    status = 422 if isinstance(exception, ValidationError) else exception.status_code
    detail = PLAIN.get(code, str(exception.detail))
    response = problem(status, code, detail, request_id=request_id)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Signature realm="xinglin"'
    return response
