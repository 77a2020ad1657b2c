"""Vectors of texts: what a text means, comparable by cosine. docs/packs.md describes text packs."""
