"""Stands in for setuptools while pip downloads a source distribution.

pip asks the build backend of a source distribution for its metadata even where it only downloads it without
dependencies (https://github.com/pypa/pip/issues/1884), and setuptools answers by running the package's
setup.py. This backend answers from PKG-INFO, so that nothing of the package runs.
"""
