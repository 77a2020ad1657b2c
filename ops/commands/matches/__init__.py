"""Commands for matches: work on match jobs, apply changed weights."""
