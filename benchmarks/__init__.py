"""Measurements, each of which says what it compares. Run on a checkout; no package imports them."""
