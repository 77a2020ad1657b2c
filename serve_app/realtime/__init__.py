"""Events, from the database to sockets. docs/realtime.md describes what clients see."""
