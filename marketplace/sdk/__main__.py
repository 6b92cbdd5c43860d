"""The command line `xinglin`: catalogue, application, order, result, receipt. Prints tables; `--json` prints JSON.

Exit status: 0 done, 1 refused, wrong or failed, 2 wrong usage, 3 could not find out (try again).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marketplace.sdk.errors import SdkError, TimedOut, Unavailable

if TYPE_CHECKING:
    from ledger.receipt import Levels
    from marketplace.sdk.result import Result
    from marketplace.sdk.space import Space
    from marketplace.sdk.types import Progress

WRONG, UNKNOWN = 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors go to stderr with their code."""
    options = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        status = command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads has seen enough, as in `xinglin jobs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is it told again at the end
        return 0
    except (Unavailable, TimedOut) as error:
        print(f"xinglin: {error}", file=sys.stderr)
        return UNKNOWN
    except SdkError as error:
        print(f"xinglin: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("xinglin: stopped; a job that was ordered goes on", file=sys.stderr)
        return UNKNOWN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xinglin", description="Order secure computations and open their results.")
    parser.add_argument("--version", action="version", version=f"xinglin {_version()}")
    parser.add_argument("--space", metavar="FILE", help="space.json (default: XINGLIN_SPACE or var/space.json)")
    parser.add_argument("--role", default="consumer", help="whose keys of space.json to use")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=help, description=help)
        one.set_defaults(command=run)
        one.add_argument("--json", action="store_true", help="print JSON")
        return one

    add("products", _products, "list the data products")
    add("datasets", _datasets, "list the datasets and their columns")
    add("grants", _grants, "list our grants")
    add("jobs", _jobs, "list our jobs")
    one = add("apply", _apply, "apply for a scenario on a product's datasets")
    one.add_argument("product")
    one.add_argument("--title", required=True)
    one.add_argument("--purpose", required=True)
    one.add_argument("--floor", type=int, default=10)
    one.add_argument("--days", type=int, default=90)
    one.add_argument("--max-uses", type=int, default=100)
    one.add_argument("--filter-column", action="append", default=[], help="a column that filters may name; repeat it")
    one = add("buy", _buy, "order a computation, wait for it and open it")
    one.add_argument("product")
    one.add_argument("function", help="such as crosstab or describe@1")
    one.add_argument("parameters", help='JSON, such as \'{"rows": "chest_pain", "columns": "disease_grade"}\'')
    one.add_argument("--where", help='a filter as JSON, such as \'{"op": "ge", "column": "age", "value": "60"}\'')
    one.add_argument("--key", help="idempotency key: the same key never orders twice")
    one.add_argument("--seconds", type=float, default=600)
    one.add_argument("--hours", type=float, help="the hospitals are not online together: so long they may contribute; "
                     "prints the job's id instead of waiting")
    one.add_argument("--minimum", type=int, help="with --hours: how many hospitals must contribute")
    one = add("open", _open, "open a released job's result again")
    one.add_argument("job")
    one = add("receipt", _receipt, "fetch a job's receipt, verify it and write it to a file")
    one.add_argument("job")
    one.add_argument("--out", type=Path)
    one = add("verify", _verify, "verify a receipt file")
    one.add_argument("file", type=Path)
    one.add_argument("--rpc", action="append", default=[], help="ask the chain at this endpoint; several must agree")
    one.add_argument("--require", default="", help="further levels that must be valid, with commas")
    one = add("cancel", _cancel, "cancel a job")
    one.add_argument("job")
    return parser


def _version() -> str:
    try:
        return version("xinglin")
    except PackageNotFoundError:
        return "0 (not installed)"


def _space(options: argparse.Namespace) -> Space:
    from marketplace.sdk.space import Space

    return Space.from_config(options.space, role=options.role)


def _table(options: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> int:
    if options.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        print("  ".join(str(value) for value in row.values()))
    return 0


def _products(options: argparse.Namespace) -> int:
    return _table(options, [
        {"id": one.id, "state": one.state, "title": str(one.title), "price": str(one.price),
         "functions": ",".join(one.functions), "datasets": len(one.datasets)}
        for one in _space(options).products()
    ])


def _datasets(options: argparse.Namespace) -> int:
    return _table(options, [
        {"id": one.id, "provider": one.provider, "title": str(one.title),
         "columns": ",".join(f"{column.name}:{column.kind}" for column in one.columns)}
        for one in _space(options).datasets()
    ])


def _grants(options: argparse.Namespace) -> int:
    return _table(options, [
        {"id": one.id, "state": one.state, "scenario": one.scenario, "dataset": one.dataset,
         "uses": f"{one.uses}/{one.max_uses}", "until": one.not_after}
        for one in _space(options).grants()
    ])


def _jobs(options: argparse.Namespace) -> int:
    return _table(options, [
        {"id": row["id"], "state": row["state"], "code": row.get("code")} for row in _space(options).jobs()
    ])


def _apply(options: argparse.Namespace) -> int:
    scenario = _space(options).apply(options.product, title=options.title, purpose=options.purpose,
                                     floor=options.floor, days=options.days, max_uses=options.max_uses,
                                     filter_columns=options.filter_column)
    return _table(options, [{"id": scenario.id, "state": scenario.state}])


def _buy(options: argparse.Namespace) -> int:
    from marketplace.sdk.fn import parse

    try:
        parameters = json.loads(options.parameters)
        where = json.loads(options.where) if options.where else None
    except ValueError as error:
        print(f"xinglin: parameters or filter are not JSON: {error}", file=sys.stderr)
        return 2
    call = parse(options.function, parameters, where)
    if options.hours is not None:
        job = _space(options).buy(options.product, call, idempotency_key=options.key, engine="paillier",
                                  contribute_until=timedelta(hours=options.hours), minimum=options.minimum)
        return _table(options, [_standing(job.status())])
    job = _space(options).buy(options.product, call, idempotency_key=options.key)
    show = _progress_line if sys.stderr.isatty() else _progress_plain
    try:
        result = job.wait(options.seconds, progress=show)
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)
    return _show(options, result)


def _standing(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """A job whose hospitals are not online together: until when they may contribute, and how many have."""
    found = answer.get("contributions") or {"by": None, "given": []}
    return {"id": answer["id"], "state": answer["state"], "contributed": len(found["given"]), "until": found["by"]}


def _progress_line(progress: Progress) -> None:
    print(f"\r\033[K{progress.job}  {progress.state}  {progress.seconds:.1f} s", end="", file=sys.stderr, flush=True)


def _progress_plain(progress: Progress) -> None:
    print(f"{progress.job} {progress.state} {progress.seconds:.1f} s", file=sys.stderr, flush=True)


def _show(options: argparse.Namespace, result: Result) -> int:
    if options.json:
        print(json.dumps({"job": result.job, "function": result.function, "filter": result.filter,
                          "rows": list(result.rows),
                          "missing": dict(result.missing), "withheld": result.withheld, "floor": result.floor,
                          "parties": result.parties}, ensure_ascii=False, indent=1))
        return 0
    print(result.frame.to_string())
    print(f"missing: {', '.join(f'{name} {_or_withheld(n)}' for name, n in result.missing.items())}")
    if result.filter:
        print(f"only rows where {result.where()}")
    print(f"{result.withheld} cells withheld; {result.parties} hospitals; job {result.job}")
    return 0


def _or_withheld(value: int | None) -> str:
    return "withheld" if value is None else str(value)


def _open(options: argparse.Namespace) -> int:
    return _show(options, _space(options).open_result(options.job))


def _receipt(options: argparse.Namespace) -> int:
    space = _space(options)
    result = space.open_result(options.job)
    print("waiting until the release is anchored and its block is vouched for ...", file=sys.stderr)
    receipt = result.receipt
    levels = receipt.verify()
    target = receipt.save(options.out or Path(f"receipt-{options.job}.json"))
    _tell_levels(options, levels)
    print(target, file=sys.stderr)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ledger.trust import load_trust
    from marketplace.sdk.client import our_errors
    from marketplace.sdk.config import read_space_file
    from marketplace.sdk.receipt import Receipt

    file = read_space_file(options.space)
    with our_errors():
        trust = load_trust(file.trust, fingerprint=file.fingerprint)
    require = [one for one in options.require.split(",") if one]
    levels = Receipt(options.file.read_bytes(), trust=trust).verify(rpc=options.rpc, require=require)
    return _tell_levels(options, levels)


def _tell_levels(options: argparse.Namespace, levels: Levels) -> int:
    """The six levels, in the language of the terminal; codes with --json."""
    from marketplace.sdk.config import speaks_chinese
    from marketplace.sdk.receipt import told

    return _table(options, told(levels, chinese=speaks_chinese() and not options.json))


def _cancel(options: argparse.Namespace) -> int:
    _space(options).job(options.job).cancel()
    return 0


if __name__ == "__main__":
    sys.exit(main())
