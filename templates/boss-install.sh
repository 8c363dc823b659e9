#!/bin/sh
# What admin.py deploy runs on the boss's machine, as root: `prepare`, `unpack DIGEST` (the bundle on standard input), and
# `start yes|no` (yes: what it runs with is new). Each may be repeated; each says a sentence where it fails.
set -eu
state=/var/lib/ecloud

prepare() {
    wanted=
    command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || wanted="$wanted mosquitto"
    command -v rsync >/dev/null || wanted="$wanted rsync"
    if [ -n "$wanted" ] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        { apt-get -qq update && apt-get -qq install --no-install-recommends $wanted; } >/var/log/ecloud-apt.log 2>&1 &&
            wanted=
    fi
    if [ -n "$wanted" ]; then
        echo "the boss's machine needs$wanted, and they cannot be installed there: put them into its image" >&2
        exit 1
    fi
    # The boss starts a Mosquitto of its own, on the same port as the package's service.
    if [ -d /run/systemd/system ]; then
        systemctl disable --now mosquitto >/dev/null 2>&1 || true
    fi
    mkdir -p /etc/ecloud /opt/ecloud
    chmod 755 /etc/ecloud /opt/ecloud
    getent passwd ecloud >/dev/null || useradd --system --home-dir $state --shell /bin/sh ecloud
    mkdir -p $state/.ecloud
    chown ecloud: $state $state/.ecloud
    chmod 755 $state
    chmod 700 $state/.ecloud
    echo "python $(python3 -c 'import platform, sys; print("%d.%d" % sys.version_info[:2], platform.machine())')"
    echo "program $(readlink /opt/ecloud/boss || true)"
}

unpack() {
    if [ ! -d "/opt/ecloud/$1" ]; then
        rm -rf "/opt/ecloud/$1.new"
        mkdir "/opt/ecloud/$1.new"
        tar -xzf - -C "/opt/ecloud/$1.new" --no-same-owner
        chmod -R u=rwX,go=rX "/opt/ecloud/$1.new"
        mv "/opt/ecloud/$1.new" "/opt/ecloud/$1"
    else
        cat >/dev/null
    fi
    ln -sfn "$1" /opt/ecloud/boss.new
    mv -T /opt/ecloud/boss.new /opt/ecloud/boss
    for other in /opt/ecloud/boss-*; do
        [ "$other" = "/opt/ecloud/$1" ] || rm -rf "$other"
    done
}

# A boss that is replaced is ended as by a crash: its workers go on, and report to the next one.
start() {
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl enable --quiet ecloud-boss
        if [ "$1" = yes ]; then
            systemctl kill --signal=KILL ecloud-boss 2>/dev/null || true
            systemctl reset-failed ecloud-boss 2>/dev/null || true
        fi
        systemctl start ecloud-boss
        return 0
    fi
    if [ "$1" = yes ] && [ -s /run/ecloud-boss.pid ]; then
        kill -KILL "$(cat /run/ecloud-boss.pid)" 2>/dev/null || true
        sleep 1 # until the kernel has freed its ports and its lock
    fi
    /etc/ecloud/start-boss
}

case ${1:-} in
prepare) prepare ;;
unpack) unpack "$2" ;;
start) start "$2" ;;
*)
    echo "boss-install.sh prepare | unpack DIGEST | start yes|no" >&2
    exit 2
    ;;
esac
