"""Pictures decoded in a separate process, which they may exhaust or crash."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image as PillowImage

from deployments.faces import decoder as decoder_module
from deployments.faces.decoder import DecoderProcess, DirectDecoder
from deployments.faces.decoder_pipes import SHARED_BYTES
from deployments.vision.decode import MOST_SCANNED_PIXELS
from semblance.errors import ImageTooCostlyError, ImageTooLargeError, OverloadedError, UnreadableImageError
from semblance.settings import Settings
from tests.support.photos import encoded, with_scans
from tests.support.waiting import PATIENCE_S, wait_for

SETTINGS = Settings(image_deadline_s=PATIENCE_S)


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    process = DecoderProcess(SETTINGS)
    process.running()
    yield process
    process.close()


def photo(width: int = 700, height: int = 500) -> PillowImage.Image:
    random = np.random.default_rng(0)
    small = PillowImage.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8))
    return small.resize((width, height))


def slow() -> bytes:
    """As slow as is accepted: a progressive JPEG of as many scans as its pixels permit. An idle core takes a
    second for it."""
    data = encoded(PillowImage.new("L", (7000, 7000), 128), "JPEG", progressive=True)
    return with_scans(data, MOST_SCANNED_PIXELS // 7000**2)


def resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def is_answered(decoder: DecoderProcess) -> bool:
    with decoder.open(encoded(photo(), "JPEG")) as picture:
        return picture.whole(300)[0].shape == (250, 350, 3)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_it_gives_the_same_pixels_as_this_process(decoder: DecoderProcess, file_format: str) -> None:
    tags = PillowImage.Exif()
    tags[0x0112] = 6
    options = {} if file_format in {"GIF", "BMP"} else {"exif": tags.tobytes()}
    data = encoded(photo(), file_format, **options)
    with decoder.open(data) as there, DirectDecoder(SETTINGS).open(data) as here:
        assert there.header == here.header
        for long_side in (5000, 300, 50):
            (image, scale), (expected, expected_scale) = there.whole(long_side), here.whole(long_side)
            assert scale == expected_scale
            np.testing.assert_array_equal(image, expected)
        (image, begin), (expected, expected_begin) = (
            picture.part((100, 50, 333, 222), 2) for picture in (there, here)
        )
        assert begin == expected_begin
        np.testing.assert_array_equal(image, expected)


def test_pixels_larger_than_the_shared_buffer_arrive_too(decoder: DecoderProcess) -> None:
    data = encoded(photo(2000, 1500), "BMP")
    with decoder.open(data) as there, DirectDecoder(SETTINGS).open(data) as here:
        image, _ = there.whole(5000)
        assert image.size > SHARED_BYTES
        np.testing.assert_array_equal(image, here.whole(5000)[0])
    assert is_answered(decoder)


def test_a_faulty_picture_is_refused_with_the_reason(decoder: DecoderProcess) -> None:
    cut = encoded(photo(), "PNG")[:5000]
    for data, error in (
        (b"no picture", UnreadableImageError),
        (bytes(SETTINGS.max_image_bytes + 1), ImageTooLargeError),
        (encoded(PillowImage.new("1", (8000, 6300)), "PNG"), ImageTooLargeError),
        (encoded(PillowImage.new("RGB", (1, 60_000)), "PNG"), ImageTooLargeError),
        (cut, UnreadableImageError),
    ):
        pid = decoder.pid
        with pytest.raises(error) as caught, decoder.open(data) as picture:
            picture.whole(500)
        assert caught.value.message.endswith(".")
        assert decoder.pid == pid
    assert is_answered(decoder)


def test_a_slow_picture_is_given_up_at_the_deadline_and_those_behind_it_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine is not the picture's excuse here.
    monkeypatch.setattr(decoder_module, "BUSY", 0.0)
    decoder = DecoderProcess(Settings(image_deadline_s=0.5), patience=1000)
    pid = decoder.pid
    answers: list[bool] = []
    too_long = pytest.raises(ImageTooCostlyError, match=r"longer than 0\.5 seconds.*scaled down\.")
    with too_long, decoder.open(slow()) as picture:
        waiting = [threading.Thread(target=lambda: answers.append(is_answered(decoder))) for _ in range(3)]
        for thread in waiting:
            thread.start()
        # This picture has no more than the deadline, those behind it have as long as the machine takes.
        monkeypatch.setattr(picture, "_left", 0.5)
        picture.whole(500)
    assert not psutil.pid_exists(pid)
    for thread in waiting:
        thread.join()
    assert answers == [True] * 3
    decoder.close()


def test_a_machine_without_time_is_not_the_fault_of_the_picture() -> None:
    decoder = DecoderProcess(Settings(image_deadline_s=0.2))
    decoder.running()
    os.kill(decoder.pid, signal.SIGSTOP)
    busy = pytest.raises(OverloadedError, match="too busy")
    with busy, decoder.open(encoded(photo(), "JPEG")):
        pass
    decoder.close()


def test_a_job_waits_for_a_machine_without_time() -> None:
    decoder = DecoderProcess(Settings(image_deadline_s=0.2), patience=1000)
    decoder.running()
    pid = decoder.pid
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
    assert is_answered(decoder)
    assert decoder.pid == pid
    decoder.close()


def test_a_job_spends_no_more_of_the_processor_on_a_picture() -> None:
    decoder = DecoderProcess(Settings(image_deadline_s=0.3), patience=1000)
    too_long = pytest.raises(ImageTooCostlyError, match=r"longer than 0\.3 seconds")
    with too_long, decoder.open(slow()) as picture:
        picture.whole(500)
    assert is_answered(decoder)
    decoder.close()


def test_it_gives_way_to_what_answers(decoder: DecoderProcess) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, decoder.pid) == max(10, before)


def test_killing_the_process_costs_no_picture(decoder: DecoderProcess) -> None:
    os.kill(decoder.pid, signal.SIGKILL)
    assert is_answered(decoder)
    with decoder.open(encoded(photo(), "PNG")) as picture:
        os.kill(decoder.pid, signal.SIGKILL)
        assert picture.whole(300)[0].shape == (250, 350, 3)
        assert picture.part((0, 0, 64, 32), 2)[0].shape == (16, 32, 3)


def test_a_picture_that_crashes_the_decoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed whenever it is to decode it, as by a bug in a codec."""
    decoder = DecoderProcess(SETTINGS)
    tell, crashes = decoder_module._Process._tell, []

    def tell_and_crash(process: Any, question: Mapping[str, object], data: bytes, deadline: float) -> None:
        if question["do"] != "whole":
            return tell(process, question, data, deadline)
        # What is stopped answers nothing before the signal reaches it.
        os.kill(process.pid, signal.SIGSTOP)
        tell(process, question, data, deadline)
        os.kill(process.pid, signal.SIGSEGV)
        os.kill(process.pid, signal.SIGCONT)
        return crashes.append(process.pid)

    with monkeypatch.context() as patched:
        patched.setattr(decoder_module._Process, "_tell", tell_and_crash)
        failed = pytest.raises(ImageTooCostlyError, match="made the decoder fail")
        with failed, decoder.open(encoded(photo(), "JPEG")) as picture:
            picture.whole(500)
    assert len(set(crashes)) == decoder_module.ATTEMPTS
    assert is_answered(decoder)
    decoder.close()


