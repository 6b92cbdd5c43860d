"""What the people of a hospital do at their node: look at jobs, hold, release, deny, stop, start, read the record.

Speaks with the running agent through the node's book alone: no port, no shared memory, and a signal only for a stop
that cannot be written. Every act is in the record with the name of who did it, as the kernel knows them, before it
counts; but for the stop, which counts first. Answers a text for people (Chinese or English) and the same for machines;
decides nothing.
"""

import os
import pwd
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from mpc.node import config, policyfile, rulebook
from mpc.node.asked import called, lines_of, plain
from mpc.node.audit import Audit, as_json
from mpc.node.book import OPEN_STATES, Book
from mpc.node.cases import Case, Cases
from mpc.node.config import Config
from mpc.node.errors import NodeError, Unfit
from mpc.node.inbox import WITHDRAWALS
from mpc.node.judge import STEPS
from mpc.node.loop import is_running
from mpc.node.words import OUTCOMES, POINTS, SAID, WHO, say
from mpc.node.words import STEPS as STEP_WORDS

PATIENCE = 5.0
ENDS_WITHIN = 20.0
LOCK = "agent.lock"
LOGIN, NOBODY = Path("/proc/self/loginuid"), 2**32 - 1


@dataclass(frozen=True)
class Said:
    """An answer: words for people, the same for machines, and the exit status."""

    text: str
    body: Any
    status: int = 0


@dataclass(frozen=True)
class Room:
    """One home, opened for people."""

    config: Config
    book: Book
    cases: Cases
    audit: Audit
    language: str

    def say(self, key: str, **values: object) -> str:
        """A sentence in the reader's language."""
        return say(SAID, key, self.language, **values)

    @property
    def running(self) -> bool:
        """An agent works for this home now."""
        return is_running(self.config.home)


def language_of(given: str | None) -> str:
    """As asked for, else as the terminal speaks; Chinese when nobody says."""
    if given:
        return given
    found = os.environ.get("LC_ALL") or os.environ.get("LANG") or "zh"
    return "zh" if found.lower().startswith("zh") else "en"


@contextmanager
def room(home: Path, language: str | None = None) -> Iterator[Room]:
    """The home's book and record, closed again afterwards."""
    known = config.load(home)
    book = Book(known.book)
    try:
        cases = Cases(book)
        yield Room(known, book, cases, Audit(known.audit, cases, syslog=known.syslog), language_of(language))
    finally:
        book.close()


def whoami() -> str:
    """Who acts, as the kernel knows them: the user, and who logged in for it, which sudo and su do not change. What the
    environment says (USER, SUDO_USER) anybody may write there."""
    user = os.getuid()
    try:
        login = int(LOGIN.read_text())
    except (OSError, ValueError):
        login = NOBODY
    return _name(user) if login in (NOBODY, user) else f"{_name(login)} as {_name(user)}"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


# looking

def jobs(here: Room, *, decision: str | None, limit: int) -> Said:
    """The newest jobs that this node judged."""
    found = here.cases.newest(limit, decision=decision)
    lines = [f"{case.as_dict()['at']}  {case.job}  {case.function:<14}  "
             f"{say(OUTCOMES, case.decision, here.language)}  {case.code or ''}  {_customer(here, case)}"
             for case in found]
    return Said(_text(lines) or here.say("nothing"), [case.as_dict() for case in found])


def _customer(here: Room, case: Case) -> str:
    if case.asked is None:
        return here.say("unverified_name", who=case.consumer)
    return called(case.asked["customer"], here.language)


def explain(here: Room, name: str) -> Said:
    """What the job asks, as this node verified it; every step of the way to the verdict, those that were not reached
    too; and who must act."""
    case = here.cases.find(name)
    if case is None:
        raise Unfit("job.unknown", here.say("no_case", name=name))
    met = {step["step"] for step in case.trace}
    steps = case.trace + [{"step": step, "outcome": "not_reached"} for step in STEPS if step not in met]
    lines = [f"{case.job}  {case.function}  {say(OUTCOMES, case.decision, here.language)}  {case.code or ''}",
             f"spec {case.job_hash}", f"policy {case.policy_hash}"]
    asked = _asked(here, case)
    lines += [here.say("unverified")] if asked is None else lines_of(
        asked, here.language, held=case.decision == "hold")
    if case.rule:
        lines += [case.rule, here.say("who", who=say(WHO, case.who_must_act or "", here.language))]
    for step in steps:
        outcome = say(OUTCOMES, step["outcome"], here.language)
        lines.append(f"  [{outcome}] {say(STEP_WORDS, step['step'], here.language)}  {step.get('code') or ''}".rstrip())
        lines += [_rule_line(rule, here.language) for rule in step.get("rules", [])]
        if step.get("by_hand"):
            lines.append(f"      {say(OUTCOMES, step['by_hand'], here.language)}")
    return Said(_text(lines), {**case.as_dict(), "asked": asked, "steps": steps})


