"""Checks that this process accepts the largest message that the settings allow."""

from __future__ import annotations

from deployments.replica_messages import VARIABLE, largest_message
from semblance.errors import ConfigurationError
from semblance.settings import Settings


def check_message_limit(settings: Settings) -> None:
    """Raise ConfigurationError if a photo or an answer within the settings' limits would be too large between
    replicas. Call it when a replica starts: Serve's own settings are known only there."""
    # Imported here because Ray reads its settings on import. Serve exposes them nowhere else.
    from ray.serve._private.constants import (  # noqa: PLC0415
        RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH,
        RAY_SERVE_USE_GRPC_BY_DEFAULT,
    )

    needed = largest_message(settings)
    if RAY_SERVE_USE_GRPC_BY_DEFAULT and needed > RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH:
        raise ConfigurationError(
            f"{VARIABLE} is {RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH}, but with SEMBLANCE_MAX_IMAGE_BYTES="
            f"{settings.max_image_bytes} and SEMBLANCE_MAX_FACES={settings.max_faces} messages between "
            f"replicas reach {needed} bytes. Set it to {needed} where `ray start` is called, on every node."
        )
