#!/usr/bin/python3
"""browser.py PROGRAM FOLDER: every page of the dashboard and every action, in a headless Chromium, at the width of a phone and of a
desk; pictures go to the folder. Skipped (77) where no browser starts. Against the server that PG* names, in a database of its own."""
import json, os, shutil, subprocess, sys, tempfile

import psycopg
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

program, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
EVIL = '<img src=x onerror="document.title=\'pwned\'">'


def database():
    with psycopg.connect('dbname=postgres', autocommit=True) as c:
        c.execute('DROP DATABASE IF EXISTS dashboard_browser WITH (FORCE)')
        c.execute('CREATE DATABASE dashboard_browser')
    os.environ['PGDATABASE'] = 'dashboard_browser'
    db = psycopg.connect('', autocommit=True)
    db.execute('CREATE EXTENSION chancy')
    db.execute("SELECT chancy.declare_queue(q) FROM unnest('{mail,reports}'::text[]) q")
    db.execute("SELECT count(*) FROM chancy.push_many((SELECT jsonb_agg(jsonb_build_object('func', 'report.build', 'queue', 'reports', 'kwargs', jsonb_build_object('n', n))) FROM generate_series(1, 120) n))")
    db.execute("SELECT chancy.push('mail.send', '{\"to\": \"nobody\"}', 'mail', unique_key => 'mail:1')")
    db.execute('SELECT chancy.push(%s, %s, %s)', (EVIL, json.dumps({'x': EVIL}), 'mail'))
    db.execute("UPDATE chancy.jobs SET scheduled_at = now() - interval '1 hour' WHERE queue = 'reports'")
    db.execute("SELECT chancy.heartbeat('worker-1', '{a}', '{mail}')")
    db.execute("SELECT count(*) FROM chancy.fetch_jobs('mail', 'worker-1', 2)")
    db.execute("""SELECT count(*) FROM chancy.apply_updates('worker-1', (SELECT jsonb_agg(jsonb_build_object('id', id, 'started_at', started_at,
        'outcome', 'failed', 'error', %s::text)) FROM chancy.jobs WHERE state = 'running'))""", ('Traceback (most recent call last):\n  File "mail.py", line 3\nValueError: no @ in ' + EVIL,))
    db.execute("SELECT chancy.schedule_cron('nightly', '0 4 * * *', '{\"func\": \"report.night\", \"queue\": \"reports\"}')")
    db.execute("""SELECT chancy.push_workflow('order', '[{"step": "pay", "func": "pay", "queue": "flow"}, {"step": "pack", "func": "pack", "after": ["pay"]},
        {"step": "bill", "func": "bill", "after": ["pay"]}, {"step": "ship", "func": "ship", "after": ["pack", "bill"]}]')""")
    db.execute("""INSERT INTO chancy.tallies (at, queue, func, outcome, count, ran_sum, waited_sum)
        SELECT date_trunc('minute', now()) - m * interval '1 min', 'mail', 'f', o, 60 + 10 * (m % 7), 30, 90
        FROM generate_series(29, 0, -1) m, unnest('{pushed,succeeded,failed}'::text[]) o""")
    db.execute('SELECT chancy.fold_metrics(10000)')
    return db


