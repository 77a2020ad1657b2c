"""One local stack: PostgreSQL, Ray and Serve under a supervisor, all state in one folder."""
