"""`semblance models evaluate`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from deployments.packs.evaluation import Evaluation, Measures, Operating, Share, evaluate, worst
from ops.commands.models.contact_sheet import write_sheet
from ops.commands.models.csv_rows import read_csv
from ops.commands.models.photo_files import LeftOut, embed_files, open_pipeline
from ops.commands.output import console, errors
from semblance.errors import BadInputError
from semblance.settings import Settings
from semblance.types import Embedding

PAIR_COLUMNS = {
    "photo_a": ("photoa", "photo1", "imagea", "image1", "filea", "file1", "a"),
    "photo_b": ("photob", "photo2", "imageb", "image2", "fileb", "file2", "b"),
    "same": ("same", "issame", "sameperson", "match", "label"),
    "group": ("group",),
}
"""The columns of a file of pairs, and their names."""

SAME = {"1": True, "yes": True, "true": True, "same": True}
DIFFERENT = {"0": False, "no": False, "false": False, "different": False}

ON_SHEET = 12
"""How many pairs of either kind are on the contact sheet."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two photos, as paths in the folder of photos, and whether they show the same person."""

    a: str
    b: str
    same: bool
    group: str | None


def evaluate_model(
    settings: Settings, pairs_file: Path, photos: Path, *, sheet: Path | None, as_json: bool
) -> None:
    """Print the evaluation, and write the sheet. Raises BadInputError if no pair can be measured."""
    pairs = read_pairs(pairs_file)
    left_out = LeftOut()
    pipeline = open_pipeline(settings)
    embeddings: dict[str, Embedding] = {}
    names = sorted({name for pair in pairs for name in (pair.a, pair.b)})
    embedded = embed_files(pipeline, settings, [photos / name for name in names], "evaluate")
    for name, (_, found) in zip(names, embedded, strict=True):
        if isinstance(found, str):
            left_out.add(found, name)
        else:
            embeddings[name] = found
    used = [pair for pair in pairs if pair.a in embeddings and pair.b in embeddings]
    if not used:
        raise BadInputError(
            f"None of the {len(pairs)} pairs of {pairs_file.name} has two photos with a face: "
            f"{left_out.counts}. The photos are read from {photos}."
        )
    similarity = np.array([float(embeddings[pair.a] @ embeddings[pair.b]) for pair in used])
    same = np.array([pair.same for pair in used])
    result = evaluate(similarity, same, pipeline.pack.threshold, [pair.group for pair in used])
    model = pipeline.model
    if as_json:
        document = {
            "pack": model.pack,
            "digest": model.digest,
            "photos": len(names),
            "photos_left_out": left_out.names,
            "pairs": len(pairs),
            "pairs_left_out": len(pairs) - len(used),
            **asdict(result),
        }
        # The bare stream, because rich would break the lines.
        console.file.write(json.dumps(document, indent=2) + "\n")
    else:
        if left_out.names:
            console.print(left_out.table())
        console.print(
            f"Pack {escape(model.pack)} {model.digest[:12]}: {len(used):,} of {len(pairs):,} pairs, "
            f"{len(embeddings):,} of {len(names):,} photos.",
            soft_wrap=True,
        )
        console.print(_table(result))
        console.print("[dim]In brackets: 95 % intervals, which treat pairs as independent.[/]")
    if sheet is not None:
        rows = [
            (
                f"{'same person' if used[place].same else 'two people'}, {similarity[place]:.3f}",
                (photos / used[place].a, photos / used[place].b),
            )
            for places in worst(similarity, same, ON_SHEET)
            for place in places
        ]
        write_sheet(sheet, rows, pipeline, settings)
        errors.print(f"The worst pairs are in {escape(str(sheet))}.", soft_wrap=True)


def read_pairs(file: Path) -> list[LabelledPair]:
    """Read the pairs of a file. Raises BadInputError that names the line."""
    pairs = []
    for line, cells in read_csv(file, PAIR_COLUMNS, ("photo_a", "photo_b", "same")):
        same = (SAME | DIFFERENT).get(cells["same"].casefold())
        if same is None:
            raise BadInputError(
                f"Line {line} of {file.name} has {cells['same']!r} in the column 'same'. Write "
                f"{', '.join(SAME)} for the same person, {', '.join(DIFFERENT)} for two people."
            )
        for name in (cells["photo_a"], cells["photo_b"]):
            if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
                raise BadInputError(
                    f"Line {line} of {file.name} names {name!r}, which is not a path in the folder of photos."
                )
        pairs.append(LabelledPair(cells["photo_a"], cells["photo_b"], same, cells.get("group") or None))
    if not pairs:
        raise BadInputError(f"{file.name} has no pairs.")
    return pairs


def _table(evaluation: Evaluation) -> Table:
    columns: dict[str, Measures] = {"all pairs": evaluation.overall, **evaluation.groups}
    measures = list(columns.values())
    table = Table("", *(escape(name) for name in columns))
    table.add_row("pairs of the same person", *(f"{each.same:,}" for each in measures))
    table.add_row("pairs of two people", *(f"{each.different:,}" for each in measures))
    table.add_row("AUC", *(_share(each.auc) for each in measures))
    table.add_row(
        "accuracy, threshold found on other pairs", *(_share(each.folded_accuracy) for each in measures)
    )
    table.add_row(
        f"accuracy at the pack's threshold {evaluation.threshold:g}",
        *(_share(each.accuracy) for each in measures),
    )
    _add_operating(table, "    ", [each.at_threshold for each in measures])
    for number, at in enumerate(evaluation.overall.at_rates):
        table.add_section()
        table.add_row(
            f"false accept rate {at.false_accept_rate:g}, threshold {at.operating.threshold:.4f}",
            *("" for _ in measures),
        )
        _add_operating(table, "    ", [each.at_rates[number].operating for each in measures])
    return table


def _add_operating(table: Table, indent: str, found: list[Operating]) -> None:
    table.add_row(f"{indent}same person, accepted", *(_share(each.true_accepts) for each in found))
    table.add_row(f"{indent}two people, accepted", *(_share(each.false_accepts) for each in found))


def _share(share: Share | None) -> str:
    return "too few pairs" if share is None else f"{share.value:.4g} \\[{share.low:.4g}, {share.high:.4g}]"
