"""Django's configuration of this area."""

from django.apps import AppConfig


class GrantsConfig(AppConfig):
    name = "dataspace.grants"
    label = "grants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.utils import timezone

        from dataspace.grants import services
        from dataspace.provenance import followers

        followers.register("grants", lambda: services.follow(now=timezone.now()))
