"""`./run demo | up | down`: parses the command line and runs the space until it is told to stop."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from deploy.drafts import draft_missing
from deploy.instance import AlreadyRunning, is_ours, only_instance, read_running, stop_running, write_running
from deploy.places import ROOT, Places
from deploy.postgres import PostgresError
from deploy.sources import Cast, SourceError, cast_of, demo_cast
from deploy.supervisor import ChildDied

SERVER = os.environ.get("DATABASE_URL") or None  # a PostgreSQL of the user's own


class Stopped(Exception):
    """SIGTERM or SIGINT arrived."""


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: the second Ctrl-C must not break the stopping
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is the command's."""
    options = _parser().parse_args(arguments)
    places = Places(Path(options.var).resolve(), kind="up" if options.command in ("up", "supervise") else "demo")
    try:
        if options.command == "demo":
            return _demo(places, once=options.once, port=options.port)
        if options.command == "up":
            return _up(places, options)
        if options.command == "supervise":
            return _supervise(places, options)
        if stop_running(places):
            print("stopped")
        else:
            print("nothing was running")
        return 0
    except (AlreadyRunning, SourceError, PostgresError, ChildDied) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    except Stopped:
        print("stopped", file=sys.stderr)
        return 130 if options.command == "demo" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("demo", "up", "supervise", "down"):
        command = commands.add_parser(name)
        command.add_argument("--var", default=str(ROOT / "var"), help="where state and logs lie")
        if name == "demo":
            command.add_argument("--once", action="store_true", help="end after the story")
        if name in ("up", "supervise"):
            command.add_argument("--hospitals", required=True, type=Path, help="one folder per hospital")
            command.add_argument("--fresh", action="store_true", help="forget an earlier space")
            command.add_argument("--accept-drafts", action="store_true", help="take drafted dictionaries as they are")
            persons = command.add_mutually_exclusive_group()
            persons.add_argument("--persons", metavar="COLUMN", help="this column of theirs tells persons apart")
            persons.add_argument("--one-person-per-row", action="store_true", help="no person has two rows there")
        if name != "down":
            command.add_argument("--port", type=int, default=8000, help="the portal's port, if it is free")
    return parser


def _demo(places: Places, *, once: bool, port: int) -> int:
    from deploy.space import building
    from deploy.story import tell

    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    with only_instance(places), building(places, demo_cast(), port=port, fresh=True, server=SERVER) as space:
        status = tell(space, once=once)
        if not once and status == 0:
            write_running(places, ready=True)
            print("Ctrl-C stops everything.", flush=True)
            with suppress(Stopped):  # what was asked for, once the story is over
                _stay(places, space.check)
        return status


def _up(places: Places, options: argparse.Namespace) -> int:
    """Start the supervising process on its own and wait until the space is ready."""
    cast = cast_of(options.hospitals.resolve())  # complain here, not in a log
    known = read_running(places)
    if known and known.alive:
        raise AlreadyRunning(f"process {known.pid} (./run {known.kind}) already runs a space here; ./run down stops it")
    places.logs.mkdir(parents=True, exist_ok=True)
    drafted = _draft_words(options)
    if options.accept_drafts and len(drafted) < 2 and not cast.described:
        print("Say who a person is: --persons COLUMN (the column that tells persons apart), or --one-person-per-row.")
        return 1
    if not options.accept_drafts and (drafts := draft_missing(cast, places.logs)):
        print("These files have no dictionary; a draft of each was written beside it:")
        print("\n".join(f"   {draft}" for draft in drafts))
        print("Say in each who a person is (an identifier column, or one_person_per_row: true), look at bounds and")
        print("codes, rename it to NAME.dictionary.json, and run `up` again; or say --accept-drafts (bounds widened")
        print("outward, rare codes dropped) with --persons COLUMN or --one-person-per-row.")
        return 1
    log = places.logs / "up.log"
    command = [sys.executable, "-m", "deploy", "supervise", "--var", str(places.var), "--port", str(options.port)]
    command += ["--hospitals", str(options.hospitals.resolve())]
    command += ["--fresh"] * options.fresh + ["--accept-drafts"] * options.accept_drafts + drafted[1:]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    shown = 0
    try:
        while process.poll() is None:
            shown = _show(log, shown)
            known = read_running(places)
            if known and known.pid == process.pid and known.ready:
                _show(log, shown)
                print(f"ready; {places.space_file} says where everything is; ./run down stops it")
                return 0
            time.sleep(0.1)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise Stopped from None
    _show(log, shown)
    return process.returncode or 1


def _draft_words(options: argparse.Namespace) -> list[str]:
    """How a file without a dictionary is registered: what its custodian accepts, and says of persons."""
    said = ["--persons", options.persons] if options.persons else ["--one-person-per-row"] * options.one_person_per_row
    return ["--accept-draft", *said] if options.accept_drafts else []


def _show(log: Path, shown: int) -> int:
    """Print what the log has gained; returns how far it was printed."""
    content = log.read_bytes()[shown:]
    sys.stdout.write(content.decode(errors="replace"))
    sys.stdout.flush()
    return shown + len(content)


def _supervise(places: Places, options: argparse.Namespace) -> int:
    from deploy.space import building

    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    cast: Cast = cast_of(options.hospitals)
    with (
        only_instance(places),
        building(places, cast, port=options.port, fresh=options.fresh, drafts=_draft_words(options)) as space,
    ):
        space.print_sign_ins()
        sys.stdout.flush()
        write_running(places, ready=True)
        _stay(places, space.check)
    return 0


def _stay(places: Places, check: Callable[[], None]) -> None:
    """Stay until a signal, a child's end, or the loss of `var/`."""
    while True:
        time.sleep(0.5)
        check()
        if not is_ours(places):
            raise ChildDied("var", f"was removed while process {os.getpid()} ran a space in it", "(gone)")


if __name__ == "__main__":
    sys.exit(main())
