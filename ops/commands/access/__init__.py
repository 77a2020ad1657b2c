"""Commands for access to the API: users' tokens, API keys, admins."""
