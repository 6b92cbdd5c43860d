"""Django's configuration of this area."""

from django.apps import AppConfig


class ScenariosConfig(AppConfig):
    name = "dataspace.scenarios"
    label = "scenarios"
    default_auto_field = "django.db.models.BigAutoField"
