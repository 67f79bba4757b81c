"""The page asked as an attacker would: names, other people's cells, other pages, what is left behind."""

from __future__ import annotations

import json
import time

import html_checker
import page_server

from bloodcell_jax.serving import uploaded_name

HOSTILE = '../../etc/</script><img src=x onerror=alert(1)>.png'


def test_a_hostile_name_names_no_other_file_and_becomes_no_html(server):
  browser = server.browser()
  outside = set(server.folder.parent.rglob('*'))
  assert browser.upload(HOSTILE, page_server.cell_png(0))[0] == 200
  photograph = page_server.only(browser.analysed())
  assert photograph['file'] == uploaded_name.cleaned(HOSTILE)
  assert not photograph['file'].startswith(('.', '/'))
  assert {
    path for path in set(server.folder.parent.rglob('*')) - outside if server.folder not in path.parents
  } == set()
  text = browser.ask('GET', '/')[2].decode()
  assert '<img src=x' not in text
  assert (
    html_checker.check(text.replace('<input', '<br').replace('<progress', '<br').replace('</progress>', ''))
    == []
  )


def test_two_people_do_not_see_each_others_photographs(server):
  one, two = server.browser(), server.browser()
  one.upload('a.png', page_server.cell_png(0))
  photograph = page_server.only(one.analysed())
  addresses = [
    f'/photographs/{photograph["id"]}/large.jpg', f'/cells/{photograph["id"]}/1.jpg',
    f'/cells/{photograph["id"]}/1-heat.png',
  ]  # fmt: skip
  for address in addresses:
    assert one.ask('GET', address)[0] == 200
    assert two.ask('GET', address)[0] == 404
    assert two.ask('GET', address, Cookie='')[0] == 410
    assert two.ask('GET', address, Cookie='bloodcell_1=x')[0] == 410
  assert two.state()['photographs'] == []
  assert (
    two.post('/labels', {'cells': [photograph['cells'][0]['id']], 'label': 'MONOCYTE', 'since': 0})[0] == 422
  )
  assert one.state()['labels']['MONOCYTE'] == 0
  assert two.ask('GET', '/export/labels.csv')[0] == 422
  assert 'HttpOnly' in one.set_cookie
  assert 'SameSite=strict' in one.set_cookie
  assert len(photograph['id']) >= 20, 'not to be guessed'


def test_only_the_page_itself_is_answered(server):
  browser = server.browser()
  own = f'127.0.0.1:{server.port}'
  for host in (
    'evil.example',
    f'evil.example:{server.port}',
    '127.0.0.1',
    f'127.0.0.1:{server.port + 1}',
    '0.0.0.0',
  ):
    assert browser.ask('GET', '/state', Host=host)[0] == 421, host
  for host in (own, f'localhost:{server.port}'):
    assert browser.ask('GET', '/state', Host=host)[0] == 200
  body = json.dumps({'cells': [], 'label': None, 'since': 0}).encode()
  for wrong in (
    {'Origin': 'http://evil.example'}, {'Origin': 'null'}, {'Origin': f'http://localhost:{server.port}'},
    {'Sec_Fetch_Site': 'cross-site'}, {'Sec_Fetch_Site': 'same-site'}, {'X_Bloodcell_Token': ''},
    {'X_Bloodcell_Token': server.browser().token},
  ):  # fmt: skip
    sent = {name.replace('_', '-'): value for name, value in wrong.items()}
    assert browser.ask('POST', '/labels', body, **sent)[0] == 403, wrong
  assert browser.ask('POST', '/labels', body, Origin=f'http://{own}')[0] == 200
  assert browser.ask('POST', '/labels', body)[0] == 200


def test_every_answer_forbids_what_the_page_does_not_need(server):
  browser = server.browser()
  for path in ('/', '/static/serve.js', '/state', '/nowhere'):
    headers = browser.ask('GET', path)[1]
    assert "default-src 'none'" in headers['content-security-policy']
    assert 'unsafe' not in headers['content-security-policy']
    assert (headers['cache-control'], headers['x-content-type-options']) == ('no-store', 'nosniff')
    assert headers['cross-origin-resource-policy'] == 'same-origin'
    assert 'access-control-allow-origin' not in headers
  assert browser.ask('GET', '/static/..%2fapp.py')[0] == 404


def test_what_is_deleted_is_gone(server):
  browser = server.browser()
  before = set(server.files())
  browser.upload('a.png', page_server.cell_png(0))
  browser.analysed()
  assert set(server.files()) > before
  assert browser.post('/delete', {})[0] == 200
  assert set(server.files()) == before
  assert browser.ask('GET', '/state')[0] == 410
  assert browser.upload('a.png', page_server.cell_png(0))[0] == 410


def test_photographs_are_deleted_after_a_time_without_use_and_sessions_are_limited(tmp_path):
  with page_server.running(tmp_path, minutes=1.5 / 60, num_sessions=2) as server:
    browser = server.browser()
    server.browser()
    browser.upload('a.png', page_server.cell_png(0))
    assert server.files()
    assert b'Too many people' in browser.ask('GET', '/', Cookie='')[2]
    assert browser.ask('GET', '/state')[0] == 200
    end = time.monotonic() + 10
    while server.files() and time.monotonic() < end:
      time.sleep(0.1)
    assert not server.files()
    assert browser.ask('GET', '/state')[0] == 410
    server.browser()
