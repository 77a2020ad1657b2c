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
# HELP ray_semblance_search_seconds_bucket_le_1_0 Searches: `lookalikes` of a photo.
# TYPE ray_semblance_search_seconds_bucket_le_1_0 gauge
ray_semblance_search_seconds_bucket_le_1_0{NodeAddress="NODE",kind="users"} 1.0
# HELP ray_semblance_search_seconds_bucket_le_inf Searches: `lookalikes` of a photo.
# TYPE ray_semblance_search_seconds_bucket_le_inf gauge
ray_semblance_search_seconds_bucket_le_inf{NodeAddress="NODE",kind="users"} 2.0
# HELP ray_semblance_search_seconds_count Searches: `lookalikes` of a photo.
# TYPE ray_semblance_search_seconds_count gauge
ray_semblance_search_seconds_count{NodeAddress="NODE",kind="users",otel_scope_name="r"} 2.0
# HELP ray_semblance_search_seconds_sum Searches: `lookalikes` of a photo.
# TYPE ray_semblance_search_seconds_sum gauge
ray_semblance_search_seconds_sum{NodeAddress="NODE",kind="users"} 4.0
# HELP ray_semblance_realtime_clients Open connections.
# TYPE ray_semblance_realtime_clients gauge
ray_semblance_realtime_clients{NodeAddress="NODE"} 5.0
"""


def test_only_our_metrics_are_taken_each_under_one_heading() -> None:
    text = merged(EXPORT.replace("NODE", node) for node in ("10.0.0.1", "10.0.0.2"))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "semblance_requests": "counter",
        "semblance_search_seconds": "histogram",
        "semblance_realtime_clients": "gauge",
    }
    assert families["semblance_requests"].documentation == "HTTP requests."
    [first, second] = families["semblance_requests"].samples
    assert first.labels == {"NodeAddress": "10.0.0.1", "route": "/ray_x", "status": "200"}
    assert (first.value, second.labels["NodeAddress"]) == (3, "10.0.0.2")
    searches = families["semblance_search_seconds"]
    assert searches.documentation == "Searches: `lookalikes` of a photo."
    assert len(searches.samples) == 8
    assert {tuple(sample.labels) for sample in searches.samples} == {
        ("le", "NodeAddress", "kind"),
        ("NodeAddress", "kind"),
    }
    assert {sample.labels.get("le") for sample in searches.samples} == {"1.0", "+Inf", None}
    assert text.count("# TYPE semblance_search_seconds ") == 1


def test_a_cluster_without_values_gives_an_empty_text() -> None:
    assert merged(["# HELP ray_x X.\n# TYPE ray_x gauge\nray_x 1\n"]) == ""
