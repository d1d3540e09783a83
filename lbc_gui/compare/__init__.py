"""Several runs compared: curves, settings, results, masks, scatter and parallel coordinates."""
