#!/usr/bin/env bash
# PyPI cron-converter 2.0.2: with a day of the month and a day of the week, a job runs only when both are true.
#
# Expected: cron(5), and the CronJob of Kubernetes as well: if both are restricted, either is enough; cronsim 2.8 does so.
# Seen: "0 0 1 * 1", the first of the month and every Monday, runs on the 1 June that is a Monday and not tomorrow, 1 February. A page that tells with it when
# a CronJob runs next is off by months.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m pip install -q --disable-pip-version-check --target lib cron-converter==2.0.2 cronsim==2.8 2> /dev/null
cat > main.py <<'END'
from datetime import datetime
from cron_converter import Cron
from cronsim import CronSim

start = datetime(2026, 1, 31)
for text in ("0 0 1 * *", "0 0 * * 1", "0 0 1 * 1"):
    schedule, other = Cron(text).schedule(start), CronSim(text, start)
    print(text, *(schedule.next().date() for _ in range(3)), "cronsim", *(next(other).date() for _ in range(3)))
END
seen=$(PYTHONPATH=lib python3 main.py)
expected='0 0 1 * * 2026-02-01 2026-03-01 2026-04-01 cronsim 2026-02-01 2026-03-01 2026-04-01
0 0 * * 1 2026-02-02 2026-02-09 2026-02-16 cronsim 2026-02-02 2026-02-09 2026-02-16
0 0 1 * 1 2026-06-01 2027-02-01 2027-03-01 cronsim 2026-02-01 2026-02-02 2026-02-09'
printf 'cron-converter 2.0.2:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
