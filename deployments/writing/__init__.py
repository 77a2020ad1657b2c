"""Suggested texts: who writes them, what is shown of them, and the worker of their queue."""
