PYTHON ?= python3
ENV = sandbox
EVENT =
SEED = 1
REQUESTS = 1000
USERS = 1000
STACK = partoo-reinvite-sandbox
FORCE =
ANSWER =
CALLS = 1
ADD =
OPTIONS = ENV EVENT SEED REQUESTS USERS STACK FORCE ANSWER CALLS ADD
export $(OPTIONS)
# Recipes read what was typed from the environment, where neither make nor the shell interprets a
# character of it. Every shell sets USER to the login name, so only a USER of the command line counts.
$(foreach each,$(OPTIONS) USER,$(if $(filter command,$(origin $(each))), \
	$(eval override $(each) := $$(value $(each)))$(eval export $(each))))
NAMED_USER = $(if $(filter override,$(origin USER)),"$$USER","")

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
export SAM_CLI_TELEMETRY = 0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Separate environments, because these tools pin versions that conflict with the project's.
ENVIRONMENTS = project aws sam
# The layer's packages as wheels, so that a local build needs no network.
WHEELS = layer
# Installed on first use: running and deploying need none, and checkov alone takes 20 s and 220 MB.
LATER = checkov audit bench
INSTALLED = $(patsubst %,.venv/%/.installed,$(ENVIRONMENTS) $(WHEELS))
# Of two commands in a fresh clone, one installs and the other waits.
INSTALL = @mkdir -p .venv && $(PYTHON) local/lock.py .venv/.lock $(MAKE) --silent --jobs=4
BIN = .venv/project/bin
EXAMPLES = $(wildcard examples/*/*.yaml)
SAM = PATH="$(CURDIR)/.venv/sam/bin:$$PATH" sam
# Only `make deploy` and the operator's commands may see the user's AWS account.
WITHOUT_AWS = env $(patsubst %,-u %,$(filter AWS_%,$(.VARIABLES))) AWS_CONFIG_FILE=/dev/null \
	AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_DEFAULT_REGION=eu-west-1
# A proxy cannot reach this machine's loopback address.
PROXIES = http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
LOCALLY = env $(PROXIES:%=-u %) $(WITHOUT_AWS)
OPERATE = @$(BIN)/python -m ops

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: setup ## send the sample events through the whole stack on this machine, or one: EVENT=path
	@$(LOCALLY) $(BIN)/python -m local run "$$EVENT"

.PHONY: local
local: setup ## run the same stack until Ctrl-C
	@$(LOCALLY) $(BIN)/python -m local serve

.PHONY: partoo
partoo: setup ## change the fake server of make local: ANSWER=401 (429, 500, lost) CALLS=1, or ADD=5 users
	@$(LOCALLY) $(BIN)/python -m local fake "$$ANSWER" "$$CALLS" "$$ADD"

.PHONY: sweep
sweep: setup ## run a sweep of a made-up organisation of USERS=1000 on this machine
	@$(LOCALLY) $(BIN)/python -m local sweep "$$USERS"

# The tests wait most of the time, so two cores are enough for three processes. Each file runs in one
# process, because it deploys its stacks once. The slowest files come first.
LONGEST = $(patsubst %,tests/e2e/test_%.py,chaos newcomer examples sweeps deploy cases \
	doctor api_key operator window_and_quota main_job)
OTHERS = $(filter-out $(LONGEST),$(sort $(wildcard tests/e2e/test_*.py)))

.PHONY: test
test: setup lint ## lint and every test
	@$(LOCALLY) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder \
		$(LONGEST) $(OTHERS) tests/integration tests/infrastructure tests/simulation tests/unit

.PHONY: chaos
chaos: setup ## inject faults into the stack and check its promises: SEED=7 REQUESTS=1000
	@$(LOCALLY) $(BIN)/python -m local chaos "$$SEED" "$$REQUESTS"

.PHONY: mutants
mutants: setup ## break the rules one by one and show that the simulation fails
	@PYTHONPATH=.:functions $(BIN)/python -m tests.simulation.mutants

.PHONY: bench
bench: setup ## measure side by side with a naive handler, all of it or PART=start (batch, quota, …)
	$(INSTALL) .venv/bench/.installed
	@$(LOCALLY) PYTHONPATH=.:functions $(BIN)/python -m bench $(PART)

.PHONY: lint
lint: setup ## ruff, mypy, cfn-lint, sam validate, checkov
	$(INSTALL) .venv/checkov/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/cfn-lint template.yaml monitoring.yaml $(EXAMPLES)
	@$(LOCALLY) $(SAM) validate --lint
	@$(LOCALLY) $(SAM) validate --lint --template-file examples/fixed-address/template.yaml

# With a key of its vendor's platform, checkov would upload its findings.
	@env -u BC_API_KEY -u PRISMA_API_URL $(LOCALLY) .venv/checkov/bin/checkov --file template.yaml monitoring.yaml

# One file at a time, because pins differ between files. A pin without an answer fails the audit.
.PHONY: audit
audit: setup ## look up known vulnerabilities of the pinned packages
	$(INSTALL) .venv/audit/.installed
	@failed=0; for file in requirements/*.txt; do \
		echo "$$file:"; .venv/audit/bin/pip-audit --strict --disable-pip --require-hashes \
			--progress-spinner=off --requirement $$file || failed=1; \
	done; exit $$failed

# A cached build without the runtime's interpreter must not replace one with it.
BYTECODE ?= python3.13
export BYTECODE

.PHONY: pictures
pictures: setup ## make the README's pictures from real runs
	@$(LOCALLY) $(BIN)/python -m local pictures

.PHONY: build
build: setup ## leave a deployable .aws-sam/build/template.yaml
	@$(WITHOUT_AWS) $(SAM) build $(if $(shell $(BYTECODE) -c 'print(1)' 2>/dev/null),--cached) --parallel

.PHONY: deploy
deploy: setup ## deploy to AWS with the settings of ENV=sandbox (dev, production) in samconfig.toml
	$(OPERATE) deploy "$$ENV"

.PHONY: doctor
doctor: setup ## look a deployed stack over: STACK=name [EVENT=path of an event of your CRM]
	$(OPERATE) doctor "$$STACK" "$$EVENT"

.PHONY: invite
invite: setup ## send one request to a stack and wait for its result: USER=id STACK=name
	$(OPERATE) invite $(NAMED_USER) "$$STACK"

.PHONY: status
status: setup ## show what a stack holds about a user: USER=id STACK=name
	$(OPERATE) status $(NAMED_USER) "$$STACK"

.PHONY: tail
tail: setup ## print a stack's results and sweeps until Ctrl-C: STACK=name
	$(OPERATE) tail "$$STACK"

.PHONY: forget
forget: setup ## delete what a stack holds about a user: USER=id STACK=name [FORCE=1]
	$(OPERATE) forget $(NAMED_USER) "$$STACK" "$$FORCE"

.PHONY: redrive
redrive: setup ## move a stack's dead letters to its request queue: STACK=name
	$(OPERATE) redrive "$$STACK"

.PHONY: pause
pause: setup ## stop all calls of a stack to the API until make resume: STACK=name
	$(OPERATE) pause "$$STACK"

.PHONY: resume
resume: setup ## end the pause of a stack: STACK=name
	$(OPERATE) resume "$$STACK"

.PHONY: format
format: setup ## fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The layer comes first, because the project reuses its pins. Pins that still fit do not change.
.PHONY: lock
lock: setup ## pin requirements/*.in in requirements/*.txt
	@cd requirements && for name in layer $(ENVIRONMENTS) $(LATER); do \
		../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
			--output-file $$name.txt $$name.in || exit 1; \
	done

.PHONY: clean
clean: ## remove environments, builds and caches
	rm -rf .venv .aws-sam .local .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

.PHONY: setup
setup: ## install what the commands need into .venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed and $(PYTHON) is not: make PYTHON=python3.12 …" >&2; exit 1; }
	$(INSTALL) $(INSTALLED)

# --no-deps: the pins are complete, and older pips fail to match hashes with extras like boto3[crt].
# --no-compile halves the time, because most modules are never imported.
FETCH = install --no-compile
.venv/layer/.installed: FETCH = download --dest .venv/layer/wheels --platform manylinux2014_aarch64 \
	--implementation cp --python-version 3.13 --only-binary=:all:
.venv/%/.installed: requirements/%.txt
	@echo "Installing .venv/$* …"
	@$(PYTHON) -m venv --clear .venv/$*
	@.venv/$*/bin/python -m pip $(FETCH) --no-deps --require-hashes \
		--requirement $< >.venv/$*/install.log 2>&1 || { tail -n 20 .venv/$*/install.log >&2; exit 1; }
	@touch $@
