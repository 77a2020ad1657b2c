"""Fixtures that several test packages share."""

pytest_plugins = ["tests.api", "tests.bucket", "tests.fal", "tests.postgres", "tests.service"]
