"""The service of this machine: start it, stop it, look at it, try it out."""
