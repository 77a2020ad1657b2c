"""Upkeep of the picture store: what is unreferenced, and pictures stored before they were rendered."""
