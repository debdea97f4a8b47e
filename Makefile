# `make run` starts a server, `make test` proves it. Nothing else needs to be installed first than
# Rust and make.

.PHONY: run test test-programs bench bench-calls spec-report check setup setup-client setup-tests client client-quick desktop

# With the web client at `/`, if it can be made here; without, if not.
run: setup
	@$(MAKE) --no-print-directory client || echo "there is no web client this time (see above)"
	cargo build --release --locked -p kith-homeserver
	cargo run --release --locked --quiet -p kith-homeserver --bin kith -- serve

# Unit, conformance, crash and interop tests. Ends with the summary of the test runner.
# Most tests wait more than they compute, so there are three for two processors (.config/nextest.toml: some run alone).
# The client and the tests are compiled side by side: each has long stretches of one crate after the other. Cargo
# shares no jobs with make.
test: setup-tests
	@$(MAKE) --no-print-directory --jobs=2 client-quick test-programs
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --locked --no-fail-fast --test-threads=$$(($$(nproc) * 3 / 2)); \
	else \
		cargo test --workspace --locked --lib --bins --tests --no-fail-fast; \
	fi

test-programs:
	@unset MAKEFLAGS MFLAGS; cargo test --workspace --locked --lib --bins --tests --no-run

bench: setup
	cargo bench --workspace --locked

# Is the relay for calls as good as was asked for? Fails when a gate is missed.
bench-calls: setup-tests
	cargo bench --locked -p kith-voip --bench calls

# Which endpoints of the specification did the last `make test` call? Written to docs/spec-coverage.md.
spec-report:
	cargo run --locked --quiet -p kith-spec-tests --bin spec-report -- $(wildcard ../shared/spec/endpoints.tsv)

# What `.ci/run` looks at before it runs the tests.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo check --quiet --locked -p kith-media-store --lib --features azblob,b2,gcs,sftp,webdav
	cargo deny --log-level error check bans licenses sources

# The web client for the world: target/release/web-client, which `make run` then serves at `/`.
client: setup-client
	@client-dioxus/build.sh release

# The same for tests: larger, and sooner there.
client-quick: setup-client
	@client-dioxus/build.sh quick

# The client as a program with a window of its own: target/release/kith-desktop.
desktop: setup
	@client-dioxus/setup-desktop.sh
	cargo build --release --locked -p kith-client --bin kith-desktop --features desktop

setup:
	@deploy/setup.sh

setup-client:
	@deploy/setup.sh --client

setup-tests:
	@deploy/setup.sh --tests
	@if [ -x spec-tests/setup-interop.sh ]; then spec-tests/setup-interop.sh; fi
	@voip/setup-clients.sh
