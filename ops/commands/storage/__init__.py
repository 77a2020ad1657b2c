"""The stored pictures."""
