"""`xinglin-node`: the command line of a home. Acts of the desk print one JSON object (on one line, but for a draft);
what people do at the node (doctor, explain, hold ...) prints words, and JSON when asked with --json.

Reads arguments, calls the desk or the loop, prints; holds no rule. Exit status: 0 done, 1 refused or not possible (the
reason on standard error, with its code), 2 wrong usage.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ledger.documents import load_json
from ledger.errors import LedgerError
from mpc.errors import MpcError
from mpc.node import config, console, data, desk, keysdesk
from mpc.node.console import Room, Said, room
from mpc.node.desk import Desk

Command = Callable[[argparse.Namespace], Any]


def _init(arguments: argparse.Namespace) -> Any:
    made = desk.init(arguments.home, role=arguments.role, portal=arguments.portal, name_zh=arguments.name_zh,
                     name_en=arguments.name_en)
    if arguments.trust:
        desk.adopt_trust(arguments.home, arguments.trust, arguments.fingerprint or "")
    return {"participant": made.participant, "fingerprint": config.load(arguments.home).fingerprint,
            "signing": Desk.open(arguments.home).keys.signing_public, "approver": made.approver,
            "service": made.service}


def _trust_file(arguments: argparse.Namespace) -> Any:
    return desk.make_trust_file(arguments.home, load_json(arguments.facts.read_bytes()), arguments.out)


def _check(arguments: argparse.Namespace) -> Any:
    """Judge one work item as the running node would; nothing is reserved, nothing sent."""
    from mpc.node.loop import assemble

    agent, _ = assemble(arguments.home)
    try:
        return agent.judge(load_json(arguments.work.read_bytes()), dry=True)[1]
    finally:
        agent.close()
        agent.book.close()


def _run(arguments: argparse.Namespace) -> Any:
    from mpc.node.loop import run

    run(arguments.home)
    return None


def _revoke(arguments: argparse.Namespace) -> Any:
    terms = load_json(arguments.terms.read_bytes()) if arguments.terms else None
    return Desk.open(arguments.home).revoke(
        arguments.grant, arguments.reason, homes=arguments.dealer_home, portal=not arguments.no_portal,
        chain=not arguments.no_chain, terms=terms)


def _desk(act: Callable[[Desk, argparse.Namespace], Any]) -> Command:
    """A command at the desk of one home."""
    return lambda arguments: act(Desk.open(arguments.home), arguments)


def _here(act: Callable[[Room, argparse.Namespace], Said]) -> Command:
    """A command in the room of one home."""
    def command(arguments: argparse.Namespace) -> Said:
        with room(arguments.home, arguments.lang) as here:
            return act(here, arguments)
    return command


def _stop(arguments: argparse.Namespace) -> Said:
    """Whatever the book's trouble is, the jobs end."""
    try:
        with room(arguments.home, arguments.lang) as here:
            return console.stop(here, arguments.reason)
    except sqlite3.Error:
        return console.end_agent(arguments.home, console.language_of(arguments.lang))


def _doctor(here: Room, arguments: argparse.Namespace) -> Said:
    from mpc.node.doctor import examine

    return examine(here)


