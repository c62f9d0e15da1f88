"""`make local`: the whole stack, left running until Ctrl-C."""

import threading
from contextlib import suppress

from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.partoo.control import User
from local.samples import known_users, read_samples

_WINDOW_SECONDS = 300


def main() -> int:
    """Keep the stack up until Ctrl-C."""
    logs = empty_log_folder("serve")
    users = sorted(known_users(read_samples()))
    print("Starting AWS and the stand-in for the API …")
    with local_environment(
        logs, users=map(User, users), window_seconds=_WINDOW_SECONDS, say=print
    ) as environment:
        print(_instructions(environment, users[0]))
        # Nothing else ends it, so that this is no failure.
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


def _instructions(environment: LocalEnvironment, user_id: str) -> str:
    stack = environment.stack
    # The AWS CLI 1 overlooks AWS_ENDPOINT_URL for SQS, so that its lines name the endpoint.
    return f"""
Everything is up; Ctrl-C ends it. In another terminal, in this folder:

  export AWS_ENDPOINT_URL={environment.aws.endpoint_url} AWS_CA_BUNDLE={environment.aws.ca}
  export AWS_ACCESS_KEY_ID=000000000000 AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=eu-west-1

Send a request:

  aws sqs send-message --endpoint-url $AWS_ENDPOINT_URL \\
    --queue-url {stack.request_queue_url} \\
    --message-body '{{"user_id": "{user_id}"}}'

Put an event on the bus:

  aws events put-events --entries '[{{"EventBusName": "{stack.event_bus_name}", "Source": "crm",
    "DetailType": "user pending", "Detail": "{{\\"user_id\\": \\"{user_id}\\"}}"}}]'

Invoke the function:

  aws lambda invoke --function-name {stack.reinvite_function_name} \\
    --payload fileb://events/invoke/request.json /dev/stdout

Look whom a sweep would ask again, then let it:

  aws lambda invoke --function-name {stack.sweep_function_name} \\
    --payload fileb://events/sweep-dry-run.json /dev/stdout
  aws lambda invoke --function-name {stack.sweep_function_name} \\
    --payload fileb://events/sweep.json /dev/stdout

See the results:

  aws sqs receive-message --endpoint-url $AWS_ENDPOINT_URL --wait-time-seconds 20 \\
    --message-attribute-names All --queue-url {stack.results_queue_url}

Ask for an invitation, see what is known of a user, what is published, and let it be forgotten:

  make invite USER={user_id} STACK={stack.name}
  make status USER={user_id} STACK={stack.name}
  make tail STACK={stack.name}
  make forget USER={user_id} STACK={stack.name} FORCE=1

Move what failed back to the request queue:

  make redrive STACK={stack.name}

Partoo's stand-in:    {environment.partoo_base_url}
Logs:                 {environment.aws.logs}
"""
