"""The kernel every other package stands on: settings, errors, types, logging, and the command line."""

__version__ = "0.1.0"
