"""Schools that users call by several names."""
