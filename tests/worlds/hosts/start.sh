#!/bin/sh
# The first process of a host, in namespaces of its own: makes its disk, hides this machine's files, starts its sshd.
# From the environment: HOST_NAME, HOST_BASE (an empty directory), HOST_DISK and HOST_HOME_DISK (sizes as tmpfs takes
# them), HOST_USER, HOST_USER_ID, HOST_SSH_USERS (who
# may log in), HOST_PYTHON, HOST_ENVIRONMENT (where a virtual environment is to be made), and lists,
# one a line: HOST_HIDE (directories), HOST_SHOW (pairs of directories: source, place), HOST_DISKS (the same, to be
# written to), HOST_HIDE_THEN (directories beneath those).
# Says its process number on standard output when it is up. It sees this machine's /proc until its root is changed.
set -eu
read -r number _ </proc/self/stat
base=$HOST_BASE root=$HOST_BASE/root
newline='
'

disk() { mkdir -p "$2" && mount -t tmpfs -o "mode=$1${3:+,size=$3}" tmpfs "$2"; }

mount --make-rprivate /
disk 755 "$base" "$HOST_DISK"
mkdir "$base/upper" "$base/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" overlay "$root"

IFS=$newline
for place in $HOST_HIDE; do
    [ ! -d "$root$place" ] || disk 755 "$root$place"
done
disk 755 "$root/home" "$HOST_HOME_DISK"
disk 711 "$root/root" # a Python that was installed there is shown below
disk 1777 "$root/tmp"
disk 1777 "$root/var/tmp"
disk 755 "$root/run"
disk 755 "$root/dev"
source=
for place in $HOST_SHOW; do
    if [ -z "$source" ]; then
        source=$place
    else
        mkdir -p "$root$place"
        mount --bind "$source" "$root$place"
        mount -o remount,bind,ro "$root$place"
        source=
    fi
done
source=
for place in $HOST_DISKS; do
    if [ -z "$source" ]; then
        source=$place
    else
        mkdir -p "$root$place"
        mount --bind "$source" "$root$place"
        source=
    fi
done
for place in $HOST_HIDE_THEN; do
    [ ! -d "$root$place" ] || disk 755 "$root$place"
done
unset IFS
mkdir -p "$root$HOST_ENVIRONMENT/bin"
echo "home = ${HOST_PYTHON%/*}" >"$root$HOST_ENVIRONMENT/pyvenv.cfg"
ln -s "$HOST_PYTHON" "$root$HOST_ENVIRONMENT/bin/python3"
ln -s python3 "$root$HOST_ENVIRONMENT/bin/python"

mount -t proc proc "$root/proc"
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
disk 1777 "$root/dev/shm"
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"

cd "$root"
mkdir .machine
pivot_root . .machine
umount -l .machine
rmdir .machine

hostname "$HOST_NAME"
printf '127.0.0.1 localhost %s\n' "$HOST_NAME" >/etc/hosts
for file in passwd group shadow; do
    sed -i "/^$HOST_USER:/d" "/etc/$file"
done
echo "$HOST_USER:x:$HOST_USER_ID:$HOST_USER_ID::/home/$HOST_USER:/bin/sh" >>/etc/passwd
echo "$HOST_USER:x:$HOST_USER_ID:" >>/etc/group
echo "$HOST_USER:*:19000:0:99999:7:::" >>/etc/shadow # "!" would lock the account: sshd without PAM refuses it then
mkdir -p "/home/$HOST_USER/.ssh" /run/sshd
chmod 700 "/home/$HOST_USER" "/home/$HOST_USER/.ssh"
chown -R "$HOST_USER_ID:$HOST_USER_ID" "/home/$HOST_USER"

rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C "$HOST_NAME" -f /etc/ssh/ssh_host_ed25519_key
cat >/etc/ssh/sshd_config <<END
HostKey /etc/ssh/ssh_host_ed25519_key
AllowUsers $HOST_SSH_USERS
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
LogLevel VERBOSE
Subsystem sftp internal-sftp
END
# Who halts this machine ends all that runs on it, politely, and then it: its first process takes that for the order.
for name in poweroff halt shutdown; do
    rm -f "/usr/sbin/$name"
    cat >"/usr/sbin/$name" <<'END'
#!/bin/sh
kill -TERM -1
tries=0
while sleep 0.1; do # by then the first one has a new sleep
    tries=$((tries + 1))
    set -- /proc/[0-9]*
    [ $# -gt 3 ] && [ $tries -lt 50 ] || break # the first one, its sleep, and this one
done
kill -USR1 1
END
    chmod 755 "/usr/sbin/$name"
done

sshd=$(command -v sshd || echo /usr/sbin/sshd)
"$sshd" -E /var/log/sshd.log

echo "$number"
exec </dev/null >/dev/null 2>&1
trap 'exit 0' USR1
# This shell waits for whatever is left over by others, as the first process of a machine does.
while :; do
    sleep 1000 &
    wait $! || : # who ends everything ends the sleep as well
done
