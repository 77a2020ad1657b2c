"""Events from the database to sockets; docs/realtime.md says what clients see."""
