"""The root of the portal's addresses: pages of each area, the API, health."""

from importlib.util import find_spec

from django.urls import include, path

from dataspace.provenance import views as log
from dataspace.provenance.health import healthz

_PAGES = {
    "": "marketplace.home.urls",
    "participants/": "dataspace.participants.urls",
    "datasets/": "dataspace.datasets.urls",
    "scenarios/": "dataspace.scenarios.urls",
    "grants/": "dataspace.grants.urls",
    "ledger/": "dataspace.provenance.urls",
}


def _stands(module: str) -> bool:
    """Whether the area has pages."""
    package = module.rpartition(".")[0]
    return find_spec(package) is not None and find_spec(module) is not None


urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("log/checkpoint", log.checkpoint),
    path("log/tile/entries/<path:name>", log.entries),
    path("log/tile/<str:level>/<path:name>", log.tile),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("marketplace.urls")),
    *(path(prefix, include(module)) for prefix, module in _PAGES.items() if _stands(module)),
]
