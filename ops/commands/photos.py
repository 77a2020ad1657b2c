"""Photos that come with the Python packages. None is downloaded or part of this project."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from semblance.errors import ConfigurationError

GROUP_PHOTO = ("insightface", "data/images/t1.jpg")
PORTRAIT = ("insightface", "data/images/Tom_Hanks_54745.png")
ASTRONAUT = ("skimage", "data/astronaut.png")


def package_photo(package: str, path: str) -> Path:
    """A file of an installed package. Raises ConfigurationError if it is missing."""
    spec = find_spec(package)
    if spec is None or spec.origin is None or not (photo := Path(spec.origin).parent / path).is_file():
        raise ConfigurationError(f"The package {package} lacks {path}. Reinstall: `make clean-env env`.")
    return photo
