"""Who may call the API: tokens of users, API keys, admins."""
