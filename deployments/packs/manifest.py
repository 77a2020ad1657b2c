"""A model pack's manifest: which file plays which role, what input its net takes, and what it may be used
for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from deployments.replica_messages import MAX_CROP_SIDE
from semblance.errors import PackError
from semblance.files import file_sha256
from semblance.settings import Settings
from semblance.types import EMBEDDING_SIZE, EMOTIONS, Emotion

MANIFEST_FILE = "manifest.json"

SMALL_FACE = 40 / 512
"""Share of a detector's canvas below which faces may be missed, for a pack that does not state its own: the
first open pack lost faces of 10 to 20 pixels on its canvas of 512."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Point = tuple[float, float]
_M = TypeVar("_M")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(_Model):
    """The net is given (pixel - mean) / std, pixel 0..255."""

    mean: float
    std: float = Field(gt=0)


class Licence(_Model):
    """name: SPDX identifier or title. file: the licence's text, next to the weights, if the pack has one.
    commercial_use: whether the weights may be used commercially."""

    name: str
    file: FileName | None
    commercial_use: bool


class Role(_Model):
    """The fields of every role. input_size: side of the square input in pixels. normalisation: `in_graph` if
    the graph itself takes 0..255. outputs: names of the graph's outputs, in the order in which the role's
    decoder reads them."""

    file: FileName
    input_size: int = Field(ge=16)
    channels: Literal["RGB"] = "RGB"
    normalisation: Normalisation | Literal["in_graph"]
    outputs: tuple[str, ...] = Field(min_length=1)


class Trim(_Model):
    """The net takes less than its whole canvas: sides in multiples of `step` pixels, with `margin` black
    pixels to the right of and below the photo, as far as the canvas has room."""

    step: int = Field(ge=1)
    margin: int = Field(ge=0)


class Screen(_Model):
    """A quantised version of the net that runs first. The net itself runs only if one of the first scores
    lies within `unsure`, so that together they find what the net finds."""

    file: FileName
    unsure: tuple[float, float]


class DetectRole(Role):
    """score_threshold: lowest score of a face. nms_iou: boxes that overlap more are one face. upright_score:
    for a net that also finds faces upside down and takes them for upright, the score that only upright ones
    reach; None if the net finds only upright faces. small_face: width of a face, as a share of
    the canvas, below which the net may miss others, so that a larger photo is searched again in tiles; None
    for SMALL_FACE."""

    score_threshold: float = Field(gt=0, lt=1)
    nms_iou: float = Field(gt=0, lt=1)
    upright_score: float | None = Field(None, gt=0, lt=1)
    small_face: float | None = Field(None, gt=0, lt=1)
    trim: Trim | None = None
    screen: Screen | None = None

    @model_validator(mode="after")
    def _doubt_surrounds_the_threshold(self) -> DetectRole:
        if self.screen and not self.screen.unsure[0] < self.score_threshold < self.screen.unsure[1]:
            raise ValueError("screen.unsure must be a range around score_threshold")
        return self


class EmbedRole(Role):
    """points: which five points are brought to `target` ([5, 2], pixels of the input): means of the 68
    landmarks or the detector's own keypoints. dimensions: size of the net's output. centre: `.npy` vector
    that is subtracted between two L2 normalisations, for nets whose raw cosine is biased."""

    points: Literal["landmarks", "keypoints"]
    target: tuple[Point, Point, Point, Point, Point]
    dimensions: int = Field(ge=1, le=EMBEDDING_SIZE)
    centre: FileName | None = None


class AgeGenderRole(Role):
    """crop_scale: side of the net's square crop as a multiple of the box's long side; None if the net reads
    the portrait."""

    crop_scale: float | None = Field(None, gt=0)


class ExpressionRole(Role):
    """labels: the emotion of each output, in the order of the outputs."""

    labels: tuple[Emotion, ...]

    @model_validator(mode="after")
    def _all_emotions(self) -> ExpressionRole:
        if sorted(self.labels) != sorted(EMOTIONS):
            raise ValueError(f"labels must name each of {', '.join(EMOTIONS)} once")
        return self


class Roles(_Model):
    """The nets of a pack. A role that is absent is played by the open pack's net."""

    detect: DetectRole
    embed: EmbedRole
    landmarks: Role | None = None
    age_gender: AgeGenderRole | None = None
    expression: ExpressionRole | None = None

    def present(self) -> Iterator[tuple[str, Role]]:
        """Name and description of each role that the pack plays itself."""
        for name in type(self).model_fields:
            role = getattr(self, name)
            if isinstance(role, Role):
                yield name, role


