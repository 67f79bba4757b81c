"""The review page in a real browser: filtered, corrected by keyboard, kept, exported; hostile names stay words."""

import csv
import io
import time

import browser
import html_checker
import numpy as np
import pytest
from drawn_review import NAMES, exported, jpeg, write

from bloodcell_jax.base import cell
from bloodcell_jax.data.sources import csv_rows
from bloodcell_jax.inference import review_page


def test_the_least_certain_come_first_and_at_most_so_many(tmp_path):
  classified, rows = write(tmp_path / 'review.html', 30)
  confidence = classified.probs_NK.max(1)[rows]
  assert (np.diff(confidence) >= 0).all()
  assert review_page.in_order(classified, (), 5) == (rows[:5], 0)


def test_those_to_label_next_come_before_the_least_certain(tmp_path):
  classified, rows = write(tmp_path / 'review.html', 30)
  wanted = [rows[20], rows[3]]
  digests = [classified.cells[row].digest for row in wanted]
  rest = [row for row in rows if row not in wanted]
  assert review_page.in_order(classified, digests, 30) == (wanted + rest, 2)
  # A digest that is none of the cells', and fewer places than proposals.
  assert review_page.in_order(classified, ['f' * 16, *digests], 1) == (wanted[:1], 1)


def test_heat_maps_have_a_button_and_a_key_only_where_there_are_some(tmp_path):
  for heat, is_there in (('', False), (jpeg(), True)):
    write(tmp_path / 'review.html', 3, heat=heat)
    text = (tmp_path / 'review.html').read_text()
    assert ('id="heat"' in text) == is_there
    assert ('<kbd>h</kbd> shows' in text) == is_there


def test_each_cell_of_a_photograph_is_labelled_alone_and_exported_with_its_box(tmp_path):
  page = tmp_path / 'review.html'
  boxes = (cell.Box(0, 0, 16, 32), cell.Box(16, 0, 32, 32))
  classified, rows = write(page, 2, boxes=boxes)
  with browser.opened(page, 1280) as driver:
    driver.execute_cdp_cmd('Page.setDownloadBehavior', {'behavior': 'allow', 'downloadPath': str(tmp_path)})
    cards = driver.find_elements('css selector', '.item')
    assert len(cards) == 4
    browser.click(driver, cards[0])
    driver.switch_to.active_element.send_keys('2')
    assert driver.find_element('id', 'status').text == '4 of 4 cells shown, 1 labelled by you'
    first = classified.cells[rows[0]]
    assert f'cell {first.number}' in cards[0].text
    (row,) = exported(driver, tmp_path)
    assert browser.problems(driver, 1280) == []
  assert list(row)[:8] == [
    'file', 'cell', 'left', 'top', 'right', 'bottom', 'sha256_16', 'machine_label',
  ]  # fmt: skip
  assert (row['file'], row['sha256_16'], row['human_label']) == (
    first.file,
    f'sha256:{first.digest}',
    NAMES[1],
  )
  assert [int(row[name]) for name in ('cell', 'left', 'top', 'right', 'bottom')] == [
    first.number,
    *first.box.as_tuple(),
  ]


def test_no_name_becomes_html(tmp_path):
  write(tmp_path / 'review.html', 3)
  text = (tmp_path / 'review.html').read_text()
  assert html_checker.check(text) == []
  assert '<img src=x' not in text
  assert text.count('<script') == 3


def test_labels_are_given_by_keyboard_kept_and_exported(tmp_path):
  page = tmp_path / 'review.html'
  classified, rows = write(page, 30)
  with browser.opened(page, 1280) as driver:
    assert browser.problems(driver, 1280) == []
    driver.execute_cdp_cmd('Page.setDownloadBehavior', {'behavior': 'allow', 'downloadPath': str(tmp_path)})
    cells = driver.find_elements('css selector', '.item')
    assert len(cells) == 30
    browser.click(driver, cells[0])
    # Class 2, which moves on; agree; class 3, taken back; class 1.
    for keys in ('2', '\ue007', '3', '\ue012', '\ue003', '1'):
      driver.switch_to.active_element.send_keys(keys)
    assert '3 labelled by you' in driver.find_element('id', 'status').text
    for _ in range(20):  # The browser keeps them a moment after the key, in another process.
      time.sleep(0.5)
      driver.refresh()
      if '3 labelled by you' in driver.find_element('id', 'status').text:
        break
    assert '3 labelled by you' in driver.find_element('id', 'status').text, 'labels outlast a reload'
    driver.find_element('css selector', '#filter option[value="+"]').click()
    assert len([c for c in driver.find_elements('css selector', '.item') if c.is_displayed()]) == 3
    labels = exported(driver, tmp_path)
    assert browser.problems(driver, 1280) == []
  expected = [(rows[0], NAMES[1]), (rows[1], classified.likeliest[rows[1]]), (rows[2], NAMES[0])]
  assert [(row['file'], row['human_label']) for row in labels] == [
    (classified.cells[i].file, name) for i, name in expected
  ]
  assert list(labels[0]) == [
    'file', 'sha256_16', 'machine_label', 'human_label', 'confidence', 'model', 'time',
  ]  # fmt: skip
  assert labels[0]['machine_label'] == classified.predicted[rows[0]]
  assert labels[0]['model'] == 'run abc'
  assert labels[0]['sha256_16'] == f'sha256:{classified.cells[rows[0]].digest}'


