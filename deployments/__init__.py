"""From pixels to faces: model packs, the classes that find, embed and analyze, and their Serve deployments.

`vision`, `packs` and `faces` run without Ray; only the modules of this folder itself may import it. No HTTP.
"""
