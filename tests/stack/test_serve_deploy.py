from __future__ import annotations

from pathlib import Path

import pytest

from ops.stack.serve_deploy import SERVE_CONFIG, read_config
from semblance.errors import ConfigurationError


def test_the_address_is_replaced_and_the_rest_kept() -> None:
    config = read_config(SERVE_CONFIG, "127.0.0.1", 12345)
    assert config["http_options"]["host"] == "127.0.0.1"
    assert config["http_options"]["port"] == 12345
    assert [app["import_path"] for app in config["applications"]] == ["serve_app.app:build_app"]


@pytest.mark.parametrize("content", ["a: [", "just words", "applications: []"])
def test_a_bad_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"serve\.yaml"):
        read_config(file, "127.0.0.1", 1)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Cannot read"):
        read_config(tmp_path / "none.yaml", "127.0.0.1", 1)
