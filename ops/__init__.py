"""What an operator runs: the `semblance` commands, and the stack of one machine that they keep up.

The top of the tower: it may import every other package, and none imports it.
"""
