"""Django's configuration of this area."""

from django.apps import AppConfig


class DataspaceConfig(AppConfig):
    name = "dataspace"
    label = "dataspace"
    default_auto_field = "django.db.models.BigAutoField"
