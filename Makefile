# `make run` and `make test` do all of their own set-up, and are quick when nothing is missing.
# ARGS are handed on: make run ARGS=--fresh, make test ARGS=inbox

.PHONY: run test bench tools

# Where rustup puts cargo; a shell that was open before its installation doesn't know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

run:
	@.ci/tools run
	cargo run --release -- dev $(ARGS)

test:
	@.ci/tools test
	@.ci/test $(ARGS)

# Some 25 minutes on an idle machine; make bench ARGS="get replay" measures those alone. The report: loadtest/report.
bench:
	@.ci/tools bench
	cargo build --release --locked --bins --examples
	PATH="$(CURDIR)/.tools/bin:$$PATH" target/release/examples/bench $(ARGS)

tools:
	@.ci/tools test
