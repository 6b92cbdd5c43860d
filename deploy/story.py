"""The demo: one scenario's whole life on the real data of four hospitals, told while it happens.

Every act is done through the SDK with the key of whom it belongs to. The story computes nothing that the space
computes, except the pooled answer to compare with, which only a demo can: it owns all four files.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from deploy import pooled, refusals
from deploy.space import Space
from deploy.waiting import wait_until
from ledger.receipt import Levels
from marketplace.sdk import Space as Client
from marketplace.sdk import fn
from marketplace.sdk.config import read_space_file
from marketplace.sdk.desk import Desk
from marketplace.sdk.result import Result
from marketplace.sdk.types import Grant, Product, Progress
from mpc.spec import common_columns

LEAD = "cleveland"
FLOOR = 10
TITLE = {"zh": "心脏病:四家医院联合统计", "en": "Heart disease: joint statistics of four hospitals"}
SUMMARY = {
    "zh": "四家真实医院的心脏病患者;数据不出院,只售计算。",
    "en": "Heart patients of four real hospitals; no row leaves a hospital, only computations are sold.",
}
DESCRIBE = fn.describe(["age", "resting_bp", "max_heart_rate"], by="sex")
CROSSTAB = fn.crosstab(rows="chest_pain", columns="disease_grade")


@dataclass
class Story:
    """What the steps leave for each other, and for the last line."""

    space: Space
    client: Client
    desks: dict[str, Desk]
    offered: Product | None = None
    grants: list[Grant] = field(default_factory=list)
    narrow: list[Grant] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    levels: Levels | None = None
    differences: list[pooled.Difference] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)

    @property
    def product(self) -> Product:
        """The product of step 4, which the later steps need."""
        if self.offered is None:
            raise RuntimeError("no product was offered yet")
        return self.offered


def tell(space: Space, *, once: bool) -> int:
    """Play steps 4 to 9; prints the last line of `--once`. The exit status is 0 if everything held."""
    answer = play(begin(space))
    space.print_sign_ins()
    if once:
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    elif not answer["ok"]:
        print(f"\nThe story did not hold: {json.dumps(answer)}", flush=True)
    return 0 if answer["ok"] else 1


def play(story: Story) -> dict[str, Any]:
    """Steps 4 to 8; answers what the last line of `--once` says."""
    step = story.space.step
    with step("product", "4. Cleveland offers the product, three hospitals confirm, the commission lists it"):
        offer(story)
    with step("scenario", "5. A device maker applies; the commission approves; each custodian consents; on chain"):
        grant(story)
    with step("compute", "6. The device maker buys two computations; every node checks, five processes compute"):
        buy(story)
    with step("verify", "7. The results are opened, compared with the pooled answer, the receipt is verified"):
        _verify(story)
    with step("refuse", "8. What is refused"):
        _refusals(story)
    return _last_line(story, _anchored(story.space))


def begin(space: Space) -> Story:
    """The people of the story, each with the key files that `space.json` names."""
    file = read_space_file(space.places.space_file)
    names = ["regulator", *(one.key for one in space.cast.hospitals)]
    return Story(space, Client.from_config(file.path), {name: Desk(file, name) for name in names})


def offer(story: Story) -> None:
    """The lead drafts the product, the others confirm, the commission lists it."""
    lead, others = story.desks[LEAD], [key for key in story.desks if key not in (LEAD, "regulator")]
    datasets = [given["dataset_id"] for desk in story.desks.values() for given in desk.seat.datasets]
    product = lead.offer_product(
        title=TITLE, summary=SUMMARY, datasets=datasets, price={"amount": 1200000, "currency": "CNY"}
    )
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(lambda key: story.desks[key].confirm(product), others))
    lead.submit(product)
    story.desks["regulator"].list_product(product)
    story.offered = story.client.product(product)
    story.space.steps.note(f"product {product} is {story.product.state}")


def grant(story: Story) -> None:
    """Two scenarios: the one of the story, and a narrow one (describe only) to try to go beyond."""
    wide = story.client.apply(
        story.product,
        title={"zh": "运动心电设备适应证研究", "en": "Indications of an exercise ECG device"},
        purpose="Which patients with chest pain have what grade of heart disease: to plan a device for exercise ECG.",
        functions=["describe", "crosstab"],
        floor=FLOOR,
    )
    narrow = story.client.apply(
        story.product,
        title={"zh": "年龄与心率概况", "en": "Overview of age and heart rate"},
        purpose="An overview of age and heart rate, nothing else.",
        functions=["describe"],
        floor=FLOOR,
        max_uses=3,
    )
    scenarios = (wide.id, narrow.id)
    for scenario in scenarios:
        story.desks["regulator"].approve_scenario(scenario)
    hospitals = [desk for key, desk in story.desks.items() if key != "regulator"]
    with ThreadPoolExecutor(len(hospitals)) as pool:
        list(pool.map(lambda desk: [desk.consent_all(scenario) for scenario in scenarios], hospitals))
    story.grants = _by_dataset(story.client.wait_for_grants(wide))
    story.narrow = _by_dataset(story.client.wait_for_grants(narrow))
    story.space.steps.note(f"{len(story.grants)} grants of scenario {wide.id} are active and final on chain")


def _by_dataset(grants: list[Grant]) -> list[Grant]:
    return sorted(grants, key=lambda grant: grant.dataset)


def buy(story: Story) -> None:
    """Two computations, one after the other, each waited for."""
    scenario = story.grants[0].scenario
    note = story.space.steps.note

    def tell_progress(progress: Progress) -> None:
        note(f"{progress.seconds:5.1f} s  job {progress.job[:8]} is {progress.state}")

    for name, call in (("describe", DESCRIBE), ("crosstab", CROSSTAB)):
        note(f"{call.key} {json.dumps(dict(call.parameters))}")
        job = story.client.buy(story.product, call, idempotency_key=f"demo-{name}", scenario=scenario)
        story.results.append(job.wait(seconds=120, progress=tell_progress))


def _verify(story: Story) -> None:
    note = story.space.steps.note
    columns = _columns(story.client, story.results[0])
    frames = pooled.read([source.file for one in story.space.cast.hospitals for source in one.datasets])
    for result in story.results:
        table = result.frame.astype(object).where(result.frame.notna(), "withheld")
        note(f"\n{table.T if result.function.startswith('describe') else table}\nmissing: {dict(result.missing)}")
        opened = {"rows": result.rows, "missing": result.missing}
        difference = pooled.compare(frames, result.function, result.parameters, columns, floor=FLOOR, opened=opened)
        story.differences.append(difference)
        note(f"largest difference from the pooled rows: counts {difference.counts:g}, figures {difference.figures:.1e}")
        note("waiting for the receipt: its anchor must be final, and witnesses must vouch for the block")
        levels = result.receipt.verify(story.client.trust)
        path = result.receipt.save(story.space.places.consumer / f"receipt-{result.job}.json")
        story.levels = _worse(story.levels, levels)
        note(f"receipt {path.name}: " + ", ".join(f"{name} {value}" for name, value in levels.as_dict().items()))


def _worse(one: Levels | None, other: Levels) -> Levels:
    """Of two receipts' levels those of the one that proves less."""
    if one is None:
        return other
    valid = [sum(value == "valid" for value in levels.as_dict().values()) for levels in (one, other)]
    return one if valid[0] <= valid[1] else other