class PackManifest(_Model):
    """What the manifest of every pack says, of faces or of texts. sha256: of every file of the pack."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: str
    description: str
    licence: Licence
    sha256: dict[FileName, Sha256]

    @model_validator(mode="after")
    def _files_are_safe_and_listed(self) -> Self:
        for name in self.sha256:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise ValueError(f"{name!r} is not a path inside the pack")
        missing = sorted({name for name in self._named() if name is not None} - set(self.sha256))
        if missing:
            raise ValueError(f"sha256 lacks {', '.join(missing)}")
        return self

    def _named(self) -> set[FileName | None]:
        """The files that the manifest names apart from their digests."""
        return {self.licence.file}

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the whole manifest, including the file digests. Packs with equal digests give
        equal results."""
        return self._digest_of(self.model_dump(mode="json"))

    @staticmethod
    def _digest_of(document: Mapping[str, Any]) -> str:
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def verify(self, folder: Path) -> None:
        """Check every file of the pack against its digest. Raises PackError for the first one that
        differs."""
        for name, expected in self.sha256.items():
            path = folder / name
            if not path.is_file():
                raise PackError(
                    f"Model pack {self.name}: {path} is missing. Restore it or reinstall the pack."
                )
            check_digest(self.name, path, expected, file_sha256(path))

    def check_licence(self, settings: Settings, *, commercial_use: bool, default: str) -> None:
        """Raise PackError if the pack is for non-commercial use only and the settings do not agree to that.

        Args:
            commercial_use: whether the pack may be used commercially.
            default: the setting that chooses the pack that ships.
        """
        if not commercial_use and not settings.accept_noncommercial:
            raise PackError(
                f"Model pack {self.name} is licensed for non-commercial use only ({self.licence.name}). If "
                "your use is non-commercial, such as research, agree by setting "
                "SEMBLANCE_ACCEPT_NONCOMMERCIAL=1; for commercial use obtain a licence from its publisher or "
                f"use {default}."
            )


_P = TypeVar("_P", bound=PackManifest)


class Manifest(PackManifest):
    """`manifest.json` of a pack of face nets.

    decoder: which code prepares the nets' inputs and reads their outputs; see docs/packs.md. threshold:
    cosine similarity from which two faces count as the same person.
    """

    format: Literal["semblance-pack/1"]
    decoder: Literal["open", "insightface"]
    threshold: float = Field(ge=-1, le=1)
    roles: Roles

    @model_validator(mode="after")
    def _nets_fit_together(self) -> Self:
        age_gender = self.roles.age_gender
        own_crop = age_gender.input_size if age_gender and age_gender.crop_scale is not None else 0
        if max(self.roles.embed.input_size, own_crop) > MAX_CROP_SIDE:
            raise ValueError(f"nets get crops of {MAX_CROP_SIDE} pixels a side at most")
        if self.roles.embed.points == "landmarks" and self.roles.landmarks is None:
            raise ValueError("embed aligns by landmarks, so the pack needs a landmarks role")
        return self

    def _named(self) -> set[FileName | None]:
        screen = self.roles.detect.screen
        nets = {role.file for _, role in self.roles.present()}
        return {*nets, self.roles.embed.centre, self.licence.file, None if screen is None else screen.file}

    @property
    def digest(self) -> str:
        """As for every pack."""
        document = self.model_dump(mode="json")
        detect = document["roles"]["detect"]
        for name in ("upright_score", "small_face"):
            # Fields newer than the digests in databases, which must not change.
            if detect[name] is None:
                del detect[name]
        return self._digest_of(document)


def has_manifest(folder: Path) -> bool:
    """Whether the folder has a manifest for `read_manifest`. InsightFace's own packages have another document
    of the same name, which `manifest_version` distinguishes."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return False
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return True  # damaged: read_manifest says where
    return not (isinstance(document, dict) and "manifest_version" in document)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of face nets. Raises PackError if it is missing, unreadable or invalid."""
    return read_document(folder, Manifest)


def read_document(folder: Path, kind: type[_P]) -> _P:
    """The manifest of a folder, of this kind of pack. Raises PackError if it is missing, unreadable or
    invalid."""
    path = folder / MANIFEST_FILE
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise PackError(f"Cannot read {path}: {exc.strerror}.") from exc
    return validated(lambda: kind.model_validate_json(content), path)


def validated(build: Callable[[], _M], path: Path) -> _M:
    """The result of `build`. Raises PackError that names `path` and each invalid field."""
    try:
        return build()
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'manifest'}: {error['msg']}" for error in exc.errors()
        )
        raise PackError(f"{path} does not make a valid model pack: {problems}. See docs/packs.md.") from exc


def check_digest(pack: str, path: Path, expected: str, actual: str) -> None:
    """Raise PackError, naming the file, unless both SHA-256 are equal."""
    if actual != expected:
        raise PackError(
            f"Model pack {pack}: {path} is damaged or was changed: its SHA-256 is {actual}, expected "
            f"{expected}. Restore the file or reinstall the pack."
        )
