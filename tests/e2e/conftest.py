"""The whole story, once, in separate processes; every test of this folder looks at what it left."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy import story as stories
from deploy.places import Places
from deploy.sources import demo_cast
from deploy.space import Space, building


@dataclass
class Told:
    """The running space after the story, and what the story said."""

    space: Space
    answer: dict[str, Any]
    story: stories.Story = field(repr=False)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    places = Places(tmp_path_factory.mktemp("story"))
    with building(places, demo_cast(), port=0, fresh=True) as space:
        story = stories.begin(space)
        answer = stories.play(story)
        yield Told(space, answer, story)
