#!/bin/busybox sh
# The first program of the default guest: brings up the kernel's interfaces, loads the modules it was given, and becomes init.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
bb=/bin/busybox

$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs dev /dev 2>/dev/null

# What is needed at once is loaded now; for the rest, a file system say, the kernel calls /sbin/modprobe.
$bb ln -s vm "/lib/modules/$($bb uname -r)"
while read -r m; do
    $bb insmod "/lib/modules/vm/$m.ko" || echo "vm: loading $m failed" >/dev/kmsg
done </.vm/load

# Only the boot is spared the tests of ciphers: those of modules that come later run.
notests=/sys/module/cryptomgr/parameters/notests
[ ! -e $notests ] || echo N >$notests

$bb mkdir -p /dev/pts /dev/shm /tmp /run /root /mnt
$bb mount -t devpts devpts /dev/pts
$bb mount -t tmpfs tmpfs /dev/shm
[ -e /dev/fd ] || $bb ln -s /proc/self/fd /dev/fd
[ -e /dev/stdin ] || { $bb ln -s fd/0 /dev/stdin; $bb ln -s fd/1 /dev/stdout; $bb ln -s fd/2 /dev/stderr; }
$bb --install -s /bin 2>/dev/null
$bb hostname vm
$bb ip link set lo up 2>/dev/null

# busybox's init is process 1: it collects orphans, and poweroff, halt and reboot reach it. It runs /.vm/run once.
echo '::once:/.vm/run' >/etc/inittab
exec $bb init
