"""FastAPI: the factory of the application, its middleware, its dependencies and its routes.

Imports go from `factory` over `routes` and `dependencies` to `services`. No SQL and no Ray; the work itself
is done by `db`, `deployments`, `matching` and the modules beside this package.
"""
