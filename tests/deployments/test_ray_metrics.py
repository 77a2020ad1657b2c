"""The exports of Ray's nodes become one text in Prometheus' format."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from deployments.ray_metrics import merged

EXPORT = """\
# HELP ray_node_disk_free Free.
# TYPE ray_node_disk_free gauge
ray_node_disk_free{NodeAddress="NODE"} 9.0
# HELP ray_semblance_requests_total HTTP requests.
# TYPE ray_semblance_requests_total counter
ray_semblance_requests_total{Component="c",NodeAddress="NODE",Version="2",route="/ray_x",status="200"} 3.0
# HELP ray_semblance_wait_seconds Waits.
# TYPE ray_semblance_wait_seconds histogram
ray_semblance_wait_seconds_bucket{NodeAddress="NODE",le="1.0"} 1.0
ray_semblance_wait_seconds_bucket{NodeAddress="NODE",le="+Inf"} 2.0
ray_semblance_wait_seconds_count{NodeAddress="NODE",otel_scope_name="r.recorder",otel_scope_version=""} 2.0
ray_semblance_wait_seconds_sum{NodeAddress="NODE"} 4.0
"""


def test_only_our_metrics_are_taken_each_under_one_heading() -> None:
    text = merged(EXPORT.replace("NODE", node) for node in ("10.0.0.1", "10.0.0.2"))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "semblance_requests": "counter",
        "semblance_wait_seconds": "histogram",
    }
    assert families["semblance_requests"].documentation == "HTTP requests."
    [first, second] = families["semblance_requests"].samples
    assert first.labels == {"NodeAddress": "10.0.0.1", "route": "/ray_x", "status": "200"}
    assert (first.value, second.labels["NodeAddress"]) == (3, "10.0.0.2")
    assert len(families["semblance_wait_seconds"].samples) == 8
    assert {tuple(sample.labels) for sample in families["semblance_wait_seconds"].samples} == {
        ("NodeAddress", "le"),
        ("NodeAddress",),
    }
    assert text.count("# TYPE semblance_wait_seconds ") == 1


def test_a_cluster_without_values_gives_an_empty_text() -> None:
    assert merged(["# HELP ray_x X.\n# TYPE ray_x gauge\nray_x 1\n"]) == ""
