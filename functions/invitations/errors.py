"""The errors that a caller can treat differently."""


class DependencyUnavailableError(Exception):
    """An AWS service did not do what was asked; the same step may succeed later."""

    cause = "dependency_unavailable"
    """Why a request is deferred."""


class TableUnavailableError(DependencyUnavailableError):
    """The table did not take or answer a call."""

    cause = "ledger_unavailable"


class KeyUnavailableError(DependencyUnavailableError):
    """The secret cannot be read, or holds no usable API key."""

    cause = "key_unavailable"


class TopicUnavailableError(DependencyUnavailableError):
    """The topic did not take a message."""

    cause = "topic_unavailable"


class QueueUnavailableError(DependencyUnavailableError):
    """A queue did not take a message."""

    cause = "queue_unavailable"