def serve():
    run = subprocess.Popen([program, 'dashboard', '--port', '0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    password = run.stdout.readline().split()[-1]
    return run, password, run.stdout.readline().strip()


def chromium(profile):
    options = Options()
    for flag in ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
                 '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--no-proxy-server', f'--user-data-dir={profile}'):
        options.add_argument(flag)
    options.binary_location = shutil.which('chromium')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    try:
        return webdriver.Chrome(service=Service(shutil.which('chromedriver')), options=options)
    except WebDriverException as e:
        print(f'no browser starts here: {e}')
        sys.exit(77)


class Tour:
    def __init__(self, driver, url, db):
        self.d, self.url, self.db = driver, url, db

    def wait(self, what, text=''):
        try:
            return WebDriverWait(self.d, 30, poll_frequency=0.05, ignored_exceptions=[Exception]).until(lambda d: what())
        except Exception:
            self.picture('failed')
            sys.exit(f'never came: {text}\n{self.d.find_element(By.TAG_NAME, "body").text[:2000]}')

    def open(self, page, title):
        self.d.get(self.url + '#/' + page)
        self.wait(lambda: title in self.d.find_element(By.TAG_NAME, 'h1').text, f'{page}: {title}')
        assert self.d.title != 'pwned'

    def one(self, css):
        return self.d.find_element(By.CSS_SELECTOR, css)

    def press(self, text):
        self.wait(lambda: next(b for b in self.d.find_elements(By.TAG_NAME, 'button') if b.text == text).click() or True, text)

    def click(self, css):
        self.wait(lambda: self.one(css).click() or True, css)

    def confirm(self):
        self.wait(lambda: self.d.switch_to.alert.accept() or True, 'a question')

    def said(self, text):
        self.wait(lambda: text in self.one('#status').text, f'said {text}')

    def picture(self, name):
        self.d.save_screenshot(f'{folder}/{name}.png')

    def put(self, css, text):
        self.one(css).clear()
        self.one(css).send_keys(text)

    def ask(self, sql):
        return self.db.execute(sql).fetchone()[0]


def actions(t):
    # The failing job: found on the first page, read, corrected, pushed anew.
    t.open('', 'Overview')
    t.wait(lambda: 'ValueError: no @ in' in t.one('main').text, 'the error')
    failed = t.ask("SELECT id FROM chancy.jobs WHERE func = 'mail.send'")
    t.click(f'a[href="#/job/{failed}"]')
    t.wait(lambda: 'Traceback' in t.one('main').text, 'the traceback')
    t.click('summary')
    t.put('textarea', '{"to": "a@b.c"}')
    t.press('Push the copy')
    t.wait(lambda: t.ask("SELECT count(*) FROM chancy.jobs WHERE kwargs ->> 'to' = 'a@b.c' AND state = 'pending'") == 1, 'the copy')
    t.wait(lambda: 'a@b.c' in t.one('main').text and 'pending' in t.one('h1').text, 'the page of the copy')
    t.press('Cancel')
    t.said('Cancel: done')
    t.press('Retry')
    t.said('Retry: done')
    t.open('jobs', 'Jobs')
    t.click('details summary')
    t.put('details input[name=func]', 'by.hand')
    t.put('details textarea[name=kwargs]', '{"to": nobody}')
    t.press('Push')
    t.wait(lambda: 'Must be a JSON object' in t.one('details label .bad').text, 'what is wrong, at the field')
    t.picture('wrong')
    t.put('details textarea[name=kwargs]', '{"to": "nobody"}')
    t.press('Push')
    t.wait(lambda: t.one('h1').text.startswith('by.hand'), 'the pushed job')
    t.open('jobs?queue=reports&state=pending', 'Jobs')
    t.press('Cancel all of these')
    t.confirm()
    t.said('Cancel: 120 of 120')
    t.open('jobs?queue=reports&state=failed', 'Jobs')
    t.press('Retry all of these')
    t.confirm()
    t.said('Retry: 120 of 120')
    t.open('queue/mail', 'mail')
    t.press('Pause')
    t.said('Pause: done')
    assert t.ask("SELECT state FROM chancy.queues WHERE name = 'mail'") == 'paused'
    t.press('Resume')
    t.said('Resume: done')
    t.open('schedules', 'Schedules')
    t.press('Run now')
    t.wait(lambda: t.ask("SELECT count(*) FROM chancy.jobs WHERE func = 'report.night'") == 1, 'the run')
    t.press('Pause')
    t.said('Pause: done')
    t.press('Resume')
    t.said('Resume: done')
    t.open('workflow/' + str(t.ask('SELECT id FROM chancy.workflows')), 'order')
    t.press('Cancel')
    t.said('Cancel: done')
    t.press('Retry')
    t.said('Retry: done')
    # A step that failed because of its payload: on with another one.
    pay = t.ask("SELECT id FROM chancy.jobs WHERE func = 'pay'")
    assert t.ask(f"SELECT chancy.cancel_job('{pay}')")
    t.open('workflow/' + str(t.ask('SELECT id FROM chancy.workflows')), 'failed')
    t.click(f'a[href="#/job/{pay}"]')
    t.wait(lambda: 'Error 2 of 2: attempt 1' in t.one('main').text and 'workflow' in t.one('dl').text, 'the job of the step')
    t.click('summary')
    t.put('textarea', '{"card": 17}')
    t.press('Retry with these kwargs')
    t.said('Retry: done')
    assert t.ask("SELECT kwargs ->> 'card' FROM chancy.jobs WHERE func = 'pay'") == '17'
    assert t.ask('SELECT status FROM chancy.list_workflows()') == 'running'


def mistakes(t, password):
    # What is not there says so.
    for page, title in (('job/00000000-0000-0000-0000-000000000000', 'Not found'), ('job/abc', 'That did not work'), ('queue/nosuch', 'Not found'), ('workflow/00000000-0000-0000-0000-000000000000', 'Not found'),
                        ('jobs?state=fialed', 'That did not work'), ('nosuch', 'Not found'), ('constructor', 'Not found')):
        t.open(page, title)
        assert t.one('main .bad').text, page
    # A message is in sight wherever the page has been scrolled to.
    job = t.ask("SELECT chancy.push('mistake', '{\"n\": 1}', 'reports', 9)")
    assert t.ask(f"SELECT chancy.cancel_job('{job}')")
    t.open(f'job/{job}', 'mistake')
    t.click('summary')
    t.put('textarea', '{"n": 2}')
    t.put('details input[name=queue]', 'elsewhere')
    t.press('Retry with these kwargs')
    t.said('in a copy only')
    t.d.execute_script('window.scrollTo(0, document.body.scrollHeight)')
    assert t.d.execute_script("return document.getElementById('status').getBoundingClientRect().top") >= 0
    t.put('details input[name=queue]', 'reports')
    # The other Retry would forget what was typed.
    t.d.execute_script('window.scrollTo(0, 0)')
    t.press('Retry')
    t.wait(lambda: 'is not used' in t.d.switch_to.alert.text and (t.d.switch_to.alert.dismiss() or True), 'a question')
    # Too large.
    t.d.execute_script("document.querySelector('textarea').value = JSON.stringify({ n: 'x'.repeat(1100000) })")
    t.press('Retry with these kwargs')
    t.said('1 MiB')
    t.d.execute_script("document.querySelector('textarea').value = '{\"n\": 3}'")
    # The session ends; a log-in in another tab, and on.
    t.d.delete_all_cookies()
    t.press('Retry with these kwargs')
    t.said('the session has ended')
    t.picture('ended')
    first = t.d.current_window_handle
    t.click('#status a')
    t.wait(lambda: len(t.d.window_handles) == 2, 'the other tab')
    t.d.switch_to.window(next(w for w in t.d.window_handles if w != first))
    t.wait(lambda: t.one('input[name=name]'), 'the log-in')
    t.put('input[name=name]', 'admin')
    t.put('input[name=password]', password)
    t.one('input[name=password]').send_keys(Keys.ENTER)
    t.wait(lambda: t.one('h1').text == 'Overview', 'the overview')
    t.d.close()
    t.d.switch_to.window(first)
    t.press('Retry with these kwargs')
    t.said('Retry: done')
    assert t.ask(f"SELECT kwargs ->> 'n' FROM chancy.get_job('{job}')") == '3'
    # What has succeeded does not run again by one click.
    t.ask("SELECT count(*) FROM chancy.fetch_jobs('reports', 'worker-1', 1)")
    assert t.ask(f"SELECT state FROM chancy.apply_updates('worker-1', (SELECT jsonb_build_array(jsonb_build_object('id', id, 'started_at', started_at, 'outcome', 'succeeded')) FROM chancy.get_job('{job}')))")
    t.open(f'job/{job}', 'succeeded')
    t.press('Retry')
    t.wait(lambda: 'Run it once more?' in t.d.switch_to.alert.text and (t.d.switch_to.alert.dismiss() or True), 'a question')
    assert t.ask(f"SELECT state FROM chancy.get_job('{job}')") == 'succeeded'
    t.open('queue/reports', 'reports')
    t.press('Pause')
    t.wait(lambda: 'Paused: nobody takes its jobs' in t.one('main').text, 'what paused means')


def last_actions(t):
    t.open('schedules', 'Schedules')
    t.press('Delete')
    t.confirm()
    t.wait(lambda: t.ask('SELECT count(*) FROM chancy.cron') == 0, 'no schedule')
    t.open('queue/reports', 'reports')
    t.press('Delete the queue')
    t.confirm()
    t.wait(lambda: t.ask("SELECT count(*) FROM chancy.queues WHERE name = 'reports'") == 0, 'no queue')
    t.press('Log out')
    t.wait(lambda: t.one('input[name=password]'), 'the log-in')


def pictures(t):
    workflow, job = t.ask('SELECT id FROM chancy.workflows'), t.ask("SELECT id FROM chancy.jobs WHERE func LIKE '<img%'")
    pages = [('', 'Overview'), ('queues', 'Queues'), ('queue/mail', 'mail'), ('queue/reports', 'reports'), ('jobs', 'Jobs'), (f'job/{job}', ''), ('workers', 'Workers'), ('schedules', 'Schedules'),
             ('workflows', 'Workflows'), (f'workflow/{workflow}', 'order'), ('locks', 'Locks')]
    for width, name, theme in ((390, 'phone', 'dark'), (1280, 'desk', 'light')):
        t.d.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {'width': width, 'height': 900, 'deviceScaleFactor': 1, 'mobile': False})
        t.d.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [{'name': 'prefers-color-scheme', 'value': theme}]})
        for page, title in pages:
            t.open(page, title)
            across = t.d.execute_script('return document.documentElement.scrollWidth')
            assert across <= width, f'{page} is {across} wide at {width}'
            bare = t.d.execute_script("return [...document.querySelectorAll('main input, main select, main textarea')].filter(e => !e.labels.length).map(e => e.name)")
            assert not bare, f'{page}: without a label: {bare}'
            t.picture(f'{name}-{page.split("/")[0] or "overview"}')


