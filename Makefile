# `make run` and `make test` do all of their own set-up, and are quick when nothing is missing.
# ARGS are handed on: make run ARGS=--fresh, make test ARGS=inbox

.PHONY: run test bench deny tools

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

# The licences and sources of the dependencies, and what is banned: .ci/deny.toml. The first time it builds cargo-deny into
# .tools, for some minutes. make deny ADVISORIES=DIR also looks for known vulnerabilities, DIR being a clone of the RustSec
# advisory database; without it that check is left out, and the output says so.
deny:
	@.ci/deny $(ADVISORIES)

tools:
	@.ci/tools test
