"""Bulk ingestion of celebrities: list the inputs, describe their pictures on workers, write the rows."""
