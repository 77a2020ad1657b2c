from __future__ import annotations

from pathlib import Path

from batch.ingest.sources import Item, list_source
from deployments.faces.pipeline import LocalPipeline
from ops.commands.service.cutouts import GROUP_SIZE
from ops.commands.service.demo_gallery import prepare_gallery
from semblance.settings import Settings


def test_the_gallery_holds_one_face_per_picture_and_is_made_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    gallery, probes = prepare_gallery(tmp_path / "demo", settings)
    items = [entry for entry in list_source(str(gallery)).entries if isinstance(entry, Item)]
    assert len(items) == GROUP_SIZE + 1

    pipeline = LocalPipeline(settings)
    pictures = [Path(item.location).read_bytes() for item in items]
    faces = {
        item.name: pipeline.analyze_photo(picture)[1] for item, picture in zip(items, pictures, strict=True)
    }
    assert {name: len(found) for name, found in faces.items()} == dict.fromkeys(faces, 1)
    assert all(found[0].attributes.quality.overall >= 0.6 for found in faces.values())

    # The altered picture is nearest to the person it shows.
    [altered] = pipeline.analyze_photo(probes[1].file.read_bytes())[1]
    nearest = max(faces, key=lambda name: float(altered.embedding @ faces[name][0].embedding))
    assert nearest in probes[1].title

    made = [(path, path.stat().st_mtime_ns) for path in sorted(gallery.rglob("*"))]
    prepare_gallery(tmp_path / "demo", settings)
    assert [(path, path.stat().st_mtime_ns) for path in sorted(gallery.rglob("*"))] == made


def test_an_interrupted_build_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "demo" / "building").mkdir(parents=True)
    (tmp_path / "demo" / "building" / "half.png").write_bytes(b"")
    gallery, _ = prepare_gallery(tmp_path / "demo", Settings(home=tmp_path))
    assert not list(gallery.rglob("half.png"))
