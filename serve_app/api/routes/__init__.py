"""The endpoints, a module for each group: they validate, call and answer.

No SQL, no computing; what a route accepts and answers is in `serve_app.schemas`.
"""
