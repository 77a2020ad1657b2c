"""Every metric of the service. `docs/metrics.md` is written from this module."""

from __future__ import annotations

from typing import Final

from semblance.recorder import CounterMetric, GaugeMetric, HistogramMetric, Metric

_WAITS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_ANSWERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_JOBS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

REQUESTS: Final = CounterMetric(
    name="semblance_requests_total",
    help="HTTP requests by the template of their route, such as /api/matches/{match_id}, and by status.",
    labels=("method", "route", "status"),
)
REQUEST_SECONDS: Final = HistogramMetric(
    name="semblance_request_seconds",
    help="Time from the head of an HTTP request until its answer begins. The body arrives in between.",
    labels=("method", "route"),
    buckets=_ANSWERS,
)
REFUSALS: Final = CounterMetric(
    name="semblance_refusals_total",
    help="Answers with an error, by its code in the body.",
    labels=("code",),
)
QUOTA_REFUSALS: Final = CounterMetric(
    name="semblance_quota_refusals_total",
    help="Uses refused because a user's daily limit was reached.",
    labels=("quota",),
)
REALTIME_CLIENTS: Final = GaugeMetric(
    name="semblance_realtime_clients",
    help="Open realtime connections of a replica.",
)
PHOTOS: Final = CounterMetric(
    name="semblance_photos_total",
    help="Photos searched for faces: `faces`, `no_face`, or the code of the error that refused the photo.",
    labels=("outcome",),
)
FACES: Final = CounterMetric(
    name="semblance_faces_found_total",
    help="Faces found in photos.",
)
SEARCH_SECONDS: Final = HistogramMetric(
    name="semblance_search_seconds",
    help="Searches: `lookalikes` of a photo, `users` by a photo, `gallery` for a match job,"
    " `profiles` by their bios, `messages` of a user's chats.",
    labels=("kind",),
    buckets=_ANSWERS,
)
QUEUE_JOBS: Final = GaugeMetric(
    name="semblance_queue_jobs",
    help="Match jobs in the database that are pending, processing or failed. Each replica of the API reports "
    "all of them.",
    labels=("status",),
)
QUEUE_OLDEST: Final = GaugeMetric(
    name="semblance_queue_oldest_seconds",
    help="Age of the oldest of these jobs; 0 without any.",
    labels=("status",),
)
TEXT_JOBS: Final = GaugeMetric(
    name="semblance_text_jobs",
    help="Jobs of suggested texts in the database that are pending, processing or failed.",
    labels=("status",),
)
TEXT_JOBS_OLDEST: Final = GaugeMetric(
    name="semblance_text_jobs_oldest_seconds",
    help="Age of the oldest of these jobs; 0 without any.",
    labels=("status",),
)
JOBS: Final = CounterMetric(
    name="semblance_jobs_total",
    help="Attempts at jobs, by how they ended: `pending` is tried again, `lost` was taken by another worker.",
    labels=("queue", "outcome"),
)
MATCH_SECONDS: Final = HistogramMetric(
    name="semblance_match_seconds",
    help="Time from the upload of a photo until its matches are written.",
    buckets=_JOBS,
)
GALLERY_ROWS: Final = GaugeMetric(
    name="semblance_gallery_rows",
    help="Celebrities' photos that a match worker has in memory, by the beginning of the pack's digest.",
    labels=("pack",),
)
GALLERY_CURRENT: Final = GaugeMetric(
    name="semblance_gallery_current_timestamp_seconds",
    help="When a match worker last brought its gallery up to date. It does so every few seconds.",
    labels=("pack",),
)
INGESTED: Final = CounterMetric(
    name="semblance_ingested_pictures_total",
    help="Pictures of ingestions, by outcome.",
    labels=("outcome",),
)
PROVIDER_SECONDS: Final = HistogramMetric(
    name="semblance_provider_seconds",
    help="Pictures asked of the provider of baby pictures, with all attempts.",
    labels=("provider", "outcome"),
    buckets=_JOBS,
)
POOL_WAIT_SECONDS: Final = HistogramMetric(
    name="semblance_database_wait_seconds",
    help="Time until the pool gave a database connection; after 10 seconds it gives up.",
    buckets=_WAITS,
)
DISK_FREE: Final = GaugeMetric(
    name="semblance_disk_free_bytes",
    help="Free space of the disk that holds the home.",
)
DISK_SIZE: Final = GaugeMetric(
    name="semblance_disk_size_bytes",
    help="Size of that disk.",
)
BUILD: Final = GaugeMetric(
    name="semblance_build_info",
    help="Always 1; its labels say what runs.",
    labels=("version", "pack"),
)

METRICS: Final[tuple[Metric, ...]] = (
    REQUESTS,
    REQUEST_SECONDS,
    REFUSALS,
    QUOTA_REFUSALS,
    REALTIME_CLIENTS,
    PHOTOS,
    FACES,
    SEARCH_SECONDS,
    QUEUE_JOBS,
    QUEUE_OLDEST,
    TEXT_JOBS,
    TEXT_JOBS_OLDEST,
    JOBS,
    MATCH_SECONDS,
    GALLERY_ROWS,
    GALLERY_CURRENT,
    INGESTED,
    PROVIDER_SECONDS,
    POOL_WAIT_SECONDS,
    DISK_FREE,
    DISK_SIZE,
    BUILD,
)
