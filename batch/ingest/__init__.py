"""Bulk ingestion of celebrities: list the inputs, analyse their pictures on workers, write the rows."""
