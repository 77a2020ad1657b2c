"""Embeddings of a Qdrant collection, written to the faces they belong to."""
