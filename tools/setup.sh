#!/bin/sh
# Make .venv and install the pinned packages: sh tools/setup.sh [PYTHON]
#
# Costs milliseconds when there is nothing to do, and then calls no pip. Content
# decides, not file times: a checkout that touches requirements.txt reinstalls nothing.
# May be interrupted at any point and run again, and run twice at once.
# Deletes no environment, whoever made it: what does not work is mended in place.
set -eu

# These would send pip, or Python itself, elsewhere.
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

python=${1:-python3}
cd "$(dirname "$0")/.."
here=$(pwd -P)
venv=.venv
py=$venv/bin/python
ready=$venv/.ready           # what was installed and where, written last
unfinished=$venv/.unfinished # there while packages are installed

say() { printf '%s\n' "$*" >&2; }
die() { say "make: $*"; exit 1; }
works() { "$py" -c '' >/dev/null 2>&1; }
has_pip() { "$py" -m pip --version >/dev/null 2>&1; }

wanted="$(cat requirements.txt constraints.txt | cksum) $here"
# packaging comes with the pins: a Python that the system replaced does not see it.
is_ready() {
    [ ! -e "$unfinished" ] && [ -e "$ready" ] && [ "$(cat "$ready")" = "$wanted" ] &&
        "$py" -c 'import packaging' >/dev/null 2>&1
}
if is_ready; then exit 0; fi

# Prints why a Python does not do, or nothing. Old ones must understand it, too.
check='
import platform, sys
version, machine = platform.python_version(), platform.machine().lower()
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    print("Python 3.11 to 3.14 is needed, this is %s" % version)
elif sys.platform == "darwin" and machine == "x86_64":
    print("PyTorch has no build for Intel Macs. On Apple silicon this Python is one for "
          "Intel: name a native one")
elif sys.platform not in ("linux", "darwin"):
    print("PyTorch, bash and make do not come together here. On Windows use WSL")
elif machine not in ("x86_64", "amd64", "aarch64", "arm64"):
    print("PyTorch has no build for processors of the kind %s" % machine)
'
if works; then
    reason=$("$py" -c "$check")
    [ -z "$reason" ] || die "$venv does not do: $reason." \
        "Move it away (mv $venv $venv.old) and run the same command again."
    runs=$py
else
    "$python" -c '' >/dev/null 2>&1 || die "cannot run '$python'. Install Python 3.11 to 3.14" \
        "(Debian, Ubuntu: apt-get install python3 python3-venv), or name one: make PYTHON=python3.12"
    reason=$("$python" -c "$check")
    [ -z "$reason" ] || die "'$python' does not do: $reason." \
        "To name another: make PYTHON=python3.12"
    runs=$python
fi

# The kernel gives the lock back when the last process that holds it ends, however it ends:
# no lock is ever stale, and a pip that outlived its make keeps the next one waiting.
(: >>.venv.lock) 2>/dev/null || die "cannot write into $here: clone the repository to a place" \
    "of your own."
exec 9>>.venv.lock
"$runs" -c '
import fcntl, sys
try:
    try:
        fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write("Another set-up is at work here: waiting until it is done.\n")
        fcntl.flock(9, fcntl.LOCK_EX)
except OSError as error:
    sys.stderr.write("No lock on this file system (%s): start only one set-up.\n" % error)
' 9>&9 || die "could not wait for the other set-up. Run the same command again."
if is_ready; then exit 0; fi

interrupted=
if [ -e "$unfinished" ]; then
    say "An earlier set-up was interrupted: going on from there."
    interrupted=yes
fi

if ! works; then
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || die "'$python' cannot make virtual" \
        "environments. Debian, Ubuntu: apt-get install python3-venv"
    options=
    if [ -e "$venv" ]; then
        say "The Python of $venv is gone or was never finished: mending it in place."
        rm -f "$py" "$venv"/bin/python3 "$venv"/bin/python3.*
        if grep -qs 'include-system-site-packages = true' "$venv/pyvenv.cfg"; then
            options=--system-site-packages
        fi
    fi
    say "Making $venv with $("$python" -c 'import platform; print(platform.python_version())')."
    mkdir -p "$venv"
    : >"$unfinished"
    "$python" -m venv $options "$venv" || die "could not make $venv, see above."
fi

: >"$unfinished"
if [ -n "$interrupted" ]; then
    "$py" tools/mend_venv.py forget-half-installed
fi
if [ -e "$ready" ]; then
    was="$(sed 's/^[0-9]* [0-9]* //' "$ready")"
    if [ "$was" != "$here" ]; then
        say "The repository has moved: mending $venv."
        "$py" tools/mend_venv.py renew-paths "$was/$venv" "$here/$venv"
        printf '0 0 %s\n' "$here" >"$ready"
    fi
fi

# uv makes environments without pip. Its own installer is the second choice: it does not
# read the configuration of pip, which may name the indexes of a company or a lab.
has_pip || "$py" -m ensurepip --default-pip >/dev/null 2>&1 || true
if has_pip; then
    install() { "$py" -m pip install --disable-pip-version-check "$@"; }
elif command -v uv >/dev/null 2>&1; then
    install() { uv pip install --python "$py" "$@"; }
else
    die "$venv has no pip and cannot get one. Debian, Ubuntu: apt-get install python3-venv." \
        "Or install uv."
fi

say "Installing the pinned packages into $venv (minutes; 2.5 GB, or 7 with CUDA)."
install -r requirements.txt -c constraints.txt ||
    die "the packages were not installed, see above. Run the same command again once mended."
install --quiet --no-deps --no-build-isolation --editable . ||
    die "badsad_lib was not installed, see above."
printf '%s\n' "$wanted" >"$ready.new"
mv "$ready.new" "$ready"
rm "$unfinished"
say "$venv is ready."
