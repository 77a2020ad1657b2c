"""Takes over the old app's database in place.

`db/schema.sql` defines the target schema (`target`); the catalogs contain the present one (`catalog`). The
steps from one to the other (`expand`, `finish`) follow from the difference, which `run` reads each time. So
the next run completes one that was interrupted, and adopts what later migrations add. `rules` and `bridges`
correct rows.
"""
