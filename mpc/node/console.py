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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from mpc.node import config, policyfile, rulebook
from mpc.node.asked import called, lines_of, plain
from mpc.node.audit import Audit, as_json
from mpc.node.book import OPEN_STATES, Book
from mpc.node.cases import Case, Cases, clock
from mpc.node.config import Config
from mpc.node.denying import Outcome, Standing, became, standing
from mpc.node.errors import NodeError, Unfit
from mpc.node.inbox import WITHDRAWALS
from mpc.node.judge import STEPS
from mpc.node.loop import is_running
from mpc.node.words import OUTCOMES, POINTS, SAID, WHO, say
from mpc.node.words import STEPS as STEP_WORDS

PATIENCE = 5.0
NEWEST = 50
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
    left = here.cases.left_at(case.job_hash)
    if left is not None:
        lines.append(_of_this_house(here, "left_at", job=case.job, at=clock(left)))
    elif here.cases.may_have_left(case.job_hash):
        lines.append(_of_this_house(here, "may_have_left", job=case.job))
    if case.rule:
        lines += [case.rule, here.say("who", who=say(WHO, case.who_must_act or "", here.language))]
    for step in steps:
        outcome = say(OUTCOMES, step["outcome"], here.language)
        lines.append(f"  [{outcome}] {say(STEP_WORDS, step['step'], here.language)}  {step.get('code') or ''}".rstrip())
        lines += [_rule_line(rule, here.language) for rule in step.get("rules", [])]
        if step.get("by_hand"):
            lines.append(f"      {say(OUTCOMES, step['by_hand'], here.language)}")
    return Said(_text(lines), {**case.as_dict(), "asked": asked, "steps": steps,
                               "left_at": clock(left) if left is not None else None})


def _asked(here: Room, case: Case) -> dict[str, Any] | None:
    """The terms, with the uses that our own grant has left now."""
    if case.asked is None or case.asked["grant"] is None:
        return case.asked
    grant = case.asked["grant"]
    left = max(0, grant["max_uses"] - here.cases.uses_of(grant["id"]))
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
    return Said(_text(lines), body, 0 if body["running"] else 1)


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


def audit(here: Room, *, verify: bool, job: str = "", since: str = "", last: int | None = None,
          terminal: bool = False) -> Said:
    """The record's lines, or whether all of it holds. Without a choice a terminal shows the newest; machines and pipes
    get the whole."""
    if verify:
        try:
            found = here.audit.verify()
        except NodeError as error:
            return Said(plain(f"{error.code}: {error.text}"), {"ok": False, "code": error.code, "text": error.text}, 1)
        return Said(here.say("audit_holds", lines=found.lines),
                    {"ok": True, "lines": found.lines, "head": found.head})
    if last is not None and last < 1:
        raise Unfit("audit.last", here.say("bad_last"))
    begin = _moment(here, since) if since else ""
    lines = [line for line in here.audit.lines() if str(line.get("at")) >= begin and (not job or _about(line, job))]
    lines = lines if last is None else lines[-last:]
    few = terminal and not (job or since or last) and len(lines) > NEWEST
    head = [here.say("newest", shown=NEWEST, lines=len(lines))] if few else []
    shown = [as_json(line) for line in (lines[-NEWEST:] if few else lines)]
    return Said(_text(head + shown) or here.say("nothing"), lines)


def _moment(here: Room, given: str) -> str:
    """A day, or a moment of one, as the record's lines name it: in UTC."""
    try:
        found = datetime.fromisoformat(given)
        return clock(int((found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).timestamp()))
    except (ValueError, OverflowError) as error:
        raise Unfit("audit.since", here.say("bad_since", given=given)) from error


def _about(line: dict[str, Any], job: str) -> bool:
    facts = line.get("facts")
    return isinstance(facts, dict) and job in (facts.get("job"), facts.get("job_hash"), facts.get("subject"))


# acting

def hold(here: Room, name: str) -> Said:
    """Hold a job: one that was not answered yet, or that is not here yet (by its id)."""
    case = _case_for(here, name, unseen=True)
    if case is not None and case.decision != "hold" and not _restarts(here, case):
        raise Unfit("job.under_way", here.say("under_way", job=name))
    return Said(here.say("held", job=case.job if case else name), _rule(here, case, name, "hold"))


def release(here: Room, name: str) -> Said:
    """Release a held job: this very spec is judged again at once, and the policy's hold no longer binds it."""
    case = _case_for(here, name, unseen=False)
    if case is None or case.decision != "hold":
        raise Unfit("job.not_held", here.say(
            "not_held", job=name, decision=say(OUTCOMES, case.decision if case else "", here.language)))
    body = _rule(here, case, name, "release")
    return _judged_again(here, case, here.say("released", job=case.job), body)


