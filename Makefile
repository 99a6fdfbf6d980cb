# Everything a person does with this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CLIENTS := tests/clients
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help run test chaos check bench tools

help: ## Lists the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile

run: ## Builds the server and runs it on 127.0.0.1:8080.
	cargo run --release

test: tools $(CLIENTS)/node_modules/.package-lock.json $(CLIENTS)/.venv/pyvenv.cfg ## Installs what the tests need and runs them all.
	cargo test --workspace -- --include-ignored
	cargo build --workspace --bins --examples
	$(TARGET)/debug/chaos --server $(TARGET)/debug/duologue --faulty $(TARGET)/debug/examples/faulty --short

# The server as it is shipped. What panics to order may be slower: it is judged by the same bounds.
chaos: ## Mistreats real servers under load, in full; RUN=kill9 CYCLES=200 SECONDS=60 SEED=7 choose.
	cargo build --release --workspace --bins
	cargo build --example faulty
	$(TARGET)/release/chaos --server $(TARGET)/release/duologue --faulty $(TARGET)/debug/examples/faulty \
		$(if $(SEED),--seed $(SEED)) $(if $(CYCLES),--cycles $(CYCLES)) $(if $(SECONDS),--seconds $(SECONDS)) $(RUN)

check: ## Formatting, lints and documentation, as CI checks them; no tests.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace

bench: ## One pass through the pipeline with a provider that does nothing.
	cargo bench --workspace

tools:
	@tests/install-tools

# npm writes this file last, so it is as old as the installation; package.json and the lock decide
# whether that is too old.
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	npm ci --prefix $(CLIENTS) --no-audit --no-fund
	@touch $@

# What is named there is all there is to install: nothing is looked for beside it. An installation that fails leaves no
# environment that looks finished.
$(CLIENTS)/.venv/pyvenv.cfg: $(CLIENTS)/requirements.txt
	rm -rf $(CLIENTS)/.venv
	python3 -m venv $(CLIENTS)/.venv
	$(CLIENTS)/.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $< \
		|| { rm -rf $(CLIENTS)/.venv; exit 1; }
	$(CLIENTS)/.venv/bin/pip check
	@touch $@