def test_memory_is_bounded_and_returned() -> None:
    """50 megapixels at full size need at most 400 MB, all of which is returned afterwards. A parser may
    reserve as much again."""
    decoder = DecoderProcess(SETTINGS.model_copy(update={"image_memory_bytes": 800 * 2**20}))
    assert is_answered(decoder)
    idle = resident(decoder.pid)
    for file_format, options in (("PNG", {}), ("WEBP", {"lossless": True, "quality": 0})):
        data = encoded(PillowImage.new("RGB", (7071, 7071), (90, 80, 70)), file_format, **options)
        with decoder.open(data) as picture:
            assert picture.displayed(512).shape == (512, 512, 3)
        assert is_answered(decoder)
        wait_for(lambda: resident(decoder.pid) - idle < 40e6)
    status = Path(f"/proc/{decoder.pid}/status").read_text()
    peak = int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024
    assert peak - idle < 400e6
    decoder.close()


def progressive() -> bytes:
    """Without subsampling it takes six bytes a pixel, 300 MB."""
    return encoded(PillowImage.new("RGB", (7071, 7071), (90, 80, 70)), progressive=True, subsampling=0)


def colour_png() -> bytes:
    """It takes four bytes a pixel, 200 MB."""
    return encoded(PillowImage.new("RGBA", (7071, 7071), (90, 80, 70, 60)), "PNG")


