"""Django's configuration of this area."""

from django.apps import AppConfig


class GrantsConfig(AppConfig):
    name = "dataspace.grants"
    label = "grants"
    default_auto_field = "django.db.models.BigAutoField"
