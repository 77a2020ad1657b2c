"""Commands for model packs."""
