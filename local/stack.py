"""Builds the template and deploys it to the local AWS, with the tools of a real deployment."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from local.aws import REPOSITORY, LocalAws, clean_environment
from local.processes import run

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

SAM = REPOSITORY / ".venv/sam/bin/sam"
# The local AWS runs functions in its own interpreter and ignores the template's runtime.
_FUNCTIONS_PYTHON = REPOSITORY / ".venv/aws/bin/python"
# `make setup` downloads the layer's packages.
_WHEELS = REPOSITORY / ".venv/layer/wheels"
_BATCHES = {"sns:Publish": "sns:PublishBatch", "sqs:SendMessage": "sqs:SendMessageBatch"}


@dataclass(frozen=True)
class DeployedStack:
    """The outputs of a deployed stack, and a queue that is subscribed to the result topic.

    A message of `results_queue_url` has a result as its body, and the result's message attributes.
    """

    name: str
    request_queue_url: str
    request_queue_arn: str
    retry_queue_url: str
    bulk_queue_url: str
    dead_letter_queue_url: str
    result_topic_arn: str
    alarm_topic_arn: str
    reinvite_function_name: str
    sweep_function_name: str
    check_key_function_name: str
    table_name: str
    api_key_secret_arn: str
    event_bus_name: str
    results_queue_url: str

    @property
    def queue_urls(self) -> tuple[str, ...]:
        """The queues on which requests wait, in the order in which a message moves."""
        return self.request_queue_url, self.retry_queue_url, self.bulk_queue_url


def build(directory: Path, *, logs: Path) -> Path:
    """Build functions and layer in `directory`; returns the built template.

    A later build in the same directory builds only what has changed. Raises ProcessFailedError.
    """
    build_dir = directory / "build"
    sam(
        *("build", "--cached", "--parallel", "--template-file", str(REPOSITORY / "template.yaml")),
        *("--build-dir", str(build_dir), "--cache-dir", str(directory / "cache")),
        environment={
            **clean_environment(),
            "BYTECODE": str(_FUNCTIONS_PYTHON),
            "PIP_FIND_LINKS": _WHEELS.as_uri(),
            "PIP_NO_INDEX": "1",
        },
        log=logs / "sam-build.log",
    )
    return build_dir / "template.yaml"


def deploy(
    aws: LocalAws, name: str, parameters: Mapping[str, str], *, template: Path, api_key: str
) -> DeployedStack:
    """Deploy a built template as a new stack, and put the API key into its secret.

    Raises ProcessFailedError with the end of `sam deploy`'s output.
    """
    # Values in a file need no quoting.
    overrides = aws.logs / f"{name}-parameters.yaml"
    overrides.write_text(yaml.safe_dump(dict(parameters)))
    document = yaml.safe_load(template.read_text(encoding="utf-8"))
    # The local CloudFormation refuses a secret's policy.
    policy = document["Resources"].pop("ApiKeySecretPolicy")["Properties"]
    # In the same folder, because its paths are relative. Other processes may deploy from it, too.
    local_template = template.with_name(f"{name}-{os.getpid()}.yaml")
    local_template.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    sam(
        *("deploy", "--template-file", str(local_template), "--stack-name", name),
        *("--parameter-overrides", f"file://{overrides}", "--resolve-s3"),
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        *("--tags", "application=partoo-reinvite", "environment=local"),
        *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        environment=aws.environment() | {"SAM_CLI_POLL_DELAY": "0.2"},
        log=aws.logs / f"sam-deploy-{name}.log",
    )
    _translate_permissions(aws, name)
    stacks = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}
    secrets = aws.client("secretsmanager")
    secrets.put_secret_value(SecretId=outputs["ApiKeySecretArn"], SecretString=api_key)
    secrets.put_resource_policy(
        SecretId=outputs["ApiKeySecretArn"],
        ResourcePolicy=json.dumps(policy["ResourcePolicy"]),
        BlockPublicPolicy=policy["BlockPublicPolicy"],
    )
    # RequestQueueUrl is the field request_queue_url.
    named = {re.sub("(?<!^)(?=[A-Z])", "_", key).lower(): each for key, each in outputs.items()}
    results_queue_url = subscribe_queue(aws, f"{name}-results", outputs["ResultTopicArn"])
    known = {each.name: named[each.name] for each in fields(DeployedStack) if each.name in named}
    return DeployedStack(name=name, results_queue_url=results_queue_url, **known)


def reconfigure(aws: LocalAws, function: str, **settings: object) -> None:
    """Change settings of a function; with NAME:ALIAS, publish them and move the alias."""
    client = aws.client("lambda")
    name, _, alias = function.partition(":")
    client.update_function_configuration(FunctionName=name, **settings)
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    if alias:
        version = client.publish_version(FunctionName=name)["Version"]
        client.update_alias(FunctionName=name, Name=alias, FunctionVersion=version)


def _translate_permissions(aws: LocalAws, stack_name: str) -> None:
    """Add the batch actions that the local AWS checks; AWS checks the single action instead."""
    iam, cloudformation = aws.client("iam"), aws.client("cloudformation")
    resources = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    for role in resources:
        if role["ResourceType"] != "AWS::IAM::Role":
            continue
        name = role["PhysicalResourceId"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            own = {"RoleName": name, "PolicyName": policy}
            document = iam.get_role_policy(**own)["PolicyDocument"]
            for statement in document["Statement"]:
                actions = statement["Action"]
                actions = [actions] if isinstance(actions, str) else actions
                batches = [_BATCHES[each] for each in actions if each in _BATCHES]
                statement["Action"] = [*actions, *batches]
            iam.put_role_policy(**own, PolicyDocument=json.dumps(document))


def subscribe_queue(aws: LocalAws, name: str, topic_arn: str, **attributes: str) -> str:
    """Subscribe a new queue to a topic, with these attributes; returns the queue's URL."""
    queue_url: str = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    subscribe(aws.client("sqs"), aws.client("sns"), queue_url, topic_arn, **attributes)
    return queue_url


def subscribe(
    sqs: "SQSClient", sns: "SNSClient", queue_url: str, topic_arn: str, **attributes: str
) -> str:
    """Subscribe a queue to a topic; returns the subscription's ARN.

    With raw delivery, message attributes are attributes of the SQS message.
    """
    queue = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    queue_arn = queue["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    return sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=queue_arn,
        Attributes={"RawMessageDelivery": "true", **attributes},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]


def sam(*arguments: str, environment: Mapping[str, str], log: Path) -> None:
    """Run sam in the repository's root.

    Raises ProcessFailedError with the end of its output.
    """
    # The build of the layer must find this environment's pip first.
    path = os.pathsep.join([str(SAM.parent), environment["PATH"]])
    # sam and pip do not delete their temporary files when they are interrupted.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        run(
            [str(SAM), *arguments],
            environment={**environment, "PATH": path, "TMPDIR": scratch, "SAM_CLI_TELEMETRY": "0"},
            log=log,
            directory=REPOSITORY,
        )
