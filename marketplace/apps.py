"""Django's configuration of this area."""

from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    name = "marketplace"
    label = "marketplace"
    default_auto_field = "django.db.models.BigAutoField"