SHOWN = 'return [...document.querySelectorAll(".item")].map(card => card.dataset.index);'


def test_two_thousand_images_are_shown_and_filtered_without_a_wait(tmp_path):
  page = tmp_path / 'review.html'
  classified, _ = write(page, 2000, ('A', 'B', 'C'))
  with browser.opened(page, 1280) as driver:
    everything = driver.execute_script(SHOWN)
    took = driver.execute_script(
      'const f = document.getElementById("filter"); const began = performance.now();'
      'for (const v of ["A", "unclassified", "*"]) { f.value = v; f.dispatchEvent(new Event("change"));'
      'document.body.offsetHeight; } return (performance.now() - began) / 3;'
    )
    assert took < 1000, f'{took:.0f} ms a filter'
    assert driver.execute_script(SHOWN) == everything
    assert len(everything) == 2000
    of_a = driver.execute_script(
      'const f = document.getElementById("filter"); f.value = "A"; f.dispatchEvent(new Event("change"));'
      + SHOWN
    )
    assert len(of_a) == classified.predicted.count('A')
    assert of_a == [each for each in everything if each in set(of_a)], 'in the order of the page'


def test_each_class_has_a_key_of_its_own_and_the_first_nine_have_digits():
  names = [f'{letter}{i}' for i in range(5) for letter in 'abcdefghij']
  keys = review_page.keys(names)
  assert keys[:9] == tuple('123456789')
  assert len(set(keys)) == len(names) == 50
  assert review_page.keys(names[:4]) == tuple('1234')
  assert 'h' not in keys
  # More classes than keys: the others can be clicked.
  assert review_page.keys([*names, *names])[-1] == ''


TWELVE = (
  'BASOPHIL', 'Erythroblast', 'EOSINOPHIL', 'Ig <b>', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL', 'Platelet',
  '嗜碱性粒细胞', 'Бласт', 'خلية', 'Metamyelocyte',
)  # fmt: skip


def key(driver, key, code, **modifiers):
  """A key of any layout: what it writes, and its place on the keyboard."""
  for kind in ('keyDown', 'keyUp'):
    driver.execute_cdp_cmd('Input.dispatchKeyEvent', {'type': kind, 'key': key, 'code': code, **modifiers})


def labels(driver):
  """The labels given so far, by row of the page."""
  return {
    int(card.get_attribute('data-index')): card.find_element('css selector', '.human').text.removeprefix(
      'you: '
    )
    for card in driver.find_elements('css selector', '.item.corrected')
  }


def test_twelve_classes_have_a_key_on_every_layout(tmp_path):
  page = tmp_path / 'review.html'
  write(page, 20, TWELVE)
  assert review_page.keys(TWELVE)[9:] == ('a', 'b', 'm')
  with browser.opened(page, 1280) as driver:
    browser.click(driver, driver.find_elements('css selector', '.item')[0])
    key(driver, '&', 'Digit1')  # French, without Shift
    key(driver, 'é', 'Digit2')
    key(driver, '1', 'Digit1', modifiers=8)  # French, with Shift
    key(driver, '3', 'Numpad3')
    key(driver, 'ф', 'KeyA')  # Russian
    key(driver, 'm', 'Semicolon')  # French: the letter, not its place
    key(driver, 'Process', 'Digit4')  # while a Chinese input method is on
    key(driver, 'End', 'Numpad1')  # without NumLock: no digit
    key(driver, 'q', 'KeyA')  # French: no class has q
    assert labels(driver) == {
      0: TWELVE[0], 1: TWELVE[1], 2: TWELVE[0], 3: TWELVE[2], 4: TWELVE[9], 5: TWELVE[11], 6: TWELVE[3],
    }  # fmt: skip
    key(driver, 'à', 'Digit0')  # takes back: nothing there yet
    key(driver, 'ArrowLeft', 'ArrowLeft')
    key(driver, 'à', 'Digit0')
    assert 6 not in labels(driver)
    assert 5 in labels(driver)
    assert browser.problems(driver, 1280) == []


