"""The HTTP API, the ingress of Serve: `api` on top of `realtime`, `babies`, `auth` and `schemas`.

It computes nothing itself: faces come from `deployments`, matches from `matching`, rows from `db`. SQL and models
do not enter, and `app` alone knows Ray.
"""
