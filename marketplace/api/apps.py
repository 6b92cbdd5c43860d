"""Django's configuration of this area."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "marketplace.api"
    label = "api"
    default_auto_field = "django.db.models.BigAutoField"
