# Random cron expressions and instants, and what Debian's croniter makes of them, against chancy.next_runs().
#   cron_oracle.py COUNT SEED     on the database that PG* names
#
# Left out of the random expressions, since croniter 1.3.5 means something else or nothing by it (docs/sql-cron.md):
# * in a list, 7 as a day of the week in six fields, W, LW, L-n, 5L, ranges over the end of a field, L and # beside a
# restricted day of the other kind. And where days after the 28th are wanted croniter passes by the first of a month now and then: a
# difference there is judged by walking through the days. Newer ones (6.2.4) let n/step and n-n begin anew behind the end of the field:
# they are not asked about these.
import calendar
import datetime
import importlib.metadata
import random
import subprocess
import sys

from croniter import croniter

count, seed = int(sys.argv[1]), int(sys.argv[2])
dice = random.Random(seed)
utc = datetime.timezone.utc
months = "jan feb mar apr may jun jul aug sep oct nov dec".split()
weekdays = "sun mon tue wed thu fri sat".split()
ticks = 4
wraps = int(importlib.metadata.version("croniter").split(".")[0]) > 2


def name(text):
    return "".join(c.upper() if dice.random() < 0.5 else c for c in text)


def element(low, high, names, offset):
    def value(v):
        if names and v - offset < len(names) and dice.random() < 0.4:
            return name(names[v - offset])
        return str(v)

    kind = dice.random()
    if kind < 0.45:
        return value(dice.randint(low, high))
    if kind < 0.7:
        a, b = sorted(dice.sample(range(low, high + 1), 2) if wraps else (dice.randint(low, high), dice.randint(low, high)))
        step = "/%d" % dice.randint(1, high) if dice.random() < 0.4 else ""
        return "%s-%s%s" % (value(a), value(b), step)
    if kind < 0.9 or wraps:
        return "*/%d" % dice.randint(1, high + 3)
    return "%d/%d" % (dice.randint(low, high), dice.randint(1, high))


def field(low, high, star, names=None, offset=0):
    if dice.random() < star:
        return "*"
    return ",".join(element(low, high, names, offset) for _ in range(dice.choice((1, 1, 1, 2, 3))))


