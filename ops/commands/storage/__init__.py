"""Commands for the picture store."""
