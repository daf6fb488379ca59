#!/usr/bin/python3
"""prometheus.py PROGRAM: a Prometheus scrapes a dashboard and a worker, as docs/prometheus.md says, and answers every query of the Grafana
dashboard and of the alert rules; what is documented is what there is. Skipped (77) where there is no Prometheus. Against the server
that PG* names, in a database of its own."""
import base64, json, os, re, shutil, socket, subprocess, sys, tempfile, time, urllib.parse, urllib.request

import psycopg

program = sys.argv[1]
root = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))
folder = tempfile.mkdtemp()
started = []


def read(path):
    with open(os.path.join(root, path)) as f:
        return f.read()


def start(*command, **how):
    started.append(subprocess.Popen(command, text=True, **how))
    return started[-1]


def get(url, user=None):
    request = urllib.request.Request(url, headers={'Authorization': 'Basic ' + base64.b64encode(user.encode()).decode()} if user else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def until(what, text):
    for _ in range(300):
        try:
            if got := what():
                return got
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f'never came: {text}')


def run(*command, text=None):
    done = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f'{command}: {done.returncode}\n{done.stdout}')
    return done.stdout


def serve():
    """A dashboard and a worker, with jobs behind them: the processes and their addresses."""
    with psycopg.connect('dbname=postgres', autocommit=True) as c:
        c.execute('DROP DATABASE IF EXISTS prometheus WITH (FORCE)')
        c.execute('CREATE DATABASE prometheus')
    os.environ['PGDATABASE'] = 'prometheus'
    with psycopg.connect('', autocommit=True) as db:
        db.execute('CREATE EXTENSION chancy')
        users = os.path.join(folder, 'users')
        with open(users, 'w') as f:
            f.write(run(program, 'dashboard-user', 'prometheus', text='a long password'))
        dashboard = serve_dashboard('0')
        worker = start(program, 'worker', '--exec', 'good=true', '--exec', 'bad=false', '--metrics', '0', stderr=subprocess.PIPE)
        addresses = [dashboard.stdout.readline()]
        while 'metrics at' not in (line := worker.stderr.readline()):
            assert line, 'the worker has ended'
        addresses.append(line)
        def counted():  # by a connection that has something to do
            for func in ('good', 'bad'):
                run(program, 'push', func)
            db.execute('SELECT chancy.fold_metrics(1000)')
            return db.execute("SELECT count(*) > 0 FROM chancy.metrics WHERE metric_key = 'queue:default:failed'").fetchone()[0]

        until(counted, 'counts')
    return dashboard, worker, [re.search(r'http://([0-9.:]+)', a)[1] for a in addresses]