# The days that a day of the month and a day of the week mean, by the rules as they are written down.
def days_by_hand(day, weekday, year, month):
    def values(text, low, high, names, offset):
        found = set()
        for part in text.lower().split(","):
            if part == "l":
                found.add(last)
                continue
            part, _, step = part.partition("/")
            a, _, b = part.partition("-")
            number = lambda v: names.index(v) + offset if v in names else int(v)
            a, b = (low, high) if a == "*" else (number(a), number(b) if b else high if step else number(a))
            found |= set(range(a, b + 1, int(step or 1)))
        return found

    last = calendar.monthrange(year, month)[1]
    d = values(day, 1, 31, [], 0)
    # 5#2 is the second Friday, L5 the last one.
    nth = [part.lower().partition("#") for part in weekday.split(",") if "#" in part]
    nth = {(weekdays.index(v) if v in weekdays else int(v) % 7, int(n)) for v, _, n in nth}
    ends = {int(part[1:]) % 7 for part in weekday.lower().split(",") if part[0] == "l"}
    plain = [part for part in weekday.split(",") if "#" not in part and part[0] not in "lL"]
    w = {v % 7 for v in values(",".join(plain), 0, 7, weekdays, 0)} if plain else set()
    for n in range(1, last + 1):
        of_week = (calendar.weekday(year, month, n) + 1) % 7
        by_day = n in d
        by_weekday = of_week in w or (of_week, (n + 6) // 7) in nth or (of_week in ends and n + 7 > last)
        if (by_weekday if len(d) == 31 else by_day if len(w) == 7 else by_day or by_weekday):
            yield n


# Is every tick on a day that is meant, and is there no such day in a month that is meant between two of them?
def right_days(text, at, found):
    fields = text.split()
    months_meant = {t.month for t in found}
    for before, after in zip([at] + found, found):
        day = before.date() + datetime.timedelta(days=1)
        while day < after.date():
            if day.month in months_meant and day.day in days_by_hand(fields[2], fields[4], day.year, day.month):
                return False
            day += datetime.timedelta(days=1)
    return all(t.day in days_by_hand(fields[2], fields[4], t.year, t.month) for t in found)


def expression():
    if dice.random() < 0.02:
        return name(dice.choice("@yearly @annually @monthly @weekly @daily @midnight @hourly".split()))
    six = dice.random() < 0.4
    day, weekday = field(1, 31, 0.6), field(0, 6 if six else 7, 0.6, weekdays)
    while six and "/" in weekday:
        weekday = field(0, 6, 0.6, weekdays)
    special = dice.random()
    if special < 0.06:
        day, weekday = dice.choice(("L", "l", "15,L", "L,1")), "*"
    elif special < 0.12:
        day = "*"
        weekday = ",".join("%s#%d" % (dice.choice((str(d), weekdays[d])), dice.randint(1, 5)) for d in dice.sample(range(7), dice.randint(1, 2)))
    elif special < 0.16:
        day, weekday = "*", "L%d" % dice.randint(0, 6)
    fields = [field(0, 59, 0.3), field(0, 23, 0.4), day, field(1, 12, 0.6, months, 1), weekday]
    if six:
        fields.append(field(0, 59, 0.2))
    return dice.choice((" ", "  ", "\t")).join(fields)


cases = []
while len(cases) < count:
    text = expression()
    at = datetime.datetime.fromtimestamp(dice.randint(631152000, 2840140800), utc)
    try:
        there = croniter(text, at)
        expected = [there.get_next(datetime.datetime) for _ in range(ticks)]
    except Exception as e:  # no such day within croniter's 50 years, or it does not accept it
        expected = type(e).__name__
    cases.append((text, at, expected))

script = ["CREATE TEMP TABLE c (n int, e text, t timestamptz); COPY c FROM stdin;"]
script += ["%d\t%s\t%s" % (i, text.replace("\t", "\\t"), at.isoformat()) for i, (text, at, _) in enumerate(cases)]
script += ["\\.", """CREATE FUNCTION pg_temp.ticks(e text, t timestamptz) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT string_agg(extract(epoch FROM tick)::bigint::text, ' ' ORDER BY tick) FROM chancy.next_runs(e, 'UTC', %d, t));
EXCEPTION WHEN invalid_parameter_value THEN RETURN 'refused ' || SQLERRM;
END $$;
SELECT n, pg_temp.ticks(e, t) FROM c ORDER BY n;""" % ticks]
answer = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-F", "\t"], input="\n".join(script), capture_output=True, text=True)
if answer.returncode != 0:
    sys.exit(answer.stderr)
wrong = compared = refused = croniters = 0
for line in answer.stdout.splitlines():
    n, got = line.split("\t", 1)
    text, at, expected = cases[int(n)]
    if isinstance(expected, str):
        refused += 1
        if got.startswith("refused"):
            continue
        # croniter looks no further than 50 years; nothing else of the above does it refuse.
        want = expected
        good = expected == "CroniterBadDateError"
    else:
        compared += 1
        want = " ".join(str(calendar.timegm(t.timetuple())) for t in expected)
        good = got == want
    if not good and not isinstance(expected, str) and not got.startswith("refused"):
        ours = [datetime.datetime.fromtimestamp(int(t), utc) for t in got.split()]
        if right_days(text, at, ours) and not right_days(text, at, expected):
            croniters += 1
            continue
    if not good:
        wrong += 1
        if wrong <= 20:
            print("%r after %s: %s, croniter %s" % (text, at.isoformat(), got, want))
print("%d compared, %d that croniter has no answer for, %d where croniter is wrong, %d differ (seed %d)" % (compared, refused, croniters, wrong, seed))
sys.exit(wrong > 0 or croniters > count / 100 or compared < count * 0.9)
