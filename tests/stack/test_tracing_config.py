"""Serve's own tracing is switched on by the settings of this project."""

from __future__ import annotations

from ray.serve.schema import ServeDeploySchema

from ops.stack.serve_deploy import SERVE_CONFIG, read_config, with_tracing
from semblance.settings import Settings


def test_an_endpoint_switches_tracing_on() -> None:
    settings = Settings(otlp_endpoint="http://127.0.0.1:4318", trace_sampling=0.5)
    config = with_tracing(read_config(SERVE_CONFIG, "127.0.0.1", 8000), settings)
    tracing = ServeDeploySchema.model_validate(config).tracing_config
    assert tracing is not None
    assert (tracing.enabled, tracing.sampling_ratio) == (True, 0.5)
    assert tracing.exporter_import_path == "semblance.otlp:span_processors"


def test_without_one_the_configuration_is_as_written() -> None:
    config = read_config(SERVE_CONFIG, "127.0.0.1", 8000)
    assert with_tracing(config, Settings()) == config
