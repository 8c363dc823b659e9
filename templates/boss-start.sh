#!/bin/sh
# Start script of the boss's machine (START_SCRIPT in its CONTEXT, made by admin.py deploy): run as root at every boot.
# It installs nothing: it lets the deploy in, at a host key that the deploy knows, and starts a boss that is there already.
set -eu
umask 077
own=/etc/ecloud/deploy/own

if [ ! -e /etc/ecloud/deploy/done ]; then
    # The machine's own keys are kept aside; the deploy reads them, and puts them back.
    if [ ! -d $own ]; then
        ssh-keygen -A >/dev/null
        rm -rf $own.new
        mkdir -p $own.new
        cp -p /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub $own.new/
        mv $own.new $own
    fi
    echo "$ECLOUD_FIRST_HOST_KEY" | base64 -d >/etc/ssh/ssh_host_ed25519_key.new
    mv /etc/ssh/ssh_host_ed25519_key.new /etc/ssh/ssh_host_ed25519_key
    ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key >/etc/ssh/ssh_host_ed25519_key.pub
    if [ -d /run/systemd/system ]; then
        systemctl reload ssh 2>/dev/null || systemctl reload sshd 2>/dev/null || true
    elif [ -s /run/sshd.pid ]; then
        kill -HUP "$(cat /run/sshd.pid)"
    fi
fi

mkdir -p /root/.ssh
key=$(echo "$ECLOUD_DEPLOY_KEY" | base64 -d)
touch /root/.ssh/authorized_keys
grep -qxF -- "$key" /root/.ssh/authorized_keys || printf '%s\n' "$key" >>/root/.ssh/authorized_keys

# With systemd its unit does that.
if [ -x /etc/ecloud/start-boss ] && [ ! -d /run/systemd/system ]; then
    /etc/ecloud/start-boss
fi
