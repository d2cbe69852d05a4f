# Personal Internet Cell. `make run` tries it, `make test` checks all of it.
# The targets are thin; what takes more than a line is in scripts/.

SHELL := /bin/sh
export CGO_ENABLED := 0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
DATA    ?= ./data
PIC     := bin/pic --data $(DATA)

.PHONY: all ui build run test unit race e2e lint fmt gen fuzz bench cross install clean ci \
	setup start stop restart status logs list-peers show-routes add-peer test-integration test-coverage

all: ui build

ui: ## build the web UI into ui/dist
	scripts/ui.sh build

build: ## build bin/pic, static
	scripts/build.sh bin/pic $(VERSION)

run: all ## start a trial cell on ./data, without root
	bin/pic serve --trial --data $(DATA)

test: ## everything: lint, unit, race, namespaces, browser
	scripts/test.sh

lint:
	scripts/lint.sh

unit:
	go test -shuffle=on ./...

race: ## where goroutines share state; needs a C compiler
	CGO_ENABLED=1 go test -race ./core/... ./internal/listen ./internal/datagram ./dnssrv ./dnssrv/querylog

e2e: all
	scripts/ui.sh e2e

fuzz: ## every fuzz target for 30 s
	scripts/fuzz.sh 30s

bench: build ## compare with the peers, write docs/benchmarks.md
	bench/run.sh

fmt:
	go tool -modfile=tools/go.mod gofumpt -w .

gen: ## openapi.json, and the UI's types from it
	go run ./cmd/pic openapi > api/openapi.json
	scripts/ui.sh types

cross: ## every platform that a cell runs on
	scripts/cross.sh

install: all ## as root: the binary and the service
	install -m 0755 bin/pic /usr/local/bin/pic
	install -D -m 0644 packaging/pic.sysusers /usr/lib/sysusers.d/pic.conf
	install -m 0644 packaging/pic.service /etc/systemd/system/pic.service
	systemd-sysusers pic.conf
	systemctl daemon-reload

clean:
	rm -rf bin ui/dist/assets ui/dist/index.html

ci:
	.ci/run

# The names that users of the predecessor know.
setup:
	$(PIC) setup
start stop restart:
	systemctl $@ pic
status:
	$(PIC) status
logs:
	$(PIC) logs -f
logs-%:
	$(PIC) logs -f $*
list-peers:
	$(PIC) peer ls
show-routes:
	$(PIC) get proxy.routes
add-peer: ## make add-peer NAME=laptop
	$(PIC) peer add $(NAME)
test-integration:
	go test ./cell/... ./cmd/...
test-coverage:
	go test -coverprofile=bin/cover.out ./... && go tool cover -func=bin/cover.out | tail -1
