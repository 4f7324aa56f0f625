# Bash itself, without starting anything: arrays, strings, arithmetic, functions.
declare -A count
sum=0
word() { printf -v "$1" 'w%d' $(($2 * 7919 % 1000)); }
for ((i = 0; i < @N@; i++)); do
	word w "$i"
	count[$w]=$((${count[$w]:-0} + 1))
	case $w in
	*7) sum=$((sum + ${#w})) ;;
	*3*) sum=$((sum ^ i)) ;;
	esac
	t=${w/w/x}${w:1}
	[[ $t =~ ^x([0-9]+) ]] && sum=$((sum + BASH_REMATCH[1]))
done
echo "$sum ${#count[@]}"
