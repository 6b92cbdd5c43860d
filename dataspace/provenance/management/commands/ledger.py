"""`manage.py ledger fsck | status | export DIR | reanchor`: check the log, say how it stands, copy it, anchor it."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from dataspace.errors import DataspaceError
from dataspace.provenance import audit, followers
from ledger.errors import LedgerError


class Command(BaseCommand):
    help = "fsck: check the whole log; status: where it stands; export DIR: copy it; reanchor: after a lost chain"

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        fsck = acts.add_parser("fsck", help="build every root anew and compare tiles, rows, signatures and the chain")
        fsck.add_argument("--no-chain", action="store_true", help="do not ask the chain for the anchors")
        acts.add_parser("status", help="sizes, waiting events, witnesses, anchors, as JSON")
        export = acts.add_parser("export", help="write the published log as files (checked by python -m ledger fsck)")
        export.add_argument("folder", type=Path)
        acts.add_parser("reanchor", help="anchor the head again after the chain lost anchors of ours")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['act']}")(options)
        except (LedgerError, DataspaceError, LookupError) as trouble:
            raise CommandError(str(trouble)) from trouble

    def _fsck(self, options: dict[str, Any]) -> None:
        report = audit.fsck(chain=not options["no_chain"])
        for one in report.findings:
            self.stdout.write(f"{one.code}: {one.message}")
        self.stdout.write(f"{report.size} leaves, root {report.root.hex()}")
        if not report.whole:
            raise CommandError(f"{len(report.findings)} findings: NOT whole; see docs/how-to/rescue-the-ledger.md")
        self.stdout.write("the log is whole" + ("; anchors not checked" if options["no_chain"] else ""))

    def _status(self, options: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(audit.status(), indent=1))

    def _export(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{audit.export(options['folder'])} leaves written to {options['folder']}")

    def _reanchor(self, options: dict[str, Any]) -> None:
        with followers.leader() as leads:
            if not leads:
                raise CommandError("another process leads just now; try again")
            lost = audit.reanchor(now=timezone.now())
        then = "the head is being anchored again" if lost else "nothing to do"
        self.stdout.write(f"{lost} anchors were lost; {then}")
