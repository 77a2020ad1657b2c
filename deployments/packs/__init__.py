"""Model packs: manifest, calibration, and the nets that a pack is made of.

The only place that runs onnxruntime. No Ray and no database; `vision` is below it, `faces` above.
"""
