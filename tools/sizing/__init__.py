"""How large a service must be: a calculator for operators, and docs/sizing.md."""
