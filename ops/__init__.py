"""What an operator runs: the `semblance` commands, and the stack of one machine that they start.

This is the top of the tower. It may import every other package, and no other package imports it.
"""
