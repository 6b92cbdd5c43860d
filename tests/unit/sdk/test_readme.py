"""The Python of the READMEs and of the how-to runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from marketplace.sdk import Space
from tests.unit.sdk.world import World

ROOT = Path(__file__).resolve().parents[3]
PAGES = ["README.md", "README.zh-CN.md", "docs/how-to/buy-and-verify.md"]


@pytest.mark.parametrize("page", PAGES)
def test_it_works(
    world: World, page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def order(body: Any, key: str | None) -> Any:
        answer = world._take_job(body, key)
        world.compute(answer["id"])
        return answer

    world.portal.on_post["/jobs"] = order
    monkeypatch.setattr(Space, "from_config", classmethod(lambda cls: world.space()))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"product": world.product_id, "order_id": "order-1"}

    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL):
        exec(block.replace("chest_pain", "sex").replace("disease_grade", "grade"), names)

    assert "<NA>" in capsys.readouterr().out
