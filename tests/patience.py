"""How long tests wait for what must come.

Such a limit only turns "never" into a failure. It is no measure of speed: a machine that does other
things meanwhile may need a hundred times as long as an idle one.
"""

PATIENCE_SECONDS = 60.0
