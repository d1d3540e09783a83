"""The desktop explorer: a window over ``lbc``."""
