"""Datasets and products: what there is, and what is sold."""

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.datasets import queries as datasets
from dataspace.datasets import services as dataset_services
from marketplace.api import schemas
from marketplace.api.schemas import SignedSchema
from marketplace.api.views.base import ApiView, created, documented, listed
from marketplace.products import queries, services


class Datasets(ApiView):
    @documented("List datasets")
    def get(self, request: Request) -> Response:
        return listed(datasets.datasets_for(self.actor), schemas.dataset)

    @documented("Register a dataset", request=SignedSchema, status=201)
    def post(self, request: Request) -> Response:
        (record,) = schemas.body_of(request, "record")
        row = dataset_services.register(schemas.an_object(record), actor=self.actor, now=self.now)
        return created({"id": str(row.pk), "state": row.state})


class Dataset(ApiView):
    @documented("One dataset and its signed record; with ?hash= that version of it")
    def get(self, request: Request, dataset_id: UUID) -> Response:
        row = datasets.dataset_for(self.actor, dataset_id)
        wanted = request.query_params.get("hash")
        shown = schemas.dataset(row)
        return Response(shown if wanted is None else {**shown, "record": datasets.version_of(row, wanted)})


class Withdrawal(ApiView):
    @documented("The provider withdraws a dataset")
    def post(self, request: Request, dataset_id: UUID) -> Response:
        row = datasets.dataset_for(self.actor, dataset_id)
        dataset_services.withdraw(row, actor=self.actor, now=self.now)
        return Response({"id": str(row.pk), "state": row.state})


class Products(ApiView):
    @documented("List products")
    def get(self, request: Request) -> Response:
        return listed(queries.products_for(self.actor), schemas.product)

    @documented("Draft a product", request=SignedSchema, status=201)
    def post(self, request: Request) -> Response:
        (document,) = schemas.body_of(request, "document")
        row = services.draft(schemas.an_object(document), actor=self.actor, now=self.now)
        return created({"id": str(row.pk), "state": row.state})


class Product(ApiView):
    @documented("One product and its signed document")
    def get(self, request: Request, product_id: UUID) -> Response:
        return Response(schemas.product(queries.product_for(self.actor, product_id)))


class Confirmations(ApiView):
    @documented("A provider confirms its part", request=SignedSchema)
    def post(self, request: Request, product_id: UUID) -> Response:
        (confirmation,) = schemas.body_of(request, "confirmation")
        row = queries.product_for(self.actor, product_id)
        services.confirm(row, confirmation=schemas.an_object(confirmation), actor=self.actor, now=self.now)
        return Response({"id": str(row.pk), "state": row.state})


class Submission(ApiView):
    @documented("The lead submits the product")
    def post(self, request: Request, product_id: UUID) -> Response:
        row = queries.product_for(self.actor, product_id)
        services.submit(row, actor=self.actor, now=self.now)
        return Response({"id": str(row.pk), "state": row.state})


class Listing(ApiView):
    @documented("The regulator decides on the listing", request=SignedSchema)
    def post(self, request: Request, product_id: UUID) -> Response:
        (decision,) = schemas.body_of(request, "decision")
        row = queries.product_for(self.actor, product_id)
        services.decide_listing(row, decision=schemas.an_object(decision), actor=self.actor, now=self.now)
        return Response({"id": str(row.pk), "state": row.state})
