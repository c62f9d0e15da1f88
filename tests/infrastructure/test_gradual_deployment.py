"""What AWS makes of parameters, versions and gradual deployments, by the transforms' own code."""

from functools import cache

import pytest

from tests.infrastructure.template import (
    PARAMETERS,
    TEMPLATE,
    Deployment,
    Resources,
    expand,
    expanded,
    references,
)

FUNCTION = "ReinviteUserFunction"
# Two other values of each parameter that is a setting of the function.
SETTINGS = {
    "PartooBaseUrl": ("https://api.sandbox.partoo.co/v2", "https://example.com"),
    "ApiKeySecretArn": ("arn:aws:secretsmanager:eu-west-1:1:secret:a", "arn:b"),
    "PartooTimeoutSeconds": ("11", "12"),
    "RequestsPerMinute": ("100", "200"),
    "InviteWindowSeconds": ("600", "900"),
    "MaxAttempts": ("3", "4"),
    "UserDailyLimit": ("0", "1"),
    "HistoryDays": ("30", "31"),
    "UserIdPath": ("detail.id", "detail.user.id"),
    "Tracing": ("Active",),
    "SubnetIds": ("subnet-1", "subnet-2"),
    "SecurityGroupIds": ("sg-1", "sg-2"),
}
# A value of each that is not: Lambda refuses a second version with the same code and settings.
OTHERS = {
    "EventBusName": "crm",
    "PendingEventSource": "erp",
    "PendingEventDetailType": "user waiting",
    "SweepState": "ENABLED",
    "SweepSchedule": "rate(1 day)",
    "SweepMinAgeHours": "1",
    "SweepMaxInvites": "1",
    "SweepMaxUsers": "1",
    "SweepRoles": "PUBLISHER",
    "SweepOrgIds": "1",
    "SweepFirstInvitation": "false",
    "AlarmEmail": "a@example.com",
    "GradualDeployment": "true",
    "DeletionProtection": "true",
    "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1",
}
# Meaningful in a network only.
TOGETHER = {
    "SubnetIds": ("SecurityGroupIds", "sg-0"),
    "SecurityGroupIds": ("SubnetIds", "subnet-0"),
}


def version(resources: Resources) -> str:
    """Return the logical id of the function's version; a changed one is a new version."""
    (name,) = [name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Version"]
    return name


@cache
def versions() -> dict[Deployment, str]:
    """Return the version of every deployment that these tests compare."""
    deployments = [Deployment()]
    for name, values in SETTINGS.items():
        with_it = [TOGETHER[name]] if name in TOGETHER else []
        deployments += [Deployment(tuple(with_it)), *(_with(name, each) for each in values)]
    deployments += [Deployment(((name, value),)) for name, value in OTHERS.items()]
    return dict(zip(deployments, map(version, expand(deployments)), strict=True))


def _with(name: str, value: str) -> Deployment:
    with_it = [TOGETHER[name]] if name in TOGETHER else []
    return Deployment(((name, value), *with_it))


def test_every_parameter_is_changed_here() -> None:
    assert sorted([*SETTINGS, *OTHERS]) == sorted(PARAMETERS)


@pytest.mark.parametrize("name", SETTINGS)
def test_changed_setting_alone_makes_new_version(name: str) -> None:
    with_it = [TOGETHER[name]] if name in TOGETHER else []
    before = versions()[Deployment(tuple(with_it))]
    after = [versions()[_with(name, value)] for value in SETTINGS[name]]

    assert len({before, *after}) == 1 + len(after)


@pytest.mark.parametrize("name", OTHERS)
def test_other_parameter_makes_no_version_that_lambda_would_refuse(name: str) -> None:
    assert versions()[Deployment(((name, OTHERS[name]),))] == versions()[Deployment()]


def test_language_extensions_come_before_sam() -> None:
    """SAM compares references, not values (aws/serverless-application-model#3820)."""
    assert TEMPLATE["Transform"] == ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"]


def test_versioned_function_repeats_what_globals_take_from_parameters() -> None:
    shared = TEMPLATE["Globals"]["Function"]
    own = TEMPLATE["Resources"][FUNCTION]["Properties"]
    variables = own["Environment"]["Variables"]

    for name, value in shared.items():
        if name != "Environment" and references(value) & PARAMETERS.keys():
            assert own[name] == value
    for name, value in shared["Environment"]["Variables"].items():
        if references(value) & PARAMETERS.keys():
            assert variables[name] == value


def test_new_packages_make_new_version() -> None:
    layer = TEMPLATE["Resources"]["DependenciesLayer"]["Properties"]

    assert layer["PublishLambdaVersion"] is True
    assert version(expanded()) != version(expanded(layer="s3://bucket/other"))


def test_rolled_back_version_is_deleted() -> None:
    """A kept version would block the next deployment of the same code."""
    resources = expanded()

    assert resources[version(resources)]["DeletionPolicy"] == "Delete"


def test_gradual_deployment_is_off_by_default() -> None:
    resources = expanded()

    assert not [each for each in resources.values() if "CodeDeploy" in each["Type"]]
    assert "UpdatePolicy" not in resources[f"{FUNCTION}Aliaslive"]


def test_alarm_rolls_gradual_deployment_back() -> None:
    resources = expanded(GradualDeployment="true")

    deployment = resources[f"{FUNCTION}DeploymentGroup"]["Properties"]
    alarms = deployment["AlarmConfiguration"]["Alarms"]
    assert [each["Name"] for each in alarms] == [{"Ref": "NewVersionErrorsAlarm"}]
    assert "DEPLOYMENT_STOP_ON_ALARM" in deployment["AutoRollbackConfiguration"]["Events"]
    assert "Canary10Percent5Minutes" in str(deployment["DeploymentConfigName"])
    assert "CodeDeployLambdaAliasUpdate" in resources[f"{FUNCTION}Aliaslive"]["UpdatePolicy"]


def test_rollback_alarm_looks_at_new_version_alone() -> None:
    """Otherwise an alarm of the old version would block the deployment of its cure."""
    resources = expanded(GradualDeployment="true")
    alarm = resources["NewVersionErrorsAlarm"]["Properties"]
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}

    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    assert dimensions.keys() == {"FunctionName", "Resource", "ExecutedVersion"}
    assert dimensions["FunctionName"] == {"Ref": FUNCTION}
    assert dimensions["ExecutedVersion"] == {"GetAtt": f"{version(resources)}.Version"}
    assert alarm["TreatMissingData"] == "notBreaching"
    # Well within the five minutes of the canary.
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 60


def test_queues_and_callers_meet_live_version() -> None:
    resources = expanded()

    for event in ("Requests", "Retries", "Bulk"):
        mapping = resources[f"{FUNCTION}{event}"]["Properties"]
        assert mapping["FunctionName"] == {"Ref": f"{FUNCTION}Aliaslive"}
    output = TEMPLATE["Outputs"]["ReinviteFunctionName"]["Value"]
    assert output == {"Sub": f"${{{FUNCTION}}}:live"}
