"""Django's configuration of this area."""

from django.apps import AppConfig


class ProductsConfig(AppConfig):
    name = "marketplace.products"
    label = "products"
    default_auto_field = "django.db.models.BigAutoField"
