"""Addresses of the marketplace: pages of its areas, and the API."""

from importlib.util import find_spec

from django.urls import include, path

_PAGES = {
    "products/": "marketplace.products.urls",
    "agreements/": "marketplace.agreements.urls",
    "jobs/": "marketplace.jobs.urls",
}


def _stands(module: str) -> bool:
    """Whether the area has pages."""
    package = module.rpartition(".")[0]
    return find_spec(package) is not None and find_spec(module) is not None


urlpatterns = [
    path("api/v1/", include("marketplace.api.urls")),
    *(path(prefix, include(module)) for prefix, module in _PAGES.items() if _stands(module)),
]
