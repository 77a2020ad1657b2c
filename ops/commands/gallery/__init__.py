"""`semblance gallery`."""
