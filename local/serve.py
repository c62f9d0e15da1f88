"""`make local`: run the whole stack until Ctrl-C and show what happens in it."""

import shlex
import time
from contextlib import suppress

from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.fake import ADDRESS
from local.live import Watch
from local.partoo.control import User
from local.rows import plain_console
from local.samples import known_users, read_samples

# Short, so that one can watch a window end.
_WINDOW_SECONDS = 60
_LOOK_SECONDS = 0.25


def main() -> int:
    """Run the stack until Ctrl-C; returns 0."""
    console = plain_console()
    users = sorted(known_users(read_samples()))
    with (
        suppress(KeyboardInterrupt),
        local_environment(
            empty_log_folder("serve"),
            users=map(User, users),
            window_seconds=_WINDOW_SECONDS,
            say=console.print,
        ) as environment,
    ):
        console.print(_instructions(environment, users[0]))
        ADDRESS.write_text(environment.partoo_base_url, encoding="utf-8")
        try:
            watch = Watch(environment.aws.logs, console)
            while True:
                watch.look()
                time.sleep(_LOOK_SECONDS)
        finally:
            ADDRESS.unlink()
    return 0


def _instructions(environment: LocalEnvironment, user_id: str) -> str:
    aws, stack = environment.aws, environment.stack
    # The AWS CLI 1 ignores AWS_ENDPOINT_URL for SQS.
    return f"""
The stack is ready, with a window of {_WINDOW_SECONDS} s; Ctrl-C ends it. In another terminal, in
this folder:

  export AWS_ENDPOINT_URL={aws.endpoint_url} AWS_CA_BUNDLE={shlex.quote(str(aws.ca))}
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
    --payload fileb://events/invoke/request.json answer.json; cat answer.json

Preview a sweep; events/sweep.json runs it:

  aws lambda invoke --function-name {stack.sweep_function_name} \\
    --cli-read-timeout 0 --payload fileb://events/sweep-dry-run.json answer.json; cat answer.json

Invite a user, and show the user's state; tail, pause, resume and doctor need STACK alone:

  make invite USER={user_id} STACK={stack.name}
  make status USER={user_id} STACK={stack.name}

Let the API throttle (500: fail, 401: refuse the key, lost: answer nothing), or have more users:

  make partoo ANSWER=429 CALLS=10
  make partoo ADD=5

Fake Partoo server:   {environment.partoo_base_url}
Logs:                 {environment.aws.logs}
"""
