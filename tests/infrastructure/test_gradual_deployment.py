"""What AWS makes of parameters, versions and gradual deployments, by the transforms' own code."""

from functools import cache

import pytest

from tests.infrastructure.template import (
    DEFAULTS,
    EVERYTHING_ON,
    PARAMETERS,
    TEMPLATE,
    Deployment,
    Resources,
    expand,
    expanded,
)

FUNCTION = "ReinviteUserFunction"
# Changed alone, each makes a new version. The others make none: Lambda refuses a second version
# with the same code and settings.
SETTINGS = {
    *("PartooBaseUrl", "PartooTimeoutSeconds", "RequestsPerMinute", "ApiKeySecretArn", "Tracing"),
    *("InviteWindowSeconds", "MaxAttempts", "UserDailyLimit", "HistoryDays", "UserIdPath"),
    *("SubnetIds", "SecurityGroupIds"),
}
# Meaningful in a network only: what each is given with.
TOGETHER = {
    "SubnetIds": (("SecurityGroupIds", "sg-0"),),
    "SecurityGroupIds": (("SubnetIds", "subnet-0"),),
}
OTHER_LAYER = Deployment(layer="s3://bucket/other")


def version(resources: Resources) -> str:
    """Return the logical id of the function's version; a changed one is a new version."""
    (name,) = [name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Version"]
    return name


def before_and_after(name: str) -> list[Deployment]:
    """Return two deployments that differ in one parameter."""
    parameter, others = PARAMETERS[name], TOGETHER.get(name, ())
    values = parameter.get("AllowedValues", ["another", "17"])
    (changed, *_) = [each for each in values if each != parameter["Default"]]
    value = "17" if parameter["Type"] == "Number" else changed
    return [Deployment(others), Deployment(((name, value), *others))]


@cache
def versions() -> dict[Deployment, str]:
    """Return the version of every deployment that these tests compare."""
    compared = [OTHER_LAYER, *(each for name in PARAMETERS for each in before_and_after(name))]
    return dict(zip(compared, map(version, expand(tuple(compared))), strict=True))


@pytest.mark.parametrize("name", PARAMETERS)
def test_changed_setting_alone_makes_new_version_and_no_other_parameter_does(name: str) -> None:
    """SAM compares references, not values (aws/serverless-application-model#3820)."""
    before, after = (versions()[each] for each in before_and_after(name))

    assert (before != after) is (name in SETTINGS)


def test_new_packages_make_new_version() -> None:
    assert TEMPLATE["Resources"]["DependenciesLayer"]["Properties"]["PublishLambdaVersion"] is True
    assert versions()[OTHER_LAYER] != versions()[DEFAULTS]


def test_rolled_back_version_is_deleted() -> None:
    """A kept version would block the next deployment of the same code."""
    resources = expanded()

    assert resources[version(resources)]["DeletionPolicy"] == "Delete"


def test_gradual_deployment_is_off_by_default() -> None:
    resources = expanded()

    assert not [each for each in resources.values() if "CodeDeploy" in each["Type"]]
    assert "UpdatePolicy" not in resources[f"{FUNCTION}Aliaslive"]


def test_alarm_rolls_gradual_deployment_back() -> None:
    resources = expanded(EVERYTHING_ON)

    deployment = resources[f"{FUNCTION}DeploymentGroup"]["Properties"]
    alarms = deployment["AlarmConfiguration"]["Alarms"]
    assert [each["Name"] for each in alarms] == [{"Ref": "NewVersionErrorsAlarm"}]
    assert "DEPLOYMENT_STOP_ON_ALARM" in deployment["AutoRollbackConfiguration"]["Events"]
    assert "Canary10Percent5Minutes" in str(deployment["DeploymentConfigName"])
    assert "CodeDeployLambdaAliasUpdate" in resources[f"{FUNCTION}Aliaslive"]["UpdatePolicy"]


def test_rollback_alarm_looks_at_new_version_alone() -> None:
    """Otherwise an alarm of the old version would block the deployment of its cure."""
    resources = expanded(EVERYTHING_ON)
    alarm = resources["NewVersionErrorsAlarm"]["Properties"]

    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    assert {each["Name"]: each["Value"] for each in alarm["Dimensions"]} == {
        "FunctionName": {"Ref": FUNCTION},
        # The local transform reduces `Sub` to its text.
        "Resource": f"${{{FUNCTION}}}:live",
        "ExecutedVersion": {"Fn::GetAtt": [f"{version(resources)}", "Version"]},
    }
    # Well within the five minutes of the canary.
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 60


def test_queues_are_read_by_live_version() -> None:
    mappings = [expanded()[f"{FUNCTION}{event}"] for event in ("Requests", "Retries", "Bulk")]

    read_by = [each["Properties"]["FunctionName"] for each in mappings]
    assert read_by == [{"Ref": f"{FUNCTION}Aliaslive"}] * 3
