"""PostgreSQL: the schema and its migrations, the queries by name, and a repository for each group of tables.

The only package that imports asyncpg. It knows neither models nor HTTP.
"""
