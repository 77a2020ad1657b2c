"""Commands for the service of this machine: start, stop, inspect and test it."""
