"""Django's configuration of this area."""

from django.apps import AppConfig


class ParticipantsConfig(AppConfig):
    name = "dataspace.participants"
    label = "participants"
    default_auto_field = "django.db.models.BigAutoField"
