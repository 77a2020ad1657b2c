"""The HTTP API: routes, schemas, authentication, realtime and baby pictures, as the ingress of Serve.

It does not compute: faces come from `deployments`, matches from `matching`, rows from `db`.
"""
