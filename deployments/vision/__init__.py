"""Pixels and points: decoding, encoding, alignment, pose, quality, colours.

NumPy, OpenCV and the libraries that read picture files. No nets, no database, no Ray.
"""
