"""Ray jobs of the running stack: submit an ingestion, follow and stop jobs."""
