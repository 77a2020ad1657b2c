"""What every other package stands on: settings, errors, types, logging and the picture store.

Imports none of them, and neither Ray nor a web framework nor a database driver.
"""

__version__ = "0.1.0"
