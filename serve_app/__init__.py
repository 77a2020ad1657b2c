"""The HTTP API, the ingress of Serve: `api` on top of `realtime`, `babies`, `auth` and `schemas`.

It computes nothing itself: faces come from `deployments`, matches from `matching`, rows from `db`. Neither
SQL nor models enter, and only `app` knows Ray.
"""
