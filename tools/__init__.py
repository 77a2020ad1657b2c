"""For developers, on a checkout: pages written from the code, the imports drawn, models converted."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""Root of the checkout."""
