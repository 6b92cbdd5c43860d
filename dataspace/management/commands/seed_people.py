"""Make sign-ins from a file: a JSON list of {username, password, participant, roles, name}."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from dataspace.participants.models import Participant, Person


class Command(BaseCommand):
    help = "make or bring up to date the sign-ins that FILE lists"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        people = json.loads(options["file"].read_text(encoding="utf-8"))
        for one in people:
            self._seed(one)
        self.stdout.write(f"{len(people)} sign-ins")

    def _seed(self, one: dict[str, Any]) -> None:
        participant = one.get("participant")
        if participant is not None and not Participant.objects.filter(pk=participant).exists():
            raise CommandError(f"no participant {participant}")
        person, _ = Person.objects.get_or_create(username=one["username"])
        person.participant_id = participant
        person.roles = list(one["roles"])
        person.name = one["name"]
        if not person.check_password(one["password"]):
            person.set_password(one["password"])
        person.save(update_fields=["participant", "roles", "name", "password"])
