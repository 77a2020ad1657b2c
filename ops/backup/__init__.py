"""Backups of all that a service holds: the database, the pictures, the keys and the settings.

Nothing of the HTTP API or of Ray may enter: a backup needs the database and the picture store, and no more.
"""
