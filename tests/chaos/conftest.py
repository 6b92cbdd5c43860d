"""One space with a listed product and active grants, in which processes are killed and frozen."""

import pytest

from deploy import story as stories
from deploy.places import Places
from deploy.sources import demo_cast
from deploy.space import building


@pytest.fixture(scope="module")
def granted(tmp_path_factory):
    places = Places(tmp_path_factory.mktemp("chaos"))
    with building(places, demo_cast(), port=0, fresh=True) as space:
        story = stories.begin(space)
        stories.offer(story)
        stories.grant(story)
        yield story
