"""Carries out requests.

The garbage collector rests until the entrypoint is ready: a start leaves nothing to collect, and
looking for it takes a good part of its time.
"""

import gc

gc.disable()
