# What people type, and what CI calls unchanged. Each word is a script, so that signals reach the panel itself.
.PHONY: run setup test lint bench lock

run: ## the panel, from a fresh clone: programs, packages, database, administrator, demo (DEMO=0: none)
	@scripts/run

setup: ## the first half of `run` and `test`: programs, .venv, locked packages
	@scripts/setup run

test: ## everything: lint, SQLite, PostgreSQL
	@scripts/setup test
	@scripts/test

lint:
	@scripts/setup test
	@scripts/lint

bench: ## how fast it is, each figure against its own baseline
	@scripts/setup test
	@.venv/bin/python -m bench

lock: ## lock the newest allowed versions with their hashes; names no index and no download host
	@scripts/lock
