DROP TABLE ingestion_refusals, ingestion_files, ingestions;