def deny(here: Room, name: str) -> Said:
    """Deny a job: one that is held is refused at once, one that runs is aborted, one to come never begins, what was
    sealed stays here. Says what became of it; status 1 when its sealed part had left, or may have."""
    case = _case_for(here, name, unseen=True)
    job, key = (case.job, case.job_hash) if case else (name, name)
    before = standing(here.book, key)
    body = _rule(here, case, name, "deny")
    if case is not None and case.decision == "hold" and not (before.under_way or before.state == "sealed"
                                                             or before.may_have_left):
        return _judged_again(here, case, here.say("denied", job=job), body)
    if here.running:
        _until(lambda: not standing(here.book, key).under_way)
    after = standing(here.book, key)
    outcome = became(before, after)
    left = clock(after.left_at) if after.left_at is not None else None
    body |= {"outcome": outcome, "left_at": left}
    if outcome is Outcome.TOO_LATE:
        return Said(_of_this_house(here, "too_late" if left else "too_late_unknown", job=job, at=left), body, 1)
    late = outcome is Outcome.MAY_HAVE_LEFT
    said = [_of_this_house(here, "may_have_left", job=job), here.say("explain_later")] if late else [
        here.say("denied", job=job)]
    return Said("\n".join([*said, *_aftermath(here, outcome, after)]), body, int(late))


def _of_this_house(here: Room, key: str, **values: object) -> str:
    """A sentence about what a hospital seals, or what the dealer's office gives."""
    office = f"office_{key}"
    return here.say(office if here.config.role == "dealer" and office in SAID else key, **values)


def _aftermath(here: Room, outcome: Outcome, after: Standing) -> list[str]:
    """What else there is to say of a denial that came in time, or may have."""
    said = [] if outcome in (Outcome.TAKEN_BACK, Outcome.MAY_HAVE_LEFT) else [_of_this_house(here, f"deny_{outcome}")]
    if after.contributed:
        said.append(here.say("taken_back", folder=here.config.home / WITHDRAWALS))
    if (outcome in (Outcome.ENDING, Outcome.TAKEN_BACK) or (after.contributed and outcome is Outcome.MAY_HAVE_LEFT)
            ) and not here.running:
        said.append(here.say("later"))
    return said


def _restarts(here: Room, case: Case) -> bool:
    """What was answered stands; it can be held only if it is not going on."""
    return standing(here.book, case.job_hash).state not in (*OPEN_STATES, "sealed")


def _case_for(here: Room, name: str, *, unseen: bool) -> Case | None:
    """The case under this name; `unseen`: a job that was not judged here yet will do, by its id."""
    case = here.cases.find(name)
    if case is None and not (unseen and _is_uuid(name)):
        raise Unfit("job.unknown", here.say("no_case", name=name))
    return case


def _rule(here: Room, case: Case | None, name: str, decision: str) -> dict[str, Any]:
    """The ruling, on record first; returns it for machines."""
    job, subject = (case.job, case.job_hash) if case else (name, name)
    here.audit.write(f"hand.{decision}", subject=subject, job=job, by=whoami())
    here.cases.rule(subject, decision, by=whoami())
    return {"job": job, "job_hash": case.job_hash if case else None, "ruling": decision}


def _judged_again(here: Room, case: Case, text: str, body: dict[str, Any]) -> Said:
    """What the running agent makes of a held job, if it says so soon."""
    after = case
    if here.running:
        _until(lambda: _decision(here, case.job_hash) != "hold")
        after = here.cases.find(case.job_hash) or case
    if after.decision == "hold":
        return Said(f"{text}\n{here.say('waiting' if here.running else 'later')}", {**body, "verdict": None})
    now = here.say("now", decision=say(OUTCOMES, after.decision, here.language), code=after.code or "")
    return Said(f"{text}\n{now}", {**body, "verdict": after.decision, "code": after.code})


def _decision(here: Room, job_hash: str) -> str:
    found = here.cases.find(job_hash)
    return found.decision if found else "hold"


def _until(over: Callable[[], bool]) -> None:
    """Give the running agent a moment."""
    until = time.monotonic() + PATIENCE
    while not over() and time.monotonic() < until:
        time.sleep(0.1)


def stop(here: Room, reason: str) -> Said:
    """The kill switch: running jobs are aborted at once, new ones refused; it stays until `start`, whoever restarts.
    Says how many still run after a moment."""
    before = len(here.book.unfinished())
    try:
        here.cases.set_switch("stopped", {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "by": whoami(),
                                          "reason": reason[:200]})
    except sqlite3.Error:
        return end_agent(here.config.home, here.language)
    here.audit.note("hand.stop", by=whoami(), reason=reason[:200])  # first the stop, then its record
    running = here.running
    if running:
        _until(lambda: not here.book.unfinished())
    left = len(here.book.unfinished()) if running else 0
    body = {"stopped": True, "running": running, "ended": max(0, before - left) if running else 0, "ending": left}
    last = "not_running" if not running else "still_ending" if left else "none_left"
    return Said(f"{here.say('stopped')}\n{here.say(last, ended=body['ended'], left=left)}", body)


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