def _columns(client: Client, result: Result) -> list[dict[str, Any]]:
    """The dictionary common to the four datasets, as node and SDK compute it."""
    by_id = {dataset.id: dataset for dataset in client.datasets()}
    return common_columns([by_id[given].document["columns"] for given in sorted(by_id)]) if by_id else []


def _refusals(story: Story) -> None:
    space, client, note = story.space, story.client, story.space.steps.note
    outside = refusals.outside_grant(space, client, story.product, story.narrow)
    note(f"a spec for crosstab under a grant for describe, handed to a node past the portal: {outside}")
    revoked = refusals.after_revocation(space, client, story.product, story.grants, story.desks["regulator"])
    note(f"a job after the commission revoked a grant: {revoked}")
    closed = [row for row in story.results[1].rows if row["n"] is None]
    small = {"case": "small_cells", "code": "disclosure.below_floor", "by": "gate"}
    note(f"cells of the cross table that stayed closed: {len(closed)} of {len(story.results[1].rows)}")
    story.refused = [outside, revoked, *([small] if closed else [])]


def _anchored(space: Space) -> int:
    """How many events of this space the chain holds; waits for the last ones."""
    log: dict[str, int] = {}

    def all_anchored() -> bool:
        log.update(space.health()["log"])
        return 0 < log["size"] <= log["anchored"]

    wait_until(all_anchored, seconds=15, step=0.2)
    return log.get("anchored", 0)


def _last_line(story: Story, anchored: int) -> dict[str, Any]:
    """The one JSON object of `--once`."""
    steps = story.space.steps
    levels = story.levels.as_dict() if story.levels else {}
    counts = max((one.counts for one in story.differences), default=float("inf"))
    figures = max((one.figures for one in story.differences), default=float("inf"))
    withheld = sum(result.withheld for result in story.results)
    parties = min((result.parties for result in story.results), default=0)
    proved = bool(levels) and set(levels.values()) == {"valid"}
    right = counts == 0 and figures <= 1e-9 and withheld == sum(one.withheld for one in story.differences) > 0
    refused = {one["case"] for one in story.refused} == {"outside_grant", "revoked", "small_cells"}
    return {
        "ok": bool(proved and right and refused and parties == len(story.space.cast.hospitals) and anchored > 0),
        "seconds": {**steps.seconds, "total": round(steps.total, 2)},
        "parties": parties,
        "max_abs_error": counts if counts != float("inf") else None,
        "max_rel_error": figures if figures != float("inf") else None,
        "receipt": {name: str(value) for name, value in levels.items()},
        "refusals": story.refused,
        "withheld_cells": withheld,
        "anchored_events": anchored,
    }
