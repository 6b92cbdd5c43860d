"""What can be wrong with an act in the portal. Statuses sit in `http.py`.

* DataspaceError                       the root
  - Denied        this actor may not do this
  - NotFound      no such thing, or not yours: they look the same
  - Invalid       the document or request is wrong
  - Refused       the act is understood and refused, with a public code
  - IllegalMove   the state table has no such move
  - Conflict      someone else moved it first; reload, decide
  - Unavailable   we could not find out; says nothing of the answer
"""


class DataspaceError(Exception):
    """The root; `code` is stable, the text is for people."""

    code = "dataspace"

    def __init__(self, message: str, *, code: str | None = None, who_must_act: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.who_must_act = who_must_act


class Denied(DataspaceError):
    code = "denied"


class NotFound(DataspaceError):
    code = "not_found"


class Invalid(DataspaceError):
    code = "invalid"


class Refused(DataspaceError):
    code = "refused"


class IllegalMove(DataspaceError):
    code = "illegal_move"


class Conflict(DataspaceError):
    code = "conflict"


class Unavailable(DataspaceError):
    code = "unavailable"