def _asked(here: Room, case: Case) -> dict[str, Any] | None:
    """The terms, with the uses that our own grant has left now."""
    if case.asked is None or case.asked["grant"] is None:
        return case.asked
    grant = case.asked["grant"]
    left = max(0, grant["max_uses"] - here.cases.uses_but(grant["id"], case.job_hash))
    return {**case.asked, "grant": {**grant, "uses_left": left}}


def _rule_line(rule: dict[str, Any], language: str) -> str:
    mark = "+" if rule["passed"] else "-"
    limit, met = rule.get("limit"), rule.get("met")  # neither stands in a case from before
    told = say(SAID, "limit", language, limit=limit or "–", met=met or "–") if limit or (
        met and not rule["passed"]) else ""
    return f"      {mark} {rule['rule']} {rule['name']}: {say(POINTS, rule['point'], language)}{told}"


def _text(lines: Iterable[str]) -> str:
    return "\n".join(plain(line) for line in lines)


def status(here: Room) -> Said:
    """The node at a glance; status 1 when no agent runs."""
    reading = rulebook.read(here.config.policy, here.config.local_key()) if here.config.role == "provider" else None
    held, running = here.cases.newest(500, decision="hold"), here.book.unfinished()
    stopped = here.cases.stopped
    body = {
        "participant": here.config.participant, "role": here.config.role, "running": here.running, "stopped": stopped,
        "policy": None if reading is None else {
            "hash": reading.policy.hash, "rules": len(reading.policy.rules), "fault": reading.fault or None,
            "line": reading.line or None},
        "jobs": {"open": len(running), "held": len(held)}, "outbox": len(here.book.outbox()),
        "datasets": len(here.book.datasets())}
    lines = [f"{here.config.name_zh} / {here.config.name_en}  {here.config.role}",
             here.say("running" if body["running"] else "not_running")]
    if stopped:
        lines.append(f"{here.say('stopped')}  ({stopped.get('at')}, {stopped.get('by')})")
    if reading is not None:
        lines.append(here.say("policy_broken", text=reading.fault) if reading.fault else
                     here.say("policy_holds", rules=len(reading.policy.rules)))
    lines += [f"{say(OUTCOMES, 'hold', here.language)}: {case.job}" for case in held]
    return Said("\n".join(lines), body, 0 if body["running"] else 1)


def check_policy(here: Room, file: Path | None) -> Said:
    """Read a policy as the node would; status 1 when it would deny everything."""
    path = file or here.config.policy
    try:
        read = policyfile.load(path.read_bytes(), key=here.config.local_key())
    except policyfile.Malformed as error:
        body = {"ok": False, "code": error.code, "line": error.line, "text": error.text,
                "who_must_act": error.who_must_act}
        return Said(here.say("policy_broken", text=error.text), body, 1)
    return Said(here.say("policy_holds", rules=len(read.rules)),
                {"ok": True, "hash": read.hash, "rules": len(read.rules)})


def audit(here: Room, *, verify: bool) -> Said:
    """The record's lines, or whether it holds."""
    if verify:
        try:
            found = here.audit.verify()
        except NodeError as error:
            return Said(f"{error.code}: {error.text}", {"ok": False, "code": error.code, "text": error.text}, 1)
        return Said(here.say("audit_holds", lines=found.lines),
                    {"ok": True, "lines": found.lines, "head": found.head})
    lines = list(here.audit.lines())
    return Said("\n".join(as_json(line) for line in lines), lines)


# acting

def hold(here: Room, name: str) -> Said:
    """Hold a job: one that was not answered yet, or that is not here yet (by its id)."""
    return _rule(here, name, "hold", lambda case: case is None or case.decision == "hold" or _restarts(here, case))


def release(here: Room, name: str) -> Said:
    """Release a held job: this very spec is judged again at once, and the policy's hold no longer binds it."""
    return _rule(here, name, "release", lambda case: case is not None and case.decision == "hold")


def deny(here: Room, name: str) -> Said:
    """Deny a job: one that is held is refused at once, one that runs is aborted, one to come never begins."""
    return _rule(here, name, "deny", lambda case: True)


