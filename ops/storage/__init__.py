"""Upkeep of the picture store: remove what no row names, render what was stored as it came."""
