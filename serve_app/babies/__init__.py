"""Baby pictures of two matched faces: their providers, and how they are stored."""