def main():
    db = database()
    run, password, url = serve()
    with tempfile.TemporaryDirectory() as profile:
        try:
            driver = chromium(profile)
        except SystemExit:
            run.terminate()
            raise
        try:
            t = Tour(driver, url, db)
            driver.get(url)
            t.wait(lambda: t.one('input[name=name]'), 'the log-in')
            t.picture('login')
            t.put('input[name=name]', 'admin')
            t.put('input[name=password]', 'wrong')
            t.one('input[name=password]').send_keys(Keys.ENTER)
            t.said('No such user')
            t.put('input[name=password]', password)
            t.one('input[name=password]').send_keys(Keys.ENTER)
            t.wait(lambda: t.one('h1').text == 'Overview', 'the overview')
            with psycopg.connect('') as idle:
                idle.execute("SELECT 1 FROM chancy.jobs WHERE queue = 'reports' LIMIT 3 FOR UPDATE")
                end = f'SELECT pg_terminate_backend({idle.info.backend_pid})'
                t.wait(lambda: 'no worker serves it' in t.one('main').text and 'no live worker' in t.one('main').text, 'what doctor finds')
                t.open('queue/reports', 'reports')
                t.wait(lambda: '3 of the first 120 due' in t.one('main').text and end in t.one('main').text, 'who holds its jobs')
                assert 'no live worker serves it' in t.one('main').text
                t.open('locks', 'Locks')
                t.wait(lambda: 'idle in transaction' in t.one('main').text and end in t.one('main').text and str(idle.info.backend_pid) in t.one('main').text, 'who holds back')
                pictures(t)
            def nothing_wrong(*but):
                wrong = [e['message'] for e in driver.get_log('browser') if e['level'] == 'SEVERE' and not any(status in e['message'] for status in but)]
                assert not wrong, wrong
            actions(t)
            # 401 before the log-in and for the wrong password is what is to be; nothing else may be wrong, the policy above all.
            nothing_wrong('401')
            mistakes(t, password)
            nothing_wrong('status of 400', 'status of 401', 'status of 403', 'status of 404', 'status of 413')
            last_actions(t)
            nothing_wrong('401')
        finally:
            driver.quit()
            run.terminate()
            assert run.wait() == 0


main()