@pytest.mark.parametrize('width', [390, 820])
def test_every_class_can_be_given_by_touch(tmp_path, width):
  page = tmp_path / 'review.html'
  write(page, 20, TWELVE)
  with browser.opened(page, width) as driver:
    driver.execute_cdp_cmd('Emulation.setTouchEmulationEnabled', {'enabled': True})

    def tap(element):
      box = driver.execute_script(
        'const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width, b.height]', element
      )
      point = {'x': box[0] + box[2] / 2, 'y': box[1] + box[3] / 2}
      driver.execute_cdp_cmd('Input.dispatchTouchEvent', {'type': 'touchStart', 'touchPoints': [point]})
      driver.execute_cdp_cmd('Input.dispatchTouchEvent', {'type': 'touchEnd', 'touchPoints': []})
      time.sleep(0.1)
      return box

    driver.execute_script('arguments[0].scrollIntoView({block: "start"})', driver.find_element('id', 'grid'))
    cards = driver.find_elements('css selector', '.item')
    tap(cards[1])
    buttons = driver.find_elements('css selector', '#palette [data-class]')
    assert [button.get_attribute('data-class') for button in buttons] == [str(k) for k in range(12)]
    for button in buttons:
      assert min(tap(button)[2:]) >= 44, 'a finger needs 44 pixels'
    assert labels(driver) == {1 + k: name for k, name in enumerate(TWELVE)}
    chosen = driver.find_element('css selector', '.item.chosen')
    assert chosen.get_attribute('data-index') == '13'
    below = driver.execute_script(
      'return document.getElementById("palette").getBoundingClientRect().top - '
      'arguments[0].getBoundingClientRect().bottom', chosen
    )  # fmt: skip
    assert below >= 0, 'the next one is not under the bar'
    tap(driver.find_element('id', 'agree'))
    assert len(labels(driver)) == 13
    driver.execute_script('arguments[0].scrollIntoView({block: "nearest"})', cards[1])
    tap(cards[1])
    tap(driver.find_element('id', 'undo'))
    assert 1 not in labels(driver)
    assert browser.problems(driver, width) == []


@pytest.mark.parametrize(('width', 'height'), [(640, 360), (320, 480)])
@pytest.mark.parametrize('marks', [(), ('cut by the edge', 'touching', 'out of focus')])
def test_the_picture_of_the_chosen_card_is_seen_whole_in_a_low_window(tmp_path, width, height, marks):
  page = tmp_path / 'review.html'
  write(page, 20, TWELVE, marks=marks)
  with browser.opened(page, width) as driver:
    size = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': False}
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    driver.execute_script('document.querySelector(".item").click()')
    for _ in range(8):
      key(driver, 'ArrowRight', 'ArrowRight')
      time.sleep(0.1)  # what is scrolled to is laid out then
      *card, palette = driver.execute_script(
        'const [frame, palette] = [...document.querySelectorAll(".item.chosen .frame, #palette")].map('
        'e => e.getBoundingClientRect()); const card = document.querySelector(".item.chosen").getBoundingClientRect();'
        'return [frame.top, palette.top - frame.bottom, palette.top - card.bottom, card.height < palette.top,'
        'palette.height]'
      )
      assert min(card[:2]) >= 0
      assert card[2] >= 0 or not card[3], 'the whole card where it fits'
      assert palette < 0.3 * height
    assert driver.execute_script('return document.documentElement.scrollWidth') <= width


def test_what_is_exported_survives_a_spreadsheet(tmp_path):
  page = tmp_path / 'review.html'
  classified, rows = write(page, 4, TWELVE)
  with browser.opened(page, 1280) as driver:
    driver.execute_cdp_cmd('Page.setDownloadBehavior', {'behavior': 'allow', 'downloadPath': str(tmp_path)})
    buttons = driver.find_elements('css selector', '#palette [data-class]')
    for k in (8, 10, 3):
      buttons[k].click()
    exported(driver, tmp_path)
  text = (tmp_path / 'corrections.csv').read_bytes()
  assert text.startswith(b'\xef\xbb\xbf'), 'without the mark Excel reads other letters'
  table = list(csv.reader(io.StringIO(text.decode('utf-8-sig'))))
  semicolons, tabs = io.StringIO(), io.StringIO()
  csv.writer(semicolons, delimiter=';').writerows(table)
  csv.writer(tabs, delimiter='\t').writerows([*row, ''] for row in table)
  # A spreadsheet that expects semicolons shows, and saves, each line as one cell.
  cells = ''.join(
    f'"{line.replace(chr(34), 2 * chr(34))}"\r\n' for line in text.decode('utf-8-sig').splitlines()
  )
  for name, data in {
    'as it is': text,
    'semicolons': semicolons.getvalue().encode('utf-8-sig'),
    'Unicode text': tabs.getvalue().encode('utf-16'),
    'one cell a line': cells.encode('utf-8-sig'),
  }.items():
    (tmp_path / 'again.csv').write_bytes(data)
    found = csv_rows.read(str(tmp_path / 'again.csv'), ('file',), '')
    assert [(row['file'], row['human_label']) for _, row in found] == [
      (classified.cells[i].file, TWELVE[k]) for i, k in zip(rows, (8, 10, 3), strict=False)
    ], name
    assert all(row['sha256_16'].startswith('sha256:') for _, row in found)
