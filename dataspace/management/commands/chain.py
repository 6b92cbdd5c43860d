"""Tells how the chain does, and takes note that a person has seen to its alarms."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from dataspace.provenance.chainhealth import chain_health
from dataspace.provenance.models import ChainAlarm


class Command(BaseCommand):
    help = "the chain's kind, endpoints and alarms, as JSON"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seen", action="store_true", help="the alarms were seen to: show them no longer")

    def handle(self, *args: Any, **options: Any) -> None:
        found = chain_health()
        rows = ChainAlarm.objects.order_by("at").values("code", "height", "at", "seen_at")
        body = asdict(found) | {"alarms": list(rows)}
        self.stdout.write(json.dumps(body, indent=1, default=str))
        if options["seen"]:
            ChainAlarm.objects.filter(seen_at=None).update(seen_at=timezone.now())
