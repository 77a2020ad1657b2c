"""Baby pictures of two matched faces: who makes them, and how they come into storage and database."""