def _restarts(here: Room, case: Case) -> bool:
    """What was answered stands; it can be held only if it is not going on."""
    known = here.book.seen(job_hash=case.job_hash)
    return known is None or known.state not in (*OPEN_STATES, "sealed")


def _rule(here: Room, name: str, decision: str, may: Callable[[Case | None], bool]) -> Said:
    case = here.cases.find(name)
    if case is None and (decision == "release" or not _is_uuid(name)):
        raise Unfit("job.unknown", here.say("no_case", name=name))
    if not may(case):
        if decision == "hold":
            raise Unfit("job.under_way", here.say("under_way", job=name))
        raise Unfit("job.not_held", here.say(
            "not_held", job=name, decision=say(OUTCOMES, case.decision if case else "", here.language)))
    subject = case.job_hash if case else name
    here.audit.write(f"hand.{decision}", subject=subject, job=case.job if case else name, by=whoami())
    here.cases.rule(subject, decision, by=whoami())
    text = here.say({"hold": "held", "release": "released", "deny": "denied"}[decision], job=case.job if case else name)
    if decision == "deny" and case is not None and contributed(here.book, case.job_hash):
        text += "\n" + here.say("taken_back", folder=here.config.home / WITHDRAWALS)
    body = {"job": case.job if case else name, "job_hash": case.job_hash if case else None, "ruling": decision}
    if case is None or case.decision != "hold" or decision == "hold":
        return Said(text, body)
    after = _wait_for(here, case) if here.running else None
    if after is None:
        return Said(f"{text}\n{here.say('waiting' if here.running else 'later')}", {**body, "verdict": None})
    now = here.say("now", decision=say(OUTCOMES, after.decision, here.language), code=after.code or "")
    return Said(f"{text}\n{now}",
                {**body, "verdict": after.decision, "code": after.code})


def contributed(book: Book, job_hash: str) -> bool:
    """Whether what this node made for a job without a session lies at the portal, as far as it knows."""
    known = book.seen(job_hash=job_hash)
    rows = book.rows("SELECT 1 FROM sqlite_master WHERE name = 'contribution'")
    return bool(rows and known is not None and known.state == "sealed" and book.rows(
        "SELECT 1 FROM contribution WHERE job_hash = ? AND body IS NOT NULL", job_hash))


def _wait_for(here: Room, before: Case) -> Case | None:
    """What the running agent makes of it, if it says so soon."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        case = here.cases.find(before.job_hash)
        if case is not None and case.decision != "hold":
            return case
        time.sleep(0.1)
    return None


def stop(here: Room, reason: str) -> Said:
    """The kill switch: running jobs are aborted at once, new ones refused; it stays until `start`, whoever restarts."""
    try:
        here.cases.set_switch("stopped", {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "by": whoami(),
                                          "reason": reason[:200]})
    except sqlite3.Error:
        return end_agent(here.config.home, here.language)
    here.audit.note("hand.stop", by=whoami(), reason=reason[:200])  # first the stop, then its record
    return Said(here.say("stopped") + ("" if here.running else f"\n{here.say('not_running')}"),
                {"stopped": True, "running": here.running})


def end_agent(home: Path, language: str) -> Said:
    """The stop where the book cannot be written, on a full disk say: the agent itself is ended, and its jobs with it.
    It does not stay stopped: that would have to be written down."""
    agent = holder(home)
    if agent is not None:
        os.kill(agent, signal.SIGTERM)
        until = time.monotonic() + ENDS_WITHIN
        while is_running(home) and time.monotonic() < until:
            time.sleep(0.1)
    ended = not is_running(home)
    return Said(say(SAID, "ended_by_force" if ended else "not_ended", language), {
        "stopped": False, "running": not ended}, 1)


def holder(home: Path) -> int | None:
    """The process that holds the home's lock, as the kernel tells."""
    try:
        lock = os.stat(home / LOCK)
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return None
    for parts in held:
        if parts[1:2] == ["FLOCK"] and parts[5].rpartition(":")[2] == str(lock.st_ino) and _opened(parts[4], lock):
            return int(parts[4])
    return None


def _opened(process: str, file: os.stat_result) -> bool:
    folder = Path("/proc") / process / "fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                if os.path.samestat(os.stat(folder / name), file):
                    return True
    return False


def start(here: Room) -> Said:
    """Take the stop back."""
    here.audit.write("hand.start", by=whoami())
    here.cases.set_switch("stopped", None)
    return Said(here.say("started"), {"stopped": False, "running": here.running})


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
