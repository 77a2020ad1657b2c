"""Metrics: declared once, recorded anywhere."""

from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops.stack.ports import free_ports
from semblance import metrics
from semblance.errors import ConfigurationError
from semblance.metrics import METRICS
from semblance.recorder import CounterMetric, GaugeMetric, HistogramMetric, Metric, Recorder
from tools.metrics_docs import TARGET, render


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr("semblance.recorder.local", recorder)
    return recorder


def test_the_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run python -m tools.metrics_docs"


def test_every_declared_metric_is_listed_once() -> None:
    declared = [value for value in vars(metrics).values() if isinstance(value, Metric)]
    assert declared == list(METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: str(metric.name))
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"semblance_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    if isinstance(metric, HistogramMetric):
        assert metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.buckets[0] > 0


def test_values_are_kept_by_labels(recorder: Recorder) -> None:
    counter = CounterMetric(name="c_total", help="C.", labels=("code",))
    gauge = GaugeMetric(name="g", help="G.")
    histogram = HistogramMetric(name="h_seconds", help="H.", buckets=(1.0, 2.0))
    counter.count(code="a")
    counter.count(2, code="a")
    counter.count(code="b")
    with pytest.raises(ValueError, match="label"):
        counter.count(code="b", route="/")
    gauge.put(7)
    gauge.put(5)
    histogram.observe(1.5)
    with pytest.raises(ZeroDivisionError), histogram.timed():
        _ = 1 // 0
    families = text_string_to_metric_families(recorder.text())
    values = {
        (sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples
    }
    assert values[("c_total", "a")] == 3
    assert values[("c_total", "b")] == 1
    assert values[("g",)] == 5
    assert [values[("h_seconds_bucket", bound)] for bound in ("1.0", "2.0", "+Inf")] == [1, 2, 2]
    assert not any(name.endswith("_created") for name, *_ in values)


def test_a_process_without_ray_answers_prometheus(recorder: Recorder) -> None:
    CounterMetric(name="c_total", help="C.").count()
    port = free_ports({"metrics": ("127.0.0.1", 0)})["metrics"]
    with recorder.serving(port):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
        assert "c_total 1.0" in answer.text.splitlines()
        with (
            pytest.raises(ConfigurationError, match=f"Port {port} cannot be used"),
            recorder.serving(port),
        ):
            pass


def test_a_label_that_is_not_declared_is_an_error(recorder: Recorder) -> None:
    with pytest.raises(ValueError, match="label"):
        CounterMetric(name="c_total", help="C.", labels=("code",)).count(route="/")
