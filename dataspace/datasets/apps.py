"""Django's configuration of this area."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "dataspace.datasets"
    label = "datasets"
    default_auto_field = "django.db.models.BigAutoField"
