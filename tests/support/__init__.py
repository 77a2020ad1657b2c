"""What tests share: fixtures, services that run beside them, photos, rows. It holds no tests."""
