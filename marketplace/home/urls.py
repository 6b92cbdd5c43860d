"""Addresses of the portal's pages. All of them read."""

from django.urls import path

from dataspace.participants.views import SignIn, SignOut
from marketplace.home import catalogue, evidence, jobs, provenance, scenarios, views

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-in", SignIn.as_view(), name="sign-in"),
    path("sign-out", SignOut.as_view(), name="sign-out"),
    path("find", views.find, name="find"),
    path("check", views.check, name="check"),
    path("verify.html", evidence.verifier, name="verifier"),
    path("participants", catalogue.participants, name="participants"),
    path("participants/<uuid:participant_id>", catalogue.participant, name="participant"),
    path("datasets", catalogue.datasets, name="datasets"),
    path("datasets/<uuid:dataset_id>", catalogue.dataset, name="dataset"),
    path("products", catalogue.products, name="products"),
    path("products/<uuid:product_id>", catalogue.product, name="product"),
    path("products/<uuid:product_id>/provenance", provenance.of_product, name="product-provenance"),
    path("scenarios", scenarios.scenarios, name="scenarios"),
    path("scenarios/<uuid:scenario_id>", scenarios.scenario, name="scenario"),
    path("grants", scenarios.grants, name="grants"),
    path("jobs", jobs.jobs, name="jobs"),
    path("jobs/<uuid:job_id>", jobs.job, name="job"),
    path("jobs/<uuid:job_id>/provenance", provenance.of_job, name="job-provenance"),
    path("jobs/<uuid:job_id>/live", jobs.live, name="job-live"),
    path("ledger", evidence.ledger, name="ledger"),
    path("ledger/<int:index>", evidence.leaf, name="leaf"),
    path("receipts/<uuid:entry_id>", evidence.receipt, name="receipt"),
    path("receipts/<uuid:entry_id>.json", evidence.receipt_file, name="receipt-file"),
]
