"""Fixed calibrations, in place of those of packs, which change."""

from __future__ import annotations

from pathlib import Path

from deployments.packs.calibration import Calibration, Logistic, Rung, SamePerson, Strangers
from semblance.types import ModelInfo

RUNGS = {2: 0.1, 10: 0.3, 100: 0.5}
"""The similarity that at most one of so many strangers reaches."""
LEAST, MOST = 0.01, 0.95
"""The limits of its probabilities, which are .5 at a similarity of .4."""


def calibration_of(model: ModelInfo) -> Calibration:
    """A calibration with RUNGS."""
    return Calibration(
        format="semblance-calibration/1",
        pack=model.pack,
        version="1",
        digest=model.digest,
        source="nobody",
        people=40,
        photos=60,
        strangers=Strangers(
            people_pairs=780,
            photo_pairs=1740,
            quantiles=((0.5, 0.1),),
            rungs=tuple(Rung(one_in=one_in, similarity=at) for one_in, at in RUNGS.items()),
        ),
        same_person=SamePerson(people=20, photo_pairs=30, quantiles=((0.5, 0.7),)),
        probability=Logistic(slope=20, intercept=-8, least=LEAST, most=MOST),
        groups={},
    )


def write_calibration(file: Path, model: ModelInfo) -> Path:
    """The same as a file."""
    file.write_text(calibration_of(model).model_dump_json())
    return file
