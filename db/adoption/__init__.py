"""Taking over the old app's database where it is.

`db/schema.sql` says what the schema is to be, and the catalogs say what it is (`target`, `catalog`). The
steps from the one to the other (`expand`, `finish`) follow from the difference, which `run` reads each time,
so that a run which was interrupted is completed by the next, and what a later migration adds is adopted too.
What the rows need is in `rules` and `bridges`.
"""
