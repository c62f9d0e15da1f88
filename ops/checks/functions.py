"""The functions: who reads the queues, what the live version is, which schedules start them."""

from ops.checks.stack import Findings, Stack, look, ok, or_ok, wrong

# The settings that a published version freezes.
_SETTINGS = (
    "CodeSha256",
    "Environment",
    "Handler",
    "Layers",
    "MemorySize",
    "Timeout",
    "TracingConfig",
    "VpcConfig",
)


def event_sources(stack: Stack) -> Findings:
    found = stack.of_kind("Lambda::EventSourceMapping")
    yield from or_ok(_disabled(stack, found), "event sources", f"{len(found)} are enabled")


def _disabled(stack: Stack, found: dict[str, str]) -> Findings:
    for name, uuid in found.items():
        state = stack.client("lambda").get_event_source_mapping(UUID=uuid)["State"]
        if state in ("Creating", "Enabling", "Updating"):
            yield look("event sources", f"{name} is {state}; run this again later")
        elif state != "Enabled":
            text = f"{name} is {state}, nobody reads its queue"
            command = f"aws lambda update-event-source-mapping --enabled --uuid {uuid}"
            yield wrong("event sources", f"{text}; {command}")


def live_version(stack: Stack) -> Findings:
    """A gradual deployment, or a change by hand, may leave the alias on older settings."""
    name, _, alias = stack.deployed.output("ReinviteFunctionName").partition(":")
    functions = stack.client("lambda")
    newest = functions.get_function_configuration(FunctionName=name)
    live = functions.get_function_configuration(FunctionName=name, Qualifier=alias)
    different = [each for each in _SETTINGS if newest.get(each) != live.get(each)]
    version = f"version {live['Version']}"
    if different:
        yield wrong(
            "live version",
            f"{version} lacks the newest settings ({', '.join(different)}); publish one: "
            f"aws lambda publish-version --function-name {name}, and then, with the version that "
            f"it returns, aws lambda update-alias --function-name {name} --name {alias} "
            "--function-version VERSION",
        )
    else:
        yield ok("live version", f"{version} has the newest settings")


def schedules(stack: Stack) -> Findings:
    found = stack.of_kind("Scheduler::Schedule")
    (group,) = stack.of_kind("Scheduler::ScheduleGroup").values()
    sweeps = stack.deployed.parameters["SweepState"]
    expected = {name: sweeps if "Sweep" in name else "ENABLED" for name in found}
    faults = []
    for name, physical_id in found.items():
        answer = stack.client("scheduler").get_schedule(Name=physical_id, GroupName=group)
        if answer["State"] != expected[name]:
            text = f"{name} is {answer['State']}, the stack's parameters say {expected[name]}"
            faults.append(wrong("schedules", f"{text}; change it in EventBridge Scheduler"))
    yield from or_ok(faults, "schedules", f"the daily check is on, sweeps are {sweeps}")
