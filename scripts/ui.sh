#!/bin/sh
# The web UI: scripts/ui.sh build | check | e2e | types
set -eu
cd "$(dirname "$0")/../ui"
npm=npm
# Vite 8 needs a newer npm than some Node 20 bring along.
case $(npm --version) in 1[1-9].* | [2-9][0-9].*) ;; *) npm="npx --yes npm@11" ;; esac

stamp=node_modules/.pic-lock
if ! cmp -s package-lock.json "$stamp" 2>/dev/null; then
	$npm ci --no-audit --no-fund --loglevel=error
	cp package-lock.json "$stamp"
fi
case $1 in
build) $npm run --silent build ;;
check) $npm run --silent check ;;
e2e) $npm run --silent e2e ;;
types) $npm run --silent types ;;
*)
	echo "usage: scripts/ui.sh build | check | e2e | types" >&2
	exit 2
	;;
esac
