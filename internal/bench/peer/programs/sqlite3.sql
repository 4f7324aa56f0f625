PRAGMA journal_mode = MEMORY;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, kind INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < @N@)
INSERT INTO item SELECT i, printf('item-%d', i * 7919 % @N@), i * 31337 % 10007, i % 97 FROM n;
CREATE INDEX item_name ON item(name);
CREATE INDEX item_kind ON item(kind, price);
UPDATE item SET price = price + 1 WHERE kind % 3 = 0;
DELETE FROM item WHERE price % 11 = 0;
SELECT count(*), sum(price), max(name) FROM item;
SELECT sum(a.price * b.kind) FROM item a JOIN item b ON b.name = 'item-' || (a.id % 5000) WHERE a.kind < 40;
SELECT sum(c * m) FROM (SELECT kind, count(*) c, max(price) m FROM item GROUP BY kind ORDER BY m DESC);
SELECT count(*) FROM item WHERE name LIKE '%99%' OR price BETWEEN 100 AND 300;
