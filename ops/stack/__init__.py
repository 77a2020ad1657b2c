"""The stack of one machine: gateway, PostgreSQL, Ray and Serve under a supervisor, with all state in one
folder.

It knows nothing of the commands that start and stop it.
"""