def plain(file_format: str, side: int) -> Callable[[], bytes]:
    """Its decoder may not say that it lacks memory, of which it takes eight bytes a pixel or more."""
    options = {"lossless": True, "quality": 0} if file_format == "WEBP" else {}
    return lambda: encoded(PillowImage.new("RGBA", (side, side), (90, 80, 70, 60)), file_format, **options)


def test_a_file_for_which_there_is_no_memory_is_not_read_as_questions() -> None:
    decoder = DecoderProcess(SETTINGS.model_copy(update={"image_memory_bytes": 256 * 2**20}))
    asked = encoded(photo(60, 40), "PNG")
    hostile = (b'{"do": "close", "bytes": 16777216}\n' + bytes(16 * 2**20)) * 16
    hostile += b'{"do": "open", "bytes": %d}\n%b' % (len(asked), asked)
    costly = pytest.raises(ImageTooCostlyError)
    with costly, decoder.open(hostile):
        pass
    with decoder.open(encoded(photo(), "JPEG")) as picture:
        assert picture.header.width == 700
    decoder.close()


@pytest.mark.parametrize(
    "picture_of",
    [progressive, colour_png, plain("WEBP", 7071), plain("AVIF", 5760), plain("HEIF", 5760)],
    ids=["JPEG", "PNG", "WEBP", "AVIF", "HEIF"],
)
def test_a_picture_that_needs_more_memory_than_is_allowed_is_refused(
    picture_of: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    poor = DecoderProcess(SETTINGS.model_copy(update={"image_memory_bytes": 256 * 2**20}))
    costly = pytest.raises(ImageTooCostlyError, match=r"more memory.*scaled down\.")
    with costly, poor.open(picture_of()) as picture:
        picture.whole(500)
    # The operator can do more about it than the client.
    assert "SEMBLANCE_IMAGE_MEMORY_BYTES allows (256 MiB)" in caplog.text
    assert is_answered(poor)
    poor.close()


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF", "HEIF"])
def test_a_damaged_picture_is_not_said_to_need_memory(decoder: DecoderProcess, file_format: str) -> None:
    data = encoded(photo(), file_format)
    with pytest.raises(UnreadableImageError) as refused, decoder.open(data[: len(data) // 2]) as picture:
        picture.whole(500)
    assert refused.type is UnreadableImageError


def test_it_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEMBLANCE_API_KEY", "SEMBLANCE_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hush-hush")
    monkeypatch.setenv("SEMBLANCE_STACK", "mark")
    decoder = DecoderProcess(SETTINGS)
    decoder.running()
    environment = psutil.Process(decoder.pid).environ()
    assert "hush-hush" not in environment.values()
    assert environment["SEMBLANCE_STACK"] == "mark"
    decoder.close()


def test_it_ends_with_its_parent() -> None:
    """At once when idle, and a second after the deadline when busy."""
    program = (
        "import os, signal, sys\n"
        "from deployments.faces.decoder import DecoderProcess\n"
        "from semblance.settings import Settings\n"
        "decoder = DecoderProcess(Settings(image_deadline_s=0.5))\n"
        "decoder.running()\n"
        "print(decoder.pid, flush=True)\n"
        "data = sys.stdin.buffer.read()\n"
        "if data:\n"
        "    decoder.running().tell({'do': 'open'}, data)\n"
        "    decoder.running().tell({'do': 'whole', 'long_side': 500})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for data in (b"", slow()):
        parent = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False)
        assert parent.returncode == -signal.SIGKILL
        pid = int(parent.stdout)
        wait_for(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]


def test_it_ends_with_the_object_that_holds_it() -> None:
    decoder = DecoderProcess(SETTINGS)
    pid = decoder.pid
    del decoder
    assert not psutil.pid_exists(pid)
