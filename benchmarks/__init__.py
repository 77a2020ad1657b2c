"""Measurements, each of which says what it compares. Run on a checkout; no package imports them."""

import deployments  # noqa: F401 - before onnxruntime, to which it forbids reports
