PYTHON ?= python3
ENV = sandbox
EVENT =
SEED = 1
REQUESTS = 1000
USERS = 1000
STACK = partoo-reinvite-sandbox
FORCE =

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
export SAM_CLI_TELEMETRY = 0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Environments of their own, because these tools pin versions that the project does not.
ENVIRONMENTS = project aws sam
# Installed when they are first needed: running and deploying can do without, and checkov alone takes
# 20 s and 220 MB.
LATER = checkov audit
INSTALLED = $(ENVIRONMENTS:%=.venv/%/.installed)
BIN = .venv/project/bin
EXAMPLES = $(wildcard examples/*/*.yaml)
SAM = PATH="$(CURDIR)/.venv/sam/bin:$$PATH" sam
# Nothing but `make deploy` and what operates a stack may see the user's AWS account.
LOCALLY = env $(patsubst %,-u %,$(filter AWS_%,$(.VARIABLES))) AWS_CONFIG_FILE=/dev/null \
	AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_DEFAULT_REGION=eu-west-1

# Every shell has a USER: without one on the command line, `make forget` would take the login name.
# By way of the recipe's environment no character of it means anything to the shell.
NAMED_USER = $(if $(filter command,$(origin USER)),"$$USER","")
OPERATE = @$(BIN)/python -m local

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: setup ## send the sample events through the whole stack on this machine, or one: EVENT=path
	@$(LOCALLY) $(BIN)/python -m local run $(if $(EVENT),"$(EVENT)")

.PHONY: local
local: setup ## the same stack, left running until Ctrl-C
	@$(LOCALLY) $(BIN)/python -m local serve

.PHONY: sweep
sweep: setup ## find who is still waiting in an organisation of USERS=1000, and ask them again
	@$(LOCALLY) $(BIN)/python -m local sweep "$(USERS)"

# Most of their time is waiting, so that two cores are enough for three processes. Each file stays in one,
# for it deploys what it needs once; those that wait longest come first, so that none is left for last.
LONGEST = $(patsubst %,tests/e2e/test_%.py,sweeps faults quota examples chaos alarms newcomer outcomes)
OTHERS = $(filter-out $(LONGEST),$(sort $(wildcard tests/e2e/test_*.py)))

.PHONY: test
test: setup lint ## lint and every test
	@$(LOCALLY) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder \
		$(LONGEST) $(OTHERS) tests/integration tests/infrastructure tests/simulation tests/unit

.PHONY: chaos
chaos: setup ## soak the stack in faults and judge it from outside: SEED=7 REQUESTS=1000
	@$(LOCALLY) $(BIN)/python -m local chaos "$(SEED)" "$(REQUESTS)"

.PHONY: mutants
mutants: setup ## break the rules one by one and show how the simulation notices
	@PYTHONPATH=.:functions $(BIN)/python -m tests.simulation.mutants

.PHONY: bench
bench: setup ## measure side by side with a naive handler, all of it or PART=start (batch, quota, …)
	@$(LOCALLY) PYTHONPATH=.:functions $(BIN)/python -m bench $(PART)

.PHONY: lint
lint: setup .venv/checkov/.installed ## ruff, mypy, cfn-lint, sam validate, checkov
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/cfn-lint template.yaml $(EXAMPLES)
	@$(LOCALLY) $(SAM) validate --lint
	@$(LOCALLY) $(SAM) validate --lint --template-file examples/fixed-address/template.yaml

# With a key of its vendor's platform it would send what it finds there.
	@env -u BC_API_KEY -u PRISMA_API_URL $(LOCALLY) .venv/checkov/bin/checkov --file template.yaml

.PHONY: audit
audit: setup .venv/audit/.installed ## ask whether a vulnerability of a pinned package is known
	@$(BIN)/python -m local audit

# What was built without the runtime's interpreter must not be taken for what is built with it.
BYTECODE ?= python3.13
export BYTECODE

.PHONY: build
build: setup ## leave a deployable .aws-sam/build/template.yaml
	@$(LOCALLY) $(SAM) build $(if $(shell $(BYTECODE) -c 'print(1)' 2>/dev/null),--cached) --parallel

.PHONY: deploy
deploy: setup ## deploy to AWS with the settings of ENV=sandbox (dev, production) in samconfig.toml
	$(OPERATE) deploy "$(ENV)"

.PHONY: invite
invite: setup ## ask a stack to invite a user again, and wait for the result: USER=id STACK=name
	$(OPERATE) invite $(NAMED_USER) "$(STACK)"

.PHONY: status
status: setup ## show what a stack knows of a user: USER=id STACK=name
	$(OPERATE) status $(NAMED_USER) "$(STACK)"

.PHONY: tail
tail: setup ## show a stack's results and sweeps as they come, until Ctrl-C: STACK=name
	$(OPERATE) tail "$(STACK)"

.PHONY: forget
forget: setup ## delete what a stack knows of a user: USER=id STACK=name [FORCE=1]
	$(OPERATE) forget $(NAMED_USER) "$(STACK)" "$(FORCE)"

.PHONY: redrive
redrive: setup ## move a stack's dead letters back to its request queue: STACK=name
	$(OPERATE) redrive "$(STACK)"

.PHONY: format
format: setup ## fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The layer comes first: the project takes its pins over. Pins that still fit stay as they are.
.PHONY: lock
lock: setup ## pin requirements/*.in in requirements/*.txt
	@cd requirements && for name in layer $(ENVIRONMENTS) $(LATER) bench; do \
		../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
			--output-file $$name.txt $$name.in || exit 1; \
	done

.PHONY: clean
clean: ## remove everything that was made here
	rm -rf .venv .aws-sam .local .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

.PHONY: setup
setup: ## install what the commands need into .venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed and $(PYTHON) is not: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(MAKE) --silent --jobs=3 $(INSTALLED)

# --no-deps: the pins are complete, and older pips fail to match hashes with extras like boto3[crt].
# --no-compile halves the time: what is never imported needs no bytecode.
.venv/%/.installed: requirements/%.txt
	@echo "Installing .venv/$* …"
	@$(PYTHON) -m venv --clear .venv/$*
	@.venv/$*/bin/python -m pip install --no-compile --no-deps --require-hashes \
		--requirement $< >.venv/$*/install.log 2>&1 || { tail -n 20 .venv/$*/install.log >&2; exit 1; }
	@touch $@
