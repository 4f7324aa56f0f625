# The same kind of loop with Debian's bash and coreutils, dynamically linked.
sum=0
for ((i = 0; i < @N@; i++)); do
	/usr/bin/true
	sum=$(/usr/bin/expr $sum + $i)
done
echo $sum
