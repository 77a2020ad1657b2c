"""The one hook of PEP 517 that a download needs, under the name of setuptools' backend."""

from __future__ import annotations

import shutil
from email.parser import Parser
from pathlib import Path


class _Backend:
    @staticmethod
    def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
        """Called by pip in the unpacked source distribution; returns the name of the folder it makes."""
        known = Parser().parsestr(Path("PKG-INFO").read_text("utf-8"), headersonly=True)
        folder = Path(metadata_directory, f"{known['Name']}-{known['Version']}.dist-info")
        folder.mkdir()
        shutil.copy("PKG-INFO", folder / "METADATA")
        return folder.name


__legacy__ = _Backend()
