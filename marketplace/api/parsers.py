"""JSON without traps: no name twice, no NaN, no depth that fells the process."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from ledger.documents import load_json
from ledger.errors import DocumentError


class StrictJson(BaseParser):
    """Reads a body as the ledger reads documents."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return load_json(stream.read())
        except DocumentError as trouble:
            raise ParseError(trouble.message, code="body.malformed") from trouble
