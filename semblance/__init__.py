"""What every other package stands on: settings, errors, types, logging and the picture store.

It imports no other package of the project, and no Ray, web framework or database driver.
"""

__version__ = "0.1.0"
