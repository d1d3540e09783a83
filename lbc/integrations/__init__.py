"""LBC inside training loops that are not your own: a callback for each framework.

``lbc.integrations.transformers`` and ``lbc.integrations.lightning`` need their framework:
``pip install 'lbc-explorer[integrations]'``. This package itself imports neither.
"""
