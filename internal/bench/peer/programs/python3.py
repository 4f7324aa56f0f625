# What scripts do: dictionaries, strings, classes, sorting, JSON, regular expressions, large integers.
import hashlib, json, re


class Account:
    def __init__(self, name):
        self.name, self.balance, self.log = name, 0, []

    def post(self, amount):
        self.balance += amount
        self.log.append((len(self.log), amount))


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


digest = hashlib.sha256()
seed = 1
for turn in range(@N@):
    accounts = {}
    for _ in range(4000):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        name = f"n{seed >> 54}"
        accounts.setdefault(name, Account(name)).post((seed >> 20) % 1000 - 400)
    rows = sorted(accounts.values(), key=lambda a: (a.balance, a.name))
    text = json.dumps([{"name": a.name, "balance": a.balance, "log": a.log} for a in rows])
    back = json.loads(text)
    numbers = [int(m) for m in re.findall(r'"balance": (-?\d+)', text)]
    assert numbers == [a["balance"] for a in back]
    big = 3**2000 // 7**300 + sum(x * x for x in numbers)
    digest.update(f"{text} {big} {fib(16)}".encode())
print(digest.hexdigest()[:32])
