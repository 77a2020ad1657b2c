"""Model packs."""
