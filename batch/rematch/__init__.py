"""Matches of all faces, computed again over a cluster."""
