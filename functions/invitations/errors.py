"""Failures of AWS services; each names the cause of the deferral that follows."""


class DependencyUnavailableError(Exception):
    """An AWS service did not do what was asked; the same step may succeed later."""

    cause: str
    """Why a request is deferred."""
    is_counted = False
    """Threads that share a call share its error; one of them counts it."""


class TableUnavailableError(DependencyUnavailableError):
    cause = "ledger_unavailable"


class KeyUnavailableError(DependencyUnavailableError):
    """The secret cannot be read, or holds no usable API key."""

    cause = "key_unavailable"


class TopicUnavailableError(DependencyUnavailableError):
    cause = "topic_unavailable"


class QueueUnavailableError(DependencyUnavailableError):
    cause = "queue_unavailable"
