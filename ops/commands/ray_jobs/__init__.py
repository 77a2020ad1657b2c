"""Commands for Ray jobs on the running stack: submit, list, follow and stop them."""
