"""What can go wrong, one leaf class for each thing that a caller treats differently."""


class ReinviteError(Exception):
    """Base of every error of this package."""


class ConfigurationError(ReinviteError):
    """A configuration value is missing or malformed; the message begins with its name."""


class InvalidRequestError(ReinviteError):
    """The input is no request and never will be, however often it is delivered."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.request_id: str | None = None
        self.correlation_id: str | None = None
        self.source: str | None = None

    def about(self, request_id: str, correlation_id: str | None, source: str) -> None:
        """Note what is known of the request all the same."""
        self.request_id = request_id
        self.correlation_id = correlation_id
        self.source = source


class DependencyUnavailableError(ReinviteError):
    """Something that this application stands on failed; the same step may succeed later."""

    cause = "dependency_unavailable"


class LedgerUnavailableError(DependencyUnavailableError):
    """The table did not take or answer a call."""

    cause = "ledger_unavailable"


class KeyUnavailableError(DependencyUnavailableError):
    """The secret cannot be read, or holds no usable API key."""

    cause = "key_unavailable"


class TopicUnavailableError(DependencyUnavailableError):
    """The topic did not take a result."""

    cause = "topic_unavailable"


class QueueUnavailableError(DependencyUnavailableError):
    """A queue did not take a message."""

    cause = "queue_unavailable"


class InvalidOrderError(ReinviteError):
    """Who asked for a sweep asked for something that there is not; the message says what."""


class UnreadableAnswerError(ReinviteError):
    """The API said 200, and what it sent with it cannot be what was asked for."""
