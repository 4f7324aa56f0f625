# A shell loop of short commands: busybox, static.
i=0
sum=0
while [ $i -lt @N@ ]; do
	/bin/busybox true
	sum=$(/bin/busybox expr $sum + $i)
	i=$((i + 1))
done
echo $sum
