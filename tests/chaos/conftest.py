"""One space with a listed product and active grants, in which processes are killed and frozen. What a session and an
answer may take is shorter here than in life: most of these tests wait for one of the two to be over."""

from dataclasses import replace

import pytest

from deploy import environment
from deploy import space as spaces
from deploy import story as stories
from deploy.places import Places
from deploy.sources import demo_cast
from mpc.node import config

SESSION, ANSWER = 35, 15


@pytest.fixture(scope="module")
def granted(tmp_path_factory):
    make_home, portal = spaces.make_home, environment.portal

    def make(*given, **more):
        known = replace(make_home(*given, **more), session_seconds=SESSION)
        config.save(known)
        return known

    places = Places(tmp_path_factory.mktemp("chaos"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spaces, "make_home", make)
        patch.setattr(environment, "portal", lambda *given, **more: {
            **portal(*given, **more), "XINGLIN_VERDICT_SECONDS": str(ANSWER)})
        with spaces.building(places, demo_cast(), port=0, fresh=True) as space:
            story = stories.begin(space)
            stories.offer(story)
            stories.grant(story)
            yield story
