"""Django's configuration of this area."""

from django.apps import AppConfig


class ProvenanceConfig(AppConfig):
    name = "dataspace.provenance"
    label = "provenance"
    default_auto_field = "django.db.models.BigAutoField"
