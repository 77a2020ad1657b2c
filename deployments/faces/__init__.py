"""Finding, embedding and analyzing faces in one process: what the Serve deployments and the Ray jobs share.

No Ray, no HTTP, no database. Nets come from `packs`.
"""
