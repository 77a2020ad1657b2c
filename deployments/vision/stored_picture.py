"""From an accepted picture file to what is stored of it: pixels alone.

Decoding and encoding leave behind whatever else a file carries: EXIF with the camera and where it stood, XMP,
IPTC, comments, thumbnails, the second pictures of MPO and HEIC (depth, stereo, gain maps), and what somebody
has put behind the end. The picture stands upright, its colours are sRGB by its ICC profile, and transparent
pixels lie on white, as `decode` gives them to the detector.

Always JPEG, which everything reads. WebP would be a quarter to a third smaller (Google's WebP compression
study) and takes twenty times as long to encode; its transparency is not needed here.
"""

from __future__ import annotations

from typing import Final

from deployments.vision.decode import Picture
from deployments.vision.encode import encode_jpeg, shrink
from semblance.storage.pictures import StoredPicture

FULL_SIDE: Final = 2048
"""Long side of the full picture in pixels, as Facebook and Flickr keep it for display. Embeddings are made of
the upload itself; a later pack embeds this picture, and wants some 112 pixels of the face. That is a face
over a twentieth of the photo's side, and the user's own is the largest. A photo of 48 MP then takes half a
megabyte and not fifteen."""

FEED_SIDE: Final = 1080
"""Of the feed's: the width to which Instagram brings its photos, three device pixels per point of a phone."""

THUMBNAIL_SIDE: Final = 256
"""Of the thumbnail: the freedesktop specification's "large", and about Immich's 250."""

FULL_QUALITY: Final = 90
"""Between libjpeg's 85, up to which a difference can be seen at a close look, and 95, beyond which files grow
for nothing (Independent JPEG Group, FAQ part 1, section 10): nets look at this picture again."""

SMALL_QUALITY: Final = 80
"""Of the smaller ones, which are only looked at; Immich's default for both of its own."""


def render(picture: Picture) -> StoredPicture:
    """The files to store of a picture. The same file gives the same bytes.

    Raises as the picture's own methods do.
    """
    full = picture.displayed(FULL_SIDE)
    feed = shrink(full, FEED_SIDE)
    return StoredPicture(
        full=encode_jpeg(full, FULL_QUALITY),
        feed=encode_jpeg(feed, SMALL_QUALITY),
        thumbnail=encode_jpeg(shrink(feed, THUMBNAIL_SIDE), SMALL_QUALITY),
        scale=min(1.0, max(full.shape[:2]) / max(picture.header.width, picture.header.height)),
    )
