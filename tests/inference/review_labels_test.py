"""The labels of the review page: whose they are, where they stay, how they are removed, what they are counted as."""

import time

import browser
import pytest
from drawn_review import NAMES, exported, write

from bloodcell_jax.base import cell
from bloodcell_jax.inference import differential_count


def press(driver, *keys):
  """Keys on whatever has the focus."""
  for key in keys:
    driver.switch_to.active_element.send_keys(key)


def status(driver):
  return driver.find_element('id', 'status').text


def until(condition, told=lambda: ''):
  """Waits for what another document or process tells the page; `told` says what there is instead."""
  end = time.monotonic() + 20
  while not condition():
    assert time.monotonic() < end, told()
    time.sleep(0.1)


def again(driver, page, num):
  """The page anew, with so many labels: the browser keeps them a moment after the key, in another process."""

  def is_there():
    driver.get(page.as_uri())
    return f'{num} labelled by you' in status(driver)

  until(is_there, lambda: status(driver))


def given(driver):
  """By file of a card, the label that it shows."""
  return {
    card.find_element('css selector', '.file').text: card.find_element('css selector', '.human').text
    for card in driver.find_elements('css selector', '.item.corrected')
  }


def test_a_second_tab_keeps_the_labels_of_the_first_and_shows_them(tmp_path):
  page = tmp_path / 'review.html'
  classified, rows = write(page, 4)
  with browser.opened(page, 1280) as driver:
    # Another document of the same origin: the browser tells it of changes as it tells a tab.
    driver.execute_async_script(
      'const done = arguments[1]; const frame = document.createElement("iframe"); frame.id = "second";'
      'frame.onload = () => done(); frame.srcdoc = arguments[0]; document.body.append(frame);', page.read_text()
    )  # fmt: skip

    def second(code):
      return driver.execute_script(
        f'const d = document.getElementById("second").contentDocument; return {code}'
      )

    press(driver, '1')
    until(lambda: second('d.getElementById("status").textContent.includes("1 labelled")'))
    # The second labels another cell, and takes back nothing of the first.
    second('d.querySelectorAll(".item")[2].click(), d.querySelector("[data-class=\'2\']").click()')
    until(lambda: '2 labelled by you' in status(driver))
    assert len(given(driver)) == 2
    # What one takes back the other loses too.
    browser.click(driver, driver.find_elements('css selector', '.item')[2])
    press(driver, '\ue003')
    until(lambda: second('d.getElementById("status").textContent.includes("1 labelled")'))
    again(driver, page, 1)
    assert given(driver) == {classified.cells[rows[0]].file: f'you: {NAMES[0]}'}


def test_a_label_comes_back_with_its_cell_whatever_is_beside_it_and_whatever_predicted(tmp_path):
  page, other = tmp_path / 'review.html', tmp_path / 'other.html'
  classified, rows = write(page, 4)
  # A photograph more, another network, and fewer cells shown.
  write(other, 5, model='run xyz')
  few = tmp_path / 'few.html'
  _, few_rows = write(few, 4, most=3)
  with browser.opened(page, 1280) as driver:
    driver.execute_cdp_cmd('Page.setDownloadBehavior', {'behavior': 'allow', 'downloadPath': str(tmp_path)})
    press(driver, '1', '2', '3', '1')
    labels = given(driver)
    assert len(labels) == 4
    again(driver, other, 4)
    assert given(driver) == labels
    assert not driver.find_element('id', 'elsewhere').is_displayed()
    again(driver, few, 3)
    text = driver.find_element('id', 'elsewhere').text
    assert text.startswith('This browser keeps 1 more label, of images that this page does not show')
    table = exported(driver, tmp_path)
    assert browser.problems(driver, 1280) == []
  assert [row['file'] for row in table] == [classified.cells[row].file for row in few_rows]
  assert rows[:3] == few_rows


def test_the_first_cell_without_a_label_is_chosen_and_no_key_writes_over_a_label(tmp_path):
  page = tmp_path / 'review.html'
  write(page, 3)
  with browser.opened(page, 1280) as driver:
    press(driver, '1', '2')
    again(driver, page, 2)
    assert driver.find_element('css selector', '.item.chosen').get_attribute('data-index') == '2'
    press(driver, '3')
    assert sorted(given(driver).values()) == sorted(f'you: {name}' for name in NAMES)
    again(driver, page, 3)
    before = given(driver)
    press(driver, '2', '\ue007', '\ue003')
    assert given(driver) == before
    assert 'all are labelled' in driver.find_element('id', 'chosen').text
    # The arrows begin at the first, whose label a key then changes.
    press(driver, '\ue014', '2')
    assert sorted(given(driver).values()) == sorted(f'you: {NAMES[k]}' for k in (1, 1, 2))