CONSOLE: dict[str, tuple[str, Command]] = {
    "doctor": ("look at everything this node needs; a mend for what is not well", _here(_doctor)),
    "status": ("the node at a glance", _here(lambda here, a: console.status(here))),
    "jobs": ("the newest jobs judged here", _here(lambda here, a: console.jobs(
        here, decision=a.decision, limit=a.limit))),
    "explain": ("every check of a job and its outcome", _here(lambda here, a: console.explain(here, a.job))),
    "hold": ("hold a job for a person", _here(lambda here, a: console.hold(here, a.job))),
    "release": ("release a held job: judged again at once", _here(lambda here, a: console.release(here, a.job))),
    "deny": ("deny a job; aborts it if it runs", _here(lambda here, a: console.deny(here, a.job))),
    "stop": ("abort running jobs and refuse new ones, until start", _stop),
    "start": ("take the stop back", _here(lambda here, a: console.start(here))),
    "audit": ("the record of decisions and acts", _here(lambda here, a: console.audit(
        here, verify=a.verify, job=a.job, since=a.since, last=a.last, terminal=sys.stdout.isatty()))),
    "policy": ("read policy.toml as the node does; --check FILE before you put it in place", _here(
        lambda here, a: console.check_policy(here, a.check))),
}
COMMANDS: dict[str, tuple[str, Command]] = {
    "init": ("make a home: folders, keys, configuration, default policy", _init),
    "trust-file": ("make the root key and sign the trust file (regulator)", _trust_file),
    "adopt-trust": ("believe a trust file under its fingerprint",
                    lambda a: desk.adopt_trust(a.home, a.trust, a.fingerprint)),
    "enrol": ("apply to the space", lambda a: Desk.open(a.home).enrol()),
    "admit": ("admit an applicant (regulator)",
              lambda a: Desk.open(a.home).admit(a.participant, a.fingerprint)),
    "draft": ("draft a dictionary of a file; no exact extreme, no rare code",
              lambda a: data.drafted_file(a.file)),
    "register": ("check a file against its dictionary and register it",
                 lambda a: Desk.open(a.home).register(a.file, dictionary=a.dictionary, title_zh=a.title_zh,
                                                      title_en=a.title_en, accept_draft=a.accept_draft,
                                                      version_of=a.version_of, persons=a.persons,
                                                      one_person_per_row=a.one_person_per_row)),
    "confirm": ("agree that our dataset is sold in a product", lambda a: Desk.open(a.home).confirm(a.product)),
    "list": ("decide a product's listing (regulator)",
             lambda a: Desk.open(a.home).list_product(a.product, a.decision, a.note)),
    "approve": ("decide a scenario (regulator)", lambda a: Desk.open(a.home).decide(a.scenario, a.decision, a.note)),
    "consent": ("consent to a grant over our dataset", lambda a: Desk.open(a.home).consent(a.grant)),
    "revoke": ("revoke a grant: portal, chain, and by file", _revoke),
    **{name: (text, _desk(act)) for name, (text, act) in keysdesk.COMMANDS.items()},
    "check": ("judge one work item; reserves and sends nothing", _check),
    "run": ("work until stopped", _run),
    **CONSOLE,
}


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(prog="xinglin-node", description="A hospital's or office's node.")
    commands = top.add_subparsers(dest="command", required=True)
    made = {}
    for name, (text, _) in COMMANDS.items():
        made[name] = commands.add_parser(name, help=text, description=text)
        made[name].add_argument("--home", type=Path, required=name != "draft")
    made["init"].add_argument("--role", choices=config.ROLES, required=True)
    for option in ("--name-zh", "--name-en", "--portal"):
        made["init"].add_argument(option, required=True)
    made["init"].add_argument("--trust", type=Path)
    made["init"].add_argument("--fingerprint")
    made["trust-file"].add_argument("--facts", type=Path, required=True)
    made["trust-file"].add_argument("--out", type=Path, required=True)
    made["adopt-trust"].add_argument("--trust", type=Path, required=True)
    made["adopt-trust"].add_argument("--fingerprint", required=True)
    made["admit"].add_argument("participant")
    made["admit"].add_argument("--fingerprint", required=True)
    for name in ("draft", "register"):
        made[name].add_argument("--file", type=Path, required=True,
                                help="a .csv or .parquet file, or SOURCE:SCHEMA.TABLE (config.toml: [source.SOURCE])")
    made["register"].add_argument("--dictionary", type=Path)
    made["register"].add_argument("--title-zh", default="")
    made["register"].add_argument("--title-en", default="")
    made["register"].add_argument("--accept-draft", action="store_true")
    made["register"].add_argument("--persons", default="", metavar="COLUMN", help="the column that tells persons apart")
    made["register"].add_argument("--one-person-per-row", action="store_true", help="no person has two rows")
    made["register"].add_argument("--version-of", default="", help="a dataset of ours that this one follows")
    made["confirm"].add_argument("product")
    made["list"].add_argument("product")
    made["list"].add_argument("--decision", choices=("list", "delist", "return"), default="list")
    made["approve"].add_argument("scenario")
    made["approve"].add_argument("--decision", choices=("approve", "return", "reject"), default="approve")
    for name in ("list", "approve"):
        made[name].add_argument("--note", default="")
    made["consent"].add_argument("grant")
    made["revoke"].add_argument("grant")
    made["revoke"].add_argument("--reason", required=True)
    made["revoke"].add_argument("--dealer-home", type=Path, action="append", default=[])
    made["revoke"].add_argument("--terms", type=Path, help="the grant's terms, when the portal need not be asked")
    made["revoke"].add_argument("--no-portal", action="store_true")
    made["revoke"].add_argument("--no-chain", action="store_true")
    made["check"].add_argument("--work", type=Path, required=True)
    keysdesk.add_arguments(made)
    for name in CONSOLE:
        made[name].add_argument("--json", action="store_true", help="for machines")
        made[name].add_argument("--lang", choices=("zh", "en"))
    for name in ("explain", "hold", "release", "deny"):
        made[name].add_argument("job", help="a job's id, or the hash of its spec")
    made["jobs"].add_argument("--decision", choices=("accept", "hold", "refuse"))
    made["jobs"].add_argument("--limit", type=int, default=50)
    made["stop"].add_argument("--reason", default="")
    made["audit"].add_argument("--verify", action="store_true", help="whether all of it holds, whatever is shown")
    made["audit"].add_argument("--job", default="", help="the lines about one job: its id, or the hash of its spec")
    made["audit"].add_argument("--since", default="", metavar="DATE", help="2026-11-22 or 2026-11-22T08:00:00Z, in UTC")
    made["audit"].add_argument("--last", type=int, metavar="N", help="the newest N lines; a terminal shows 50")
    made["policy"].add_argument("--check", type=Path, nargs="?", help="another file than the home's policy.toml")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    given = parser().parse_args(arguments)
    try:
        answer = COMMANDS[given.command][1](given)
    except (LedgerError, MpcError) as error:
        print(f"xinglin-node {given.command}: {error.code}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"xinglin-node {given.command}: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    except sqlite3.Error as error:  # a full disk, a damaged book: the doctor says which
        print(f"xinglin-node {given.command}: node.sqlite3: {error}", file=sys.stderr)
        return 1
    if isinstance(answer, Said):
        print(json.dumps(answer.body, ensure_ascii=False) if given.json else answer.text)
        return answer.status
    if answer is not None:
        # a draft is for a person to read and correct, everything else for a script
        print(json.dumps(answer, ensure_ascii=False, indent=1 if given.command == "draft" else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
