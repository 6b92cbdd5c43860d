"""What an enterprise installs: order a computation, open its result, check its receipt. No Django, no torch.

The names below are all that is promised; everything else may move between versions.
"""

from marketplace.sdk import errors, fn
from marketplace.sdk.desk import Desk
from marketplace.sdk.errors import (
    ConfigurationError,
    EnvelopeError,
    JobFailed,
    NotFound,
    ReceiptError,
    Refused,
    SdkError,
    TimedOut,
    Unavailable,
    VerificationError,
)
from marketplace.sdk.job import Job
from marketplace.sdk.receipt import Receipt
from marketplace.sdk.result import Result
from marketplace.sdk.space import Space
from marketplace.sdk.types import Column, Dataset, Grant, Price, Product, Progress, Scenario, Text

__all__ = [
    "Column",
    "ConfigurationError",
    "Dataset",
    "Desk",
    "EnvelopeError",
    "Grant",
    "Job",
    "JobFailed",
    "NotFound",
    "Price",
    "Product",
    "Progress",
    "Receipt",
    "ReceiptError",
    "Refused",
    "Result",
    "Scenario",
    "SdkError",
    "Space",
    "Text",
    "TimedOut",
    "Unavailable",
    "VerificationError",
    "errors",
    "fn",
]
