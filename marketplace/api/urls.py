"""Addresses of the API, version 1."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import AllowAny

from marketplace.api.views import catalogue, orders, participants, permissions, record, work

app_name = "api"
urlpatterns = [
    path("schema", SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[AllowAny])),
    path("participants", participants.Participants.as_view()),
    path("participants/<uuid:participant_id>", participants.Participant.as_view()),
    path("participants/<uuid:participant_id>/admission", participants.Admission.as_view()),
    path("participants/<uuid:participant_id>/records", participants.Records.as_view()),
    path("participants/<uuid:participant_id>/proposal", participants.Proposal.as_view()),
    path("participants/<uuid:participant_id>/veto", participants.Veto.as_view()),
    path("participants/<uuid:participant_id>/finish", participants.Finish.as_view()),
    path("participants/<uuid:participant_id>/suspension", participants.Suspension.as_view()),
    path("datasets", catalogue.Datasets.as_view()),
    path("datasets/<uuid:dataset_id>", catalogue.Dataset.as_view()),
    path("datasets/<uuid:dataset_id>/withdrawal", catalogue.Withdrawal.as_view()),
    path("products", catalogue.Products.as_view()),
    path("products/<uuid:product_id>", catalogue.Product.as_view()),
    path("products/<uuid:product_id>/confirmations", catalogue.Confirmations.as_view()),
    path("products/<uuid:product_id>/submission", catalogue.Submission.as_view()),
    path("products/<uuid:product_id>/listing", catalogue.Listing.as_view()),
    path("scenarios", permissions.Scenarios.as_view()),
    path("scenarios/<uuid:scenario_id>", permissions.Scenario.as_view()),
    path("scenarios/<uuid:scenario_id>/submission", permissions.Submission.as_view()),
    path("scenarios/<uuid:scenario_id>/decision", permissions.Decision.as_view()),
    path("grants", permissions.Grants.as_view()),
    path("grants/<uuid:grant_id>", permissions.Grant.as_view()),
    path("grants/<uuid:grant_id>/consent", permissions.Consent.as_view()),
    path("grants/<uuid:grant_id>/revocation", permissions.Revocation.as_view()),
    path("grants/<uuid:grant_id>/suspension", permissions.Suspension.as_view()),
    path("grants/<uuid:grant_id>/cancellation", permissions.Cancellation.as_view()),
    path("uses", permissions.Uses.as_view()),
    path("agreements", orders.Agreements.as_view()),
    path("agreements/<uuid:agreement_id>", orders.Agreement.as_view()),
    path("agreements/<uuid:agreement_id>/signature", orders.AgreementSignature.as_view()),
    path("jobs", orders.Jobs.as_view()),
    path("jobs/<uuid:job_id>", orders.Job.as_view()),
    path("jobs/<uuid:job_id>/cancellation", orders.Cancellation.as_view()),
    path("jobs/<uuid:job_id>/verdicts", orders.Verdicts.as_view()),
    path("jobs/<uuid:job_id>/envelopes", orders.Envelopes.as_view()),
    path("jobs/<uuid:job_id>/failures", orders.Failures.as_view()),
    path("jobs/<uuid:job_id>/contributions", orders.Contributions.as_view()),
    path("jobs/<uuid:job_id>/contributions/<int:seat>", orders.Contribution.as_view()),
    path("jobs/<uuid:job_id>/freeze", orders.Freeze.as_view()),
    path("jobs/<uuid:job_id>/total", orders.Total.as_view()),
    path("work", work.Work.as_view()),
    path("entries", record.Entries.as_view()),
    path("receipts/<uuid:entry_id>", record.Receipt.as_view()),
    path("log/checkpoint", record.checkpoint),
    path("log/leaves", record.Leaves.as_view()),
    path("log/consistency", record.Consistency.as_view()),
    path("<path:rest>", record.Nothing.as_view()),
]