def serve_dashboard(port):
    return start(program, 'dashboard', '--port', port, '--users', os.path.join(folder, 'users'), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def prometheus(dashboard, worker):
    """One with the configuration that the document shows, but for addresses and paths: its address."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        address = '127.0.0.1:%d' % s.getsockname()[1]
    config = re.search(r'```yaml\n(.*?)```', read('docs/prometheus.md'), re.S)[1]
    for shown, here in (('30s', '1s'), ('/etc/prometheus/chancy.yml', folder + '/rules.yml'), ('/etc/prometheus/chancy.password', folder + '/password'),
                        ('queue.example.com:8017', dashboard), ('worker-1.example.com:8018', worker)):
        assert shown in config, shown
        config = config.replace(shown, here)
    # The rules, but quick: the alert of a fault comes after seconds, not minutes.
    rules = re.sub(r'for: \d+m', 'for: 1s', read('docs/alerts/chancy.yml')).replace('overdue_seconds) > 60', 'overdue_seconds) > 1')
    for name, text in (('config.yml', config), ('rules.yml', rules), ('password', 'a long password')):
        with open(os.path.join(folder, name), 'w') as f:
            f.write(text)
    start('prometheus', '--config.file=' + folder + '/config.yml', '--storage.tsdb.path=' + folder + '/data', '--web.listen-address=' + address,
          '--log.level=error')
    return 'http://' + address + '/api/v1/'


def alarms(ask, dashboard, worker, address):
    """Alerts whose fault can be made in a moment: each fires, and is over when the fault is mended."""
    def firing(*alerts):
        return lambda: {r['metric']['alertname'] for r in ask('ALERTS{alertstate="firing"}')} >= set(alerts)

    def over(*alerts):
        return lambda: not {r['metric']['alertname'] for r in ask('ALERTS')} & set(alerts)

    worker.terminate()  # the only one who runs maintain()
    worker.wait()
    with psycopg.connect('', autocommit=True) as db:
        late = "UPDATE chancy.task_runs SET last_run = now() - interval '1 hour'"
        db.execute(late)
        db.execute('CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE \'refused\'; END$$')
        db.execute('CREATE TRIGGER refuse BEFORE INSERT ON chancy.metrics EXECUTE FUNCTION refuse()')
        db.execute("""SELECT chancy.record_metrics('[{"metric_key": "mine", "value": 1}]')""")
        db.execute('SELECT chancy.maintain()')
        db.execute("DELETE FROM chancy.task_runs WHERE name = 'recovery'")  # as a crash does
        db.execute('ALTER TABLE chancy.jobs SET (autovacuum_enabled = off)')
        db.execute("INSERT INTO chancy.jobs (id, queue, func) SELECT gen_random_uuid(), 'dead', 'f' FROM generate_series(1, 100001)")
        db.execute("DELETE FROM chancy.jobs WHERE queue = 'dead'")
        alerts = 'ChancyMaintenance', 'ChancyTaskFailed', 'ChancyDeadRows'
        until(firing(*alerts), alerts)
        until(lambda: ask('chancy_task_overdue_seconds{task="recovery"} > 1'), 'a task that has never run is overdue')
        db.execute('DROP FUNCTION refuse() CASCADE')
        db.execute(late)
        db.execute('VACUUM chancy.jobs')
        until(lambda: db.execute('SELECT chancy.maintain()') and over(*alerts)(), f'the end of {alerts}')
    dashboard.terminate()
    dashboard.wait()
    until(firing('ChancyDown', 'ChancyMetricsMissing'), 'ChancyDown')
    serve_dashboard(address.split(':')[1])
    until(over('ChancyDown', 'ChancyMetricsMissing'), 'the end of ChancyDown')


def main():
    rules = root + '/docs/alerts/chancy.yml'
    run('promtool', 'check', 'rules', rules)
    run('promtool', 'test', 'rules', root + '/client/tests/alerts.yml')
    dashboard, worker, addresses = serve()
    api = prometheus(*addresses)

    texts = [get(f'http://{addresses[0]}/metrics', 'prometheus:a long password'), get(f'http://{addresses[1]}/metrics')]
    for text in texts:
        run('promtool', 'check', 'metrics', text=text)
    there = set(re.findall(r'^# TYPE (\w+)', ''.join(texts), re.M))
    told = set(re.findall(r'^\| `(\w+)`', read('docs/prometheus.md'), re.M))
    assert there == told, f'not documented: {there - told}; not there: {told - there}'

    def ask(query):
        return json.loads(get(api + 'query?' + urllib.parse.urlencode({'query': query})))['data']['result']

    until(lambda: {r['metric']['job'] for r in ask('sum_over_time(up[1m]) >= 3')} == {'chancy', 'chancy-worker'}, 'scrapes')
    panels = json.loads(read('docs/grafana/chancy.json'))['panels']
    queries = [t['expr'].replace('$__rate_interval', '1m').replace('$queue', '.*') for p in panels for t in p.get('targets', [])]

    # Of the rules: each is evaluated without error, and all series that it speaks of are there.
    known = until(lambda: [r for g in json.loads(get(api + 'rules'))['data']['groups'] for r in g['rules'] if r['health'] != 'unknown'], 'rules')
    for rule in known:
        assert rule['health'] == 'ok', rule
        queries += re.findall(r'\b(?:chancy_\w+|up)\b(?:{[^}]*})?', rule['query'])
    # A scrape that comes too late, on a machine that is busy, takes all of its series away until the next one.
    for query in queries:
        until(lambda: ask(query), f'an answer to {query}')

    alerts = {r['name'] for r in known}
    headings = set(re.findall(r'^### (Chancy\w+)', read('docs/operations.md'), re.M))
    assert alerts == headings, f'without a runbook: {alerts - headings}; without an alert: {headings - alerts}'
    for rule in known:
        assert rule['annotations']['runbook'] == 'docs/operations.md#' + rule['name'].lower(), rule
    alarms(ask, dashboard, worker, addresses[0])
    print(f'{len(there)} metrics, {len(queries)} queries, {len(known)} rules')


if not shutil.which('prometheus'):
    print('there is no Prometheus here')
    sys.exit(77)
try:
    main()
finally:
    for process in reversed(started):
        process.terminate()
        process.wait()
    shutil.rmtree(folder)
