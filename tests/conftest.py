"""Fixtures that several test packages share."""

pytest_plugins = ["tests.bucket", "tests.postgres", "tests.service"]
