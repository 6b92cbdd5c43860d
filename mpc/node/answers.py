"""What this node says about a job: the signed verdict, its delivery, and the case that is kept of it.

Takes a judgement as it came out (`judge.py`): decides nothing and reserves nothing. A verdict names a code, a rule and
who must act; the way there stays in the house, for `explain`.
"""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ledger.documents import document_hash, new_document, signed
from mpc.node.asked import asked_of
from mpc.node.cases import Case, Cases, trace_of
from mpc.node.judge import Judgement
from mpc.node.logs import note
from mpc.node.papers import Me
from mpc.node.sessions import Home

Document = dict[str, Any]


class Answers:
    """For one home."""

    def __init__(self, me: Me, home: Home, cases: Cases, door: Any) -> None:
        self._me, self._home, self._cases, self._door = me, home, cases, door

    def verdict(self, item: Mapping[str, Any], made: Judgement, *, session: dict[str, str] | None = None,
                without: Sequence[int] = ()) -> Document:
        """Signed; `session` are the keys that an accepted attempt brings, `without` the seats in the way of a set."""
        spec, refusal = item["spec"]["document"], made.refusal
        more = {"without": sorted(set(without))} if without else {}
        document = new_document(
            "verdict", job=item["job"], job_hash=document_hash(spec), attempt=item["attempt"],
            participant=self._me.participant, seat=made.papers.seat if made.papers else self._seat(spec),
            decision=made.decision, code=refusal.code if refusal else None,
            rule=refusal.rule[:500] if refusal else None, who_must_act=refusal.who_must_act if refusal else None,
            grant_block=made.block, policy_hash=made.policy.hash, session=session, **more)
        return signed(document, self._home.keys.signing)

    def _seat(self, spec: Mapping[str, Any]) -> int:
        """The seat we answer for when the papers did not hold; 0 when the spec gives us none."""
        roster = spec.get("roster")
        seats = [seat["participant"] for seat in roster] if isinstance(roster, list) else []
        if not self._me.party:
            return min(len(seats), 63)
        return seats.index(self._me.participant) if self._me.participant in seats else 0

    def send(self, job: str, verdict: Mapping[str, Any]) -> None:
        """To the portal, at once; raises what the door raises."""
        body = verdict["document"]
        note("verdict", job=body["job"], attempt=body["attempt"], decision=body["decision"], code=body["code"])
        self._door.post(f"/jobs/{job}/verdicts", {"verdict": dict(verdict)})

    def record(self, verdict: Mapping[str, Any]) -> None:
        """Before a job is accepted: raises `Refused` when it cannot be recorded."""
        self._home.audit.keep("verdict", code=verdict["code"], **_facts(verdict))

    def keep(self, item: Mapping[str, Any], made: Judgement, verdict: Mapping[str, Any], *,
             recorded: bool = False) -> None:
        """The case for `explain`, and a line of the record; a full disk cannot make a refusal any weaker, and a flood
        of refusals fills no disk."""
        spec = item["spec"]["document"]
        function = spec.get("function")
        name = f"{function.get('name')}@{function.get('version')}" if isinstance(function, dict) else ""
        recipient = spec.get("recipient")
        consumer = str(recipient.get("participant")) if isinstance(recipient, dict) else ""
        case = Case(
            job_hash=verdict["job_hash"], job=str(verdict["job"]), consumer=consumer[:64], function=name[:64],
            attempt=verdict["attempt"], decision=verdict["decision"], code=verdict["code"], rule=verdict["rule"],
            who_must_act=verdict["who_must_act"], policy_hash=verdict["policy_hash"], at=int(time.time()),
            trace=trace_of(made.steps), asked=asked_of(made.papers, made.floor) if made.papers else None)
        try:
            before = self._cases.find(case.job_hash)
            recorded = recorded or (before is not None and case.decision == "hold" and _said(before) == _said(case))
            self._cases.put(case, item if verdict["decision"] == "hold" else None)
        except sqlite3.Error:
            note("book.full")
        if case.decision == "refuse" and case.code:
            self._home.audit.note_often("verdict", case.code, **_facts(verdict))
        elif not recorded:
            self._home.audit.note("verdict", code=case.code, **_facts(verdict))


def _said(case: Case) -> tuple[Any, ...]:
    """What makes a line of the record: what is held is judged again every few seconds, and is no news."""
    return case.attempt, case.decision, case.code, case.policy_hash


def _facts(verdict: Mapping[str, Any]) -> dict[str, Any]:
    return {"job": str(verdict["job"]), "job_hash": verdict["job_hash"], "attempt": verdict["attempt"],
            "decision": verdict["decision"], "rule": verdict["rule"], "policy": verdict["policy_hash"]}
