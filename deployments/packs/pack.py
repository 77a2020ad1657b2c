"""A verified pack whose nets are built on demand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deployments.packs import open_pack
from deployments.packs.manifest import SMALL_FACE, Manifest, read_manifest
from deployments.packs.nets import (
    AgeGenderNet,
    Alignment,
    AttributeCrop,
    DetectNet,
    EmbedNet,
    ExpressionNet,
    LandmarkNet,
)
from semblance.settings import Settings
from semblance.types import ModelInfo

OPEN_FOLDER = Path(__file__).parent / "open"
"""The pack that ships; it also plays the roles that another pack lacks."""


class LoadedPack:
    """Implements ModelPack for nets with the open pack's inputs and outputs. The open pack plays the roles
    that the manifest lacks. The caller must have verified the files."""

    def __init__(self, folder: Path, manifest: Manifest, settings: Settings) -> None:
        embed, age_gender = manifest.roles.embed, manifest.roles.age_gender
        self.info = ModelInfo(manifest.name, manifest.digest)
        self.threshold = manifest.threshold
        self.upright_score = manifest.roles.detect.upright_score
        self.small_face = manifest.roles.detect.small_face or SMALL_FACE
        self.alignment = Alignment(embed.input_size, np.array(embed.target, np.float32), embed.points)
        self.attribute_crop = (
            AttributeCrop(age_gender.input_size, age_gender.crop_scale)
            if age_gender is not None and age_gender.crop_scale is not None
            else None
        )
        self.folder = folder
        self.manifest = manifest
        self.settings = settings

    def detector(self) -> DetectNet:
        return open_pack.SsdDetector(self.folder, self.manifest.roles.detect, self.settings)

    def landmarks(self) -> LandmarkNet:
        role = self.manifest.roles.landmarks
        if role is None:
            return self._open().landmarks()
        return open_pack.BoxLandmarks(self.folder, role, self.settings)

    def embedder(self) -> EmbedNet:
        return open_pack.VectorNet(self.folder, self.manifest.roles.embed, self.settings)

    def age_gender(self) -> AgeGenderNet:
        role = self.manifest.roles.age_gender
        if role is None:
            return self._open().age_gender()
        return open_pack.PortraitAgeGender(self.folder, role, self.settings)

    def expression(self) -> ExpressionNet:
        role = self.manifest.roles.expression
        if role is None:
            return self._open().expression()
        return open_pack.PortraitExpression(self.folder, role, self.settings)

    def _open(self) -> LoadedPack:
        manifest = read_manifest(OPEN_FOLDER)
        manifest.verify(OPEN_FOLDER)
        return LoadedPack(OPEN_FOLDER, manifest, self.settings)
