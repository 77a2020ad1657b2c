"""Commands for the database schema: migrate it, adopt the one of the old app."""
