"""The error of an estimate that cannot be given."""


class EstimateError(ValueError):
    """There is no estimate; the message is a sentence that says why and what there is."""
