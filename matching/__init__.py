"""Who looks like whom: the rules, the ranking engine, the gallery in memory, and the worker of match jobs.

Runs without Ray. It reads and writes through `db`, and knows nothing of models or HTTP.
"""
