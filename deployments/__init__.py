"""From pixels to faces: model packs, the classes that find, embed and analyze, and their Serve deployments.

`vision`, `packs` and `faces` run without Ray; only the modules of this folder itself may import it. No HTTP.
"""

import os

# From 1.29 on, onnxruntime reports the process, its models and the machine to Microsoft as soon as it is
# imported, unless this is set before.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
