"""Which lines of the log are metrics, too: CloudWatch reads them out of the lines themselves.

In its embedded metric format,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import os
from collections.abc import Mapping
from typing import Any

Metrics = list[dict[str, Any]]
"""What CloudWatch is to read out of a line."""


def _metrics(units: Mapping[str, str], *dimension_sets: tuple[str, ...]) -> Metrics:
    """Each metric once for each of the sets, whose names are fields of the line."""
    return [
        {
            "Namespace": os.environ.get("METRICS_NAMESPACE", "partoo-reinvite"),
            "Dimensions": dimension_sets or ((),),
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }
    ]


RESULT = _metrics({"Results": "Count"}, ("status",), ("status", "reason")) + _metrics(
    {"RequestAge": "Seconds"}
)
DEFERRAL = _metrics({"Deferrals": "Count"}, (), ("cause",))
CALL = _metrics({"ApiCalls": "Count"}, (), ("answer",)) + _metrics({"ApiLatency": "Milliseconds"})
QUOTA_PAUSE = _metrics({"QuotaPauses": "Count"})
KEY_REFUSAL = _metrics({"KeyRefusals": "Count", "BreakerState": "None"})
BREAKER_OPENING = _metrics({"BreakerOpenings": "Count", "BreakerState": "None"})
BREAKER_CLOSING = _metrics({"BreakerState": "None"})
RETURNED = _metrics({"MessagesReturned": "Count"})
SECRET_FAILURE = _metrics({"SecretFailures": "Count"})
SWEEP = _metrics(
    {
        "SweepsEnded": "Count",
        "SweepFailures": "Count",
        "SweepUsersFound": "Count",
        "SweepUsersDue": "Count",
        "SweepRequestsQueued": "Count",
    }
)
KEY_CHECK = _metrics({"KeyExpiryUnknown": "Count"})
KEY_WARNING = _metrics({"KeyExpiresSoon": "Count"})
KEY_DAYS = _metrics({"KeyDaysLeft": "None"})
