"""Who looks like whom: the rules, the ranking engine, the gallery in memory, and the worker of match jobs.

It runs without Ray, and reads and writes through `db`.
Models, HTTP and Ray stay out: they are above it and call it.
"""