def test_arrows_and_enter_work_before_the_first_click(tmp_path):
  page = tmp_path / 'review.html'
  classified, rows = write(page, 3)
  with browser.opened(page, 1280) as driver:
    press(driver, '\ue014')
    assert driver.find_element('css selector', '.item.chosen').get_attribute('data-index') == '1'
    again(driver, page, 0)
    press(driver, '\ue007')
    first = classified.cells[rows[0]].file
    assert given(driver) == {first: f'you: {classified.likeliest[rows[0]]}'}
    # Negative control: with the focus on a button above the cells they are none of the cells' keys.
    driver.execute_script('document.getElementById("export").focus()')
    press(driver, '\ue014')
    assert driver.find_element('css selector', '.item.chosen').get_attribute('data-index') == '1'


def test_labels_outlast_the_export_until_they_are_removed_with_a_question(tmp_path):
  page, other = tmp_path / 'review.html', tmp_path / 'other.html'
  write(page, 3, most=2)
  write(other, 3)
  with browser.opened(other, 1280) as driver:
    driver.execute_cdp_cmd('Page.setDownloadBehavior', {'behavior': 'allow', 'downloadPath': str(tmp_path)})
    assert not driver.find_element('id', 'remove').is_enabled()
    press(driver, '1', '2', '3')
    again(driver, page, 2)
    assert len(exported(driver, tmp_path)) == 2
    assert '2 labelled by you' in status(driver)
    until(lambda: driver.find_element('id', 'elsewhere').is_displayed() or driver.get(page.as_uri()))
    driver.execute_script('window.asked = []; window.confirm = text => (asked.push(text), false)')
    driver.find_element('id', 'remove').click()
    assert '2 labelled by you' in status(driver)
    driver.execute_script('window.confirm = text => (asked.push(text), true)')
    driver.find_element('id', 'remove').click()
    assert driver.execute_script('return asked') == [
      'Remove 2 labels of this page from this browser? What you have not exported is lost.'
    ] * 2  # fmt: skip
    assert '0 labelled by you' in status(driver)
    assert not driver.find_element('id', 'export').is_enabled()
    # That of the cell which the page did not show.
    again(driver, other, 1)


def table(driver):
  """The count with labels: by class the cells by the network, and with the labels."""
  rows = driver.execute_script(
    'return [...document.querySelectorAll("#recount tbody tr")].map(r => [...r.cells].map(c => c.textContent))'
  )
  return {row[0]: (int(row[1]), int(row[3])) for row in rows}, {row[0]: row[4] for row in rows}


@pytest.mark.parametrize('most', [None, 5])
def test_labels_are_counted_in_place_of_the_names_by_the_network(tmp_path, most):
  page = tmp_path / 'review.html'
  boxes = (cell.Box(0, 0, 16, 32), cell.Box(16, 0, 32, 32))
  classified, rows = write(page, 8, boxes=boxes, marks=('cut by the edge',), most=most)
  counted = differential_count.count(classified, 0.95)
  network = {name: entry['count'] for name, entry in counted['classes'].items()}
  network[differential_count.UNCLASSIFIED] = counted['num_unclassified']
  assert network[differential_count.UNCLASSIFIED] >= 2
  whole = [i for i, row in enumerate(rows) if row in classified.countable]
  doubtful = [i for i in whole if classified.predicted[rows[i]] == differential_count.UNCLASSIFIED]
  cut = next(i for i in range(len(rows)) if i not in whole)
  with browser.opened(page, 1280) as driver:
    assert table(driver)[0] == {name: (num, num) for name, num in network.items()}
    cards = driver.find_elements('css selector', '.item')
    assert 'cut by the edge, not counted' in cards[cut].text
    for i in (cut, doubtful[0]):
      browser.click(driver, cards[i])
      press(driver, '3')
    expected = {name: (num, num) for name, num in network.items()}
    expected[NAMES[2]] = (network[NAMES[2]], network[NAMES[2]] + 1)
    left = network[differential_count.UNCLASSIFIED]
    expected[differential_count.UNCLASSIFIED] = (left, left - 1)
    found, shares = table(driver)
    assert found == expected
    named = 8 - left + 1
    assert shares[NAMES[2]] == f'{100 * (network[NAMES[2]] + 1) / named:.1f}%'
    text = driver.find_element('css selector', '#recount p').text
    assert text.startswith(
      f'1 of the 8 cells that are counted are labelled by you, {left - 1} are still left'
    )
    assert 'not a differential count' in text
    # The filter shows those that the count leaves for review, without those that are not counted.
    driver.find_element('css selector', '#filter option[value="?"]').click()
    assert status(driver) == f'{len(doubtful)} of {len(rows)} cells shown, 2 labelled by you'
    name = differential_count.UNCLASSIFIED
    driver.find_element('css selector', f'#filter option[value="{name}"]').click()
    num = sum(classified.predicted[row] == name for row in rows)
    assert f', {num - len(doubtful)} of them not counted, ' in status(driver)
    for i in doubtful[1:]:
      browser.click(driver, cards[i])
      press(driver, '1')
    text = driver.find_element('css selector', '#recount p').text
    assert ('not a differential count' in text) == (left > len(doubtful))
    assert browser.problems(driver, 1280) == []
