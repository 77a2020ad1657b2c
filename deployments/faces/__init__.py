"""Finding, embedding and analyzing faces in one process, without Ray."""
