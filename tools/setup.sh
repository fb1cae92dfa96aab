#!/bin/sh
# Make .venv and install the pinned packages: sh tools/setup.sh [PYTHON]
#
# Costs milliseconds when there is nothing to do, and then calls no pip. Content
# decides, not file times: a checkout that touches requirements.txt reinstalls nothing.
# May be interrupted at any point and run again.
set -eu

python=${1:-python3}
cd "$(dirname "$0")/.."
venv=.venv
ready=$venv/.ready           # what was installed, written last
unfinished=$venv/.unfinished # there while pip works

say() { printf '%s\n' "$*" >&2; }
die() { say "make: $*"; exit 1; }

wanted="$(cat requirements.txt constraints.txt | cksum) $(pwd)"
venv_works() { "$venv/bin/python" -c 'import pip, venv' >/dev/null 2>&1; }

if [ ! -e "$unfinished" ] && [ -e "$ready" ] && [ "$(cat "$ready")" = "$wanted" ] && venv_works
then
    exit 0
fi

# pip takes a half-installed package for an installed one, hence from scratch.
if [ -e "$unfinished" ]; then
    say "An earlier set-up was interrupted: starting over."
    rm -rf "$venv"
elif [ -e "$venv" ] && ! venv_works; then
    say "$venv does not work (moved, or its Python is gone): making it again."
    rm -rf "$venv"
elif [ -e "$ready" ] && [ "$(sed 's/^[0-9]* [0-9]* //' "$ready")" != "$(pwd)" ]; then
    say "The repository has moved: making $venv again."
    rm -rf "$venv"
fi

if [ ! -e "$venv" ]; then
    "$python" -c '' >/dev/null 2>&1 || die "cannot run '$python'. Install Python 3.11 or newer" \
        "(Debian, Ubuntu: apt-get install python3 python3-venv), or name one: make PYTHON=python3.12"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or newer" \
        "is needed, '$python' is $("$python" -c 'import platform; print(platform.python_version())')." \
        "Name a newer one: make PYTHON=python3.12"
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || die "'$python' cannot make virtual" \
        "environments. Debian, Ubuntu: apt-get install python3-venv"
    say "Making $venv with $("$python" -c 'import platform; print(platform.python_version())')."
    mkdir "$venv"
    : >"$unfinished"
    "$python" -m venv "$venv"
fi

say "Installing the pinned packages into $venv (minutes; 2.5 GB, or 7 with CUDA)."
: >"$unfinished"
rm -f "$ready"
"$venv/bin/python" -m pip install --disable-pip-version-check -r requirements.txt \
    -c constraints.txt || die "pip failed, see above. Run the same command again once mended."
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps \
    --no-build-isolation --editable . || die "pip could not install badsad_lib, see above."
printf '%s\n' "$wanted" >"$ready.new"
mv "$ready.new" "$ready"
rm "$unfinished"
say "$venv is ready."
