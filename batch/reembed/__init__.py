"""Embeddings of all faces by another model pack, and the switch to that pack."""
