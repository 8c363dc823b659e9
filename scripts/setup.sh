# shellcheck shell=sh
# Sourced by run_example.sh, run_tests.sh and .ci/run from the top of the checkout: finds a Python, makes
# the virtual environment (.venv, or $ECLOUD_VENV) and installs the locked packages into it. Says what it
# does, does nothing when all is there. Needs a POSIX shell and Python 3.11 or later, nothing else: where
# the venv module is missing it is installed by apt-get (as root or by sudo without a password), or else
# the environment is made with virtualenv, fetched from the package index.
#
# Gives: $venv, $venv_python, and the functions set_up_python and set_up_test_parts.

venv=${ECLOUD_VENV:-$PWD/.venv}
venv_python=$venv/bin/python
PIP_ROOT_USER_ACTION=ignore # in an environment of its own root may install
export PIP_ROOT_USER_ACTION

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# --- as root ----------------------------------------------------------------------------------------

may_be_root() { [ "$(id -u)" -eq 0 ] || { command -v sudo && sudo -n true; } >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then env "$@"; else sudo -n env "$@"; fi
}

apt_get() { as_root DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" </dev/null >&2; }

# Fresh images have no package lists, old ones stale ones: in both cases the first try fails.
apt_install() {
    command -v apt-get >/dev/null 2>&1 && may_be_root || return 1
    say "apt-get install $*"
    apt_get install --no-install-recommends "$@" && return 0
    apt_get update && apt_get install --no-install-recommends "$@"
}

# --- Python -----------------------------------------------------------------------------------------

is_python() { "$1" -c "import sys; sys.exit(not ((3, 11) <= sys.version_info < ($2)))" >/dev/null 2>&1; }

# One that was chosen, whatever else is there. Else 3.11 and 3.12 first, because owa-epanet has wheels for
# them; later ones use EPyT's library.
find_python() {
    if [ -n "${ECLOUD_PYTHON:-}" ]; then
        is_python "$ECLOUD_PYTHON" "4," && command -v "$ECLOUD_PYTHON"
        return
    fi
    for candidate in python3 python3.12 python3.11; do
        if is_python "$candidate" "3, 13"; then
            command -v "$candidate"
            return 0
        fi
    done
    for candidate in python3 python3.13 python3.14; do
        if is_python "$candidate" "4,"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

has_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

# What a package of the distribution can mend, it may; a Python from elsewhere it cannot.
install_venv_module() {
    apt_install "python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" ca-certificates
}

make_with_virtualenv() {
    say "the venv module of $1 is missing; fetching pip and virtualenv from the package index instead"
    parts=$(mktemp -d) || return 1
    wheel=$("$1" scripts/fetch_pip.py "$parts") &&
        "$1" "$wheel/pip" install --quiet --disable-pip-version-check --target "$parts/site" virtualenv &&
        PYTHONPATH=$parts/site "$1" -m virtualenv --quiet --no-periodic-update "$venv"
    made=$?
    rm -rf "$parts"
    return "$made"
}

make_venv() {
    python=$(find_python) ||
        fail "${ECLOUD_PYTHON:+ECLOUD_PYTHON=$ECLOUD_PYTHON: }no Python 3.11 or later was found. On Debian 12 or Ubuntu 24.04: apt-get install python3. Elsewhere set ECLOUD_PYTHON to one."
    say "making $venv with $python ($("$python" --version 2>&1))"
    rm -rf "$venv"
    if has_venv "$python" || { install_venv_module "$python" && has_venv "$python"; }; then
        "$python" -m venv "$venv" || fail "$python -m venv $venv failed, see above."
    else
        make_with_virtualenv "$python" ||
            fail "no environment could be made, see above. Manually: apt-get install python3-venv, then this command again."
    fi
}

# The stamp holds what was installed from what; the path is in it because an environment cannot be moved.
stamp_of() {
    for lock in "$@"; do printf '%s ' "$lock" && cksum <"$lock"; done
    printf '%s\n' "$venv"
}

install_locked() {
    say "installing the packages of $* (a minute or so, and only this time)"
    for lock in "$@"; do
        "$venv_python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
            --requirement "$lock" </dev/null || fail "pip could not install $lock, see above. The same command goes on from here."
    done
}

is_installed() { [ -x "$venv_python" ] && [ "$(cat "$venv/installed.$1" 2>/dev/null)" = "$(stamp_of "$1")" ]; }

# Each lock file has its own stamp, so that running and testing do not undo each other.
set_up_locked() {
    is_installed "$1" && return 0
    "$venv_python" -m pip --version >/dev/null 2>&1 || make_venv
    install_locked "$1"
    stamp_of "$1" >"$venv/installed.$1"
}

# $1: "run" or "dev". Two set-ups at the same time wait for each other where flock is there.
set_up_python() {
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    ! command -v flock >/dev/null 2>&1 || flock 9
    set_up_locked requirements.lock
    [ "$1" != dev ] || set_up_locked requirements-dev.lock
    exec 9>&-
}

# --- what the tests need besides Python --------------------------------------------------------------

missing_parts() {
    (
        PATH=$PATH:/usr/sbin:/sbin
        while read -r program package; do
            command -v "$program" >/dev/null 2>&1 || printf '%s\n' "$package"
        done <<EOF
mosquitto mosquitto
mariadbd mariadb-server
sshd openssh-server
ssh openssh-client
rsync rsync
setpriv util-linux
ip iproute2
git git
mkfs.xfs xfsprogs
ps procps
systemd-analyze systemd
EOF
    ) | sort -u | paste -s -d ' ' -
}

set_up_test_parts() {
    wanted=$(missing_parts)
    [ -n "$wanted" ] || return 0
    say "the tests use real programs; missing are: $wanted"
    # shellcheck disable=SC2086
    apt_install $wanted || say "they could not be installed here (that wants root or sudo without a password)."
    wanted=$(missing_parts)
    [ -z "$wanted" ] || fail "still missing: $wanted. Install them with: sudo apt-get install $wanted"
}
