"""What a job asks of this hospital, for a person who is to decide: plain values, taken from papers that this node has
verified itself, and lines for the terminal.

Terms of the contract alone: names, parameters, constants of the filter; never a value of a row. A text that others
wrote draws no line of its own.
"""

import json
from collections.abc import Mapping
from typing import Any

from mpc.filters import in_words
from mpc.node.papers import Papers
from mpc.node.words import ASKED, say
from mpc.spec import are_apart, fewest

Asked = dict[str, Any]


def asked_of(papers: Papers, floor: int) -> Asked:
    """The terms of a job whose papers hold together; `floor` is what stands here, if the judgement came so far."""
    spec, own = papers.spec, papers.own
    return {
        "customer": _named(papers, papers.consumer), "function": papers.function, "parameters": spec["parameters"],
        "columns": sorted(papers.columns_named), "filter": spec["filter"], "floor": max(floor, papers.floor),
        "hospitals": [_named(papers, seat["participant"]) for seat in spec["roster"]], "fewest": fewest(spec),
        "engine": spec["engine"], "deadline": spec["deadline"],
        "contribute_by": spec["contributions"]["by"] if are_apart(spec) else None,
        "dataset": None if own is None else {
            "id": own.terms["dataset"], "title": papers.datasets[papers.seat]["title"]},
        "grant": None if own is None else {
            "id": own.id, "scenario": own.terms["scenario"], "max_uses": own.terms["max_uses"]}}


def _named(papers: Papers, participant: str) -> Asked:
    """With the name in its verified record; of a set to be frozen, some records are not among the papers."""
    record = papers.records.get(participant)
    return {"participant": participant, "name": record["name"] if record else None}


def lines_of(asked: Asked, language: str, *, held: bool) -> list[str]:
    """For people."""
    hospitals = [called(one, language) for one in asked["hospitals"]]
    found = [
        ("customer", {"who": called(asked["customer"], language)}), ("function", {"name": asked["function"]}),
        ("parameters", {"text": "; ".join(f"{name} = {_value(value)}" for name, value in
                                          sorted(asked["parameters"].items()))}),
        ("columns", {"names": ", ".join(asked["columns"])}),
        ("no_filter", {}) if asked["filter"] is None else ("filter", {"text": in_words(asked["filter"], language)}),
        ("floor", {"floor": asked["floor"]}),
        ("hospitals", {"number": len(hospitals), "fewest": asked["fewest"], "names": ", ".join(hospitals)}),
        ("engine", {"name": asked["engine"]}), ("deadline", {"at": asked["deadline"]})]
    if asked["grant"] is not None:
        found += [("dataset", {"name": called(asked["dataset"], language)}),
                  ("grant", {"left": asked["grant"].get("uses_left"), **asked["grant"]})]
    if held:
        found.append(("waits", {"at": asked["contribute_by"] or asked["deadline"]}))
    return [f"  {say(ASKED, key, language, **values)}" for key, values in found]


def called(one: Mapping[str, Any], language: str) -> str:
    """A participant, or a dataset, by its name in the reader's language and by its id."""
    name, id = one.get("name") or one.get("title"), one.get("participant") or one.get("id")
    return say(ASKED, "called", language, name=name[language], id=id) if name else str(id)


def _value(value: object) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain(line: str) -> str:
    """One line, whatever stands in it: no line break, nothing that moves a cursor or turns the writing around."""
    return "".join(one if one.isprintable() or one == "\u3000" else " " if one.isspace() else "\ufffd" for one in line)
