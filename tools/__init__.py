"""For developers, on a checkout: pages written from the code, the imports drawn, models converted."""

from pathlib import Path

import deployments  # noqa: F401 - before onnxruntime, to which it forbids reports

CHECKOUT = Path(__file__).resolve().parent.parent
"""Root of the checkout."""
