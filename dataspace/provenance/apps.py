"""Django's configuration of this area."""

from django.apps import AppConfig


class ProvenanceConfig(AppConfig):
    name = "dataspace.provenance"
    label = "provenance"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from dataspace.provenance import chainwork, followers, proofs, recorder, space

        space.refuse_development()
        followers.register("chain", chainwork.follow)  # first: an earlier nonce goes before a later one
        followers.register("record", recorder.follow)
        followers.register("proofs", proofs.capture)
