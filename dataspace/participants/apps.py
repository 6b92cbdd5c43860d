"""Django's configuration of this area."""

from django.apps import AppConfig


class ParticipantsConfig(AppConfig):
    name = "dataspace.participants"
    label = "participants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from dataspace.participants.services import follow
        from dataspace.provenance import followers

        followers.register("participants", follow.follow)
