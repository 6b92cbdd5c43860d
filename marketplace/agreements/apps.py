"""Django's configuration of this area."""

from django.apps import AppConfig


class AgreementsConfig(AppConfig):
    name = "marketplace.agreements"
    label = "agreements"
    default_auto_field = "django.db.models.BigAutoField"
