# labrun: build, run the reference lab, test. Each target installs what is missing first.
# The programs come from Debian's or Ubuntu's own packages; Rust must be there (the message says how to get it).

CARGO ?= cargo
LANG_OF_REPORT ?= ru

.PHONY: help run test build programs lint packages patroni simulate replay soak conformance soak-faults attached bench compare clean

help: ## Show the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

packages: ## Install what is missing: PostgreSQL, ZooKeeper, HAProxy, a C linker.
	@sh scripts/packages.sh

programs: packages ## Build labrun and labrun-agent (release).
	$(CARGO) build --release --workspace --locked

build: programs ## The same, and a static labrun-agent for images.
	@CARGO="$(CARGO)" sh scripts/static-agent.sh

run: programs ## Run the reference lab: deploy, verify, report; then take it down.
	@sh scripts/run.sh ./target/release/labrun $(LANG_OF_REPORT)

test: packages ## Run all tests: the simulator, then those on real servers.
	@sh scripts/test.sh

lint: ## Formatting, clippy, licences.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check; else echo "cargo-deny is not installed: licences and advisories are not checked (cargo install cargo-deny)"; fi

SIMULATOR = CARGO="$(CARGO)" sh scripts/simulate.sh

simulate: ## The simulator: 20,000 schedules of the agent's decisions (LABRUN_SIM_COUNT), and each weakened rule is found. Part of `make test`.
	$(SIMULATOR) -- --nocapture

replay: ## The schedule of LABRUN_SIM_SEED, line by line.
	$(SIMULATOR) replay -- --nocapture

soak: ## The simulator, until it is stopped.
	$(SIMULATOR) soak -- --ignored --nocapture

conformance: packages patroni ## All of the agent's scenarios, also against Patroni (LABRUN_PATRONI_DIR: its virtual environment).
	LABRUN_CONFORMANCE=full $(CARGO) test -p labrun-agent --test conformance -- --test-threads 3

soak-faults: ## Random faults on a cluster of three under load; LABRUN_FAULTS (200) and LABRUN_FAULTS_SEED choose them.
	LABRUN_CONFORMANCE=labrun LABRUN_FAULTS=$${LABRUN_FAULTS:-200} $(CARGO) test -p labrun-agent --test conformance -- --exact labrun::random_faults

attached: packages build ## Twelve broken projects on Docker, each attached to and verified: a table of what is said (half an hour); LABRUN_VARIANT names one.
	$(CARGO) test --test attached -- --ignored --exact live::twelve --nocapture

patroni: ## Install the Patroni of PyPI into a folder of its own (LABRUN_PATRONI_DIR, or /opt/labrun-patroni).
	@sh scripts/patroni.sh

bench: packages patroni ## The agent beside Patroni, 5 rounds (LABRUN_BENCH_ROUNDS), two hours; LABRUN_BENCH_RESUME=true goes on with it.
	$(CARGO) bench -p labrun-agent --features benchmark --bench against_patroni

compare: packages patroni ## labrun-agent beside Patroni by `labrun compare`: five faults, 5 rounds (LABRUN_COMPARE_ROUNDS), half an hour.
	@CARGO="$(CARGO)" sh scripts/compare.sh

clean: ## Remove what was built. Deployments are removed by `labrun destroy`.
	$(CARGO) clean
