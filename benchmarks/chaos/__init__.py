"""Faults on a running stack: what clients see of each, how long it takes to heal, and what is lost."""
