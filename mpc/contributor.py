"""One hospital's contribution to a job whose parties are not online together: count, withhold, mask, encrypt.

The counterpart of `mpc.party`: no peer and no link; what comes out waits for the others, wherever it lies.
"""

from __future__ import annotations

from collections.abc import Callable

from mpc import masked, party
from mpc.functions.plan import Plan
from mpc.masked import Parcel, Question
from mpc.wire import Task


def question_of(task: Task) -> tuple[Plan, Question]:
    """Plan and question, checked against catalogue and spec, before any row is read."""
    plan = party.plan_of(task)
    return plan, masked.question_of(task.spec, plan, space=task.space)


def make(task: Task, *, check: Callable[[], None]) -> tuple[Question, Parcel]:
    """`check` raises when the agent has said stop."""
    plan, question = question_of(task)
    check()
    counted = party.count(task, plan)
    check()
    return question, masked.contribute(question, plan, counted, task.floor, participant=task.sender,
                                       dealer_key=task.dealer_key)
