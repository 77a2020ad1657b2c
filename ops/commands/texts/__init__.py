"""Commands for what texts mean as vectors: list the models, embed by another one, retire the old one."""
