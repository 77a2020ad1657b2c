"""Commands for schools."""
