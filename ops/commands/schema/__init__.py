"""The database schema: migrate it, adopt the old app's."""
