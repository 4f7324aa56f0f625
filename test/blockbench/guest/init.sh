#!/bin/busybox sh
# The first program of a guest whose disks are measured. /dev/vda has Debian's fio; the disks under test are behind it. Each line on the
# console is run as a command of the shell, in the file system of /dev/vda, and answered by its output between "@block begin" and "@block end STATUS".

export PATH=/bin HOME=/root LC_ALL=C TMPDIR=/tmp
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
$bb mount -t tmpfs tmp /tmp
$bb stty -echo
while read -r module; do
    $bb insmod "$module" || echo "insmod $module failed"
done </bench/modules
$bb mount -t ext4 -o noatime /dev/vda /mnt || echo "mount failed"
for dir in tmp proc sys dev; do
    $bb mkdir -p /mnt/$dir
    $bb mount -o bind /$dir /mnt/$dir || echo "mount $dir failed"
done

# rested is for how many hundredths of a second the processor has had nothing to do.
rested() {
    read -r _ idle </proc/uptime
    echo $((${idle%.*} * 100 + 1${idle#*.} - 100))
}

# A kernel tests its cryptography behind the boot: nothing is measured before it has come to rest, or half a minute has passed.
for _ in $($bb seq 100); do
    before=$(rested)
    $bb usleep 250000
    [ $(($(rested) - before)) -lt 22 ] || break
done
echo "@block ready"
while read -r line; do
    echo "@block begin"
    PATH=/usr/bin:/usr/sbin:/bin:/sbin $bb chroot /mnt /bin/bash -c "$line" </dev/null 2>&1
    echo "@block end $?"
done
