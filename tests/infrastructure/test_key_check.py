"""What the template makes for the check of the key."""

from tests.infrastructure.template import REPOSITORY, TEMPLATE, allowed, function, statements
from tests.infrastructure.test_template import CREATED_SECRET_ARN, TABLE_ARN

FUNCTION = function("CheckKeyFunction")


def test_check_may_do_these_things_and_no_others() -> None:
    assert allowed("CheckKeyFunction") == {
        "dynamodb:BatchGetItem": [TABLE_ARN],
        "dynamodb:PutItem": [TABLE_ARN],
        "secretsmanager:GetSecretValue": [CREATED_SECRET_ARN],
    }


def test_check_may_touch_the_rate_limiters_item_alone() -> None:
    (statement,) = [each for each in statements("CheckKeyFunction") if "dynamodb" in str(each)]
    limiter = (REPOSITORY / "functions/invitations/rate_limiter.py").read_text(encoding="utf-8")

    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["LIMITER"]}
    }
    assert '("LIMITER", "LIMITER")' in limiter


def test_failed_check_is_not_kept() -> None:
    assert "DeadLetterQueue" not in FUNCTION


def test_no_parameter_is_for_the_check_alone() -> None:
    assert [name for name in TEMPLATE["Parameters"] if name.startswith(("Check", "Key"))] == []
