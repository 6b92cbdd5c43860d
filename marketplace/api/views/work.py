"""The nodes' long poll. Outbound from them, answered as soon as something waits; no transaction is held meanwhile."""

import time

from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.errors import Unavailable
from marketplace.api.bell import bell
from marketplace.api.patience import patience
from marketplace.api.views.base import ApiView, documented, seconds_asked
from marketplace.api.work import items_for

LONGEST = 25.0
LOOK_EVERY = 0.25


class Work(ApiView):
    @documented("What waits for this node")
    def get(self, request: Request) -> Response:
        until = time.monotonic() + seconds_asked(request, most=LONGEST)
        with patience.place(self.actor.organisation) as may_wait:
            while True:
                rung = bell.rings()
                items = items_for(self.actor, now=self.now)
                left = until - time.monotonic()
                if items or left <= 0:
                    return Response({"items": items})
                if not may_wait:
                    raise Unavailable("too many wait here already; ask again in a moment", code="work.busy")
                bell.wait(rung, min(left, LOOK_EVERY))
