"""What is done with a finished run: its page, its doubt, comparison, prediction."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil

import browser
import html_checker
import numpy as np
import pytest
from PIL import Image
from starting import read_rows, run

from bloodcell_jax.data import reading
from bloodcell_jax.inference import classifier
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.train import signals


def test_the_page_is_sound_and_leads_with_the_test_split_and_its_photographs(finished):
  folder, _ = finished
  page = (folder / 'report.html').read_text()
  assert html_checker.check(page) == []
  headline = page[page.index('class="headline"') :].split('</p>')[0]
  assert 'on test: 24 groups, 72 images' in headline
  for words in (
    'Calibration and abstention',
    'Most confident mistakes',
    'Least confident predictions',
    'Groups with the most errors',
    'Research use only',
    'trained',
    'frozen',
  ):
    assert words in page, words
  assert (folder / 'report.html').stat().st_size < 5e6


@pytest.mark.parametrize('width', [1280, 400])
def test_a_browser_shows_the_page_without_complaint(finished, tmp_path, width):
  page = finished[0] / 'report.html'
  with browser.opened(page, width) as driver:
    assert browser.problems(driver, width) == []
    # The first stop of the keyboard leads past the contents; every picture has arrived.
    driver.switch_to.active_element.send_keys('\ue004')
    assert driver.switch_to.active_element.get_attribute('href').endswith('#main')
    assert driver.execute_script('return [...document.images].every(i => i.naturalWidth > 0)')
  # Negative control: the check sees a broken page.
  broken = tmp_path / 'broken.html'
  broken.write_text(
    '<img src="http://127.0.0.1:9/x.png"><script>nothing()</script><div style="width:3000px">x</div>'
  )
  with browser.opened(broken, width) as driver:
    seen = ' '.join(browser.problems(driver, width))
  assert 'asks for http' in seen
  assert 'nothing is not defined' in seen
  assert 'pixels wide' in seen


def test_a_run_keeps_its_doubt_and_says_what_it_is_worth_on_each_split(finished):
  folder, _ = finished
  kept = json.loads((folder / 'calibration.json').read_text())
  metrics = json.loads((folder / 'metrics.json').read_text())
  for split in ('validation', 'test'):
    assert metrics[split]['doubt']['temperature'] == kept['temperature']
    assert len(read_rows(folder / f'groups/{split}.csv')) == metrics[split]['num_groups']
    assert (folder / f'figures/risk_coverage_{split}.png').exists()
  assert kept['num_images'] == metrics['validation']['num_images'] != metrics['test']['num_images']


def test_a_finished_run_is_loaded_as_a_classifier_that_says_the_same(finished):
  folder, _ = finished
  loaded = classifier.load(workdir.Workdir(folder), signals.Stop())
  exp = loaded.job.experiment
  data = reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)
  rows = data.rows['test'][:7]
  written = {row['file']: row for row in read_rows(folder / 'predictions/test.csv')}
  probs_BK = loaded.probabilities(data.image_NHWC[rows])
  for file, probs_K in zip(data.table.file[rows], probs_BK, strict=True):
    expected = [float(written[file][f'prob_{name}']) for name in loaded.class_names]
    np.testing.assert_allclose(probs_K, expected, atol=1e-6)
  assert 'Synthetic' in loaded.note
  assert loaded.rule is not None
  # Negative control: other images, other probabilities.
  assert not np.allclose(loaded.probabilities(255 - data.image_NHWC[rows]), probs_BK, atol=1e-3)


def test_predict_names_a_folder_of_images_marks_doubt_and_goes_on_past_a_broken_one(finished, tmp_path):
  folder, _ = finished
  run_copy, images = tmp_path / 'run', tmp_path / 'slide'
  shutil.copytree(folder, run_copy)
  exp = classifier.load(workdir.Workdir(folder), signals.Stop()).job.experiment
  table = reading.read_table(exp.data)[0]
  test = np.flatnonzero(table.split == 'TEST')[:9]
  (images / 'inner').mkdir(parents=True)
  for i in test:
    (images / 'inner' / table.file[i].replace('/', '_')).write_bytes(table.content[i])
  (images / 'broken.png').write_bytes(table.content[test[0]][:60])
  code, out, err = run('predict', str(images), f'--workdir={run_copy}')
  assert code == 0, err
  target = run_copy / 'predict/slide'
  rows = read_rows(target / 'predictions.csv')
  assert len(rows) == 9
  assert 'broken.png: is cut short or damaged' in out
  # Of few validation groups, the run has no threshold.
  assert calibration_file.read(workdir.Workdir(folder))[0].threshold is None
  assert 'No cell was accepted' in out
  assert 'every image is left for review' in out
  assert 'Synthetic' in out
  assert html_checker.check((target / 'review.html').read_text()) == []
  # The same network says the same of the same images, but for the temperature.
  scored = {row['file'].replace('/', '_'): row for row in read_rows(folder / 'predictions/test.csv')}
  for row in rows:
    assert row['likeliest'] == scored[row['file'].removeprefix('inner/')]['predicted']
    assert row['predicted'] in (row['likeliest'], 'unclassified')
  # Again: nothing is predicted twice, and nothing changes.
  before = (target / 'predictions.csv').read_bytes()
  code, out, _ = run('predict', str(images), f'--workdir={run_copy}')
  assert '9 cells predicted already' in out
  assert (target / 'predictions.csv').read_bytes() == before
  # Another folder of the same name: its predictions lie beside the first ones. A copy is a line, but no second cell.
  other = tmp_path / 'other' / 'slide'
  other.mkdir(parents=True)
  for name in ('a.png', 'copy of a.png'):
    (other / name).write_bytes(table.content[test[0]])
  # With a threshold that accepts the cell.
  own = workdir.Workdir(run_copy)
  rule, fitted_for = calibration_file.read(own)
  calibration_file.write(own, dataclasses.replace(rule, threshold=0.0), fitted_for)
  code, out, err = run('predict', str(other), f'--workdir={run_copy}', '--heat_maps=false')
  assert code == 0, err
  assert (target / 'predictions.csv').read_bytes() == before
  assert len(read_rows(run_copy / 'predict/slide-2/predictions.csv')) == 2
  assert '1 file repeats another file byte for byte' in out
  assert '1 cell was accepted, fewer than 100' in out
  assert 'every image is left for review' not in out
  about = json.loads((run_copy / 'predict/slide-2/predict.json').read_text())
  assert about['paths'] == [str(other.resolve())]
  assert (about['differential']['num_cells'], about['differential']['num_duplicates']) == (1, 1)
  assert 'id="heat"' in (target / 'review.html').read_text()
  assert 'id="heat"' not in (run_copy / 'predict/slide-2/review.html').read_text()


def test_predict_withholds_recoloured_and_magnified_cells_and_names_their_home_twins(finished, tmp_path):
  folder, _ = finished
  exp = classifier.load(workdir.Workdir(folder), signals.Stop()).job.experiment
  table = reading.read_table(exp.data)[0]
  for name in ('home', 'recoloured', 'magnified'):
    (tmp_path / 'slides' / name).mkdir(parents=True)
  _, first = np.unique(table.group, return_index=True)
  for i in [row for row in first if table.split[row] == 'TEST'][:12]:
    image = Image.open(io.BytesIO(table.content[i])).convert('RGB')
    width, height = image.size
    inner = image.crop((width // 3, height // 3, 2 * width // 3, 2 * height // 3))
    green = Image.merge('RGB', [image.getchannel(channel) for channel in 'GRB'])
    for name, changed in (('home', image), ('recoloured', green), ('magnified', inner)):
      changed.save(tmp_path / 'slides' / name / f'{i}.png')
  code, out, err = run(
    'predict', str(tmp_path / 'slides'), f'--workdir={folder}', '--heat_maps=false', f'--to={tmp_path / "to"}'
  )
  assert code == 0, err
  rows = read_rows(tmp_path / 'to/predictions.csv')
  withheld = {
    name: [
      row for row in rows if row['file'].startswith(name) and row['predicted'] == 'unclassified (unlike)'
    ]
    for name in ('home', 'recoloured', 'magnified')
  }
  assert len(withheld['recoloured']) == len(withheld['magnified']) == 12
  assert any(row['unlike_reason'] == 'stain' for row in withheld['recoloured'])
  assert all(row['set'] == '' and row['unlike_reason'] for row in withheld['magnified'])
  # The first line of the count says so, with the reason, in cells.
  first_line = out[out.index('material of another laboratory') :].split('\n')[0]
  assert 'stain' in first_line
  assert re.search(r' of 36 cells are unclassified \(unlike\)$', first_line)
  assert out.index('material of another laboratory') < out.index('EOSINOPHIL:')
  counted = read_rows(tmp_path / 'to/differential.csv')
  assert counted[0]['class'] == 'unclassified (unlike)'
  # Negative control: their home twins are not withheld as a folder, and hardly one by one.
  assert len(withheld['home']) <= 2
  assert int(counted[0]['count']) == 24 + len(withheld['home'])


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (['none.png'], 'none.png: no such file or folder'),
    ([], 'predict needs images'),
    (['--workdir={empty}', '{images}'], 'no run here'),
    (['--view=round', '{images}'], 'data.view is'),
    (['{empty}'], 'no image there'),
  ],
)
def test_predict_refuses_what_it_cannot_use_in_one_line(finished, tmp_path, arguments, said):
  (tmp_path / 'images').mkdir()
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'images/x.png').write_bytes(b'no image')
  given = [a.format(images=tmp_path / 'images', empty=tmp_path / 'empty') for a in arguments]
  if not any(a.startswith('--workdir') for a in given):
    given.append(f'--workdir={finished[0]}')
  code, _, err = run('predict', *given)
  assert code == 2
  assert said in err
  assert err.count('\n') == 1


def test_two_runs_are_compared_on_the_images_of_both(finished, tmp_path):
  folder, _ = finished
  copy = tmp_path / 'copy'
  shutil.copytree(folder, copy)
  code, out, err = run('evaluate', f'--workdir={folder}', f'--compare={copy}')
  assert code == 0, err
  found = json.loads((folder / 'comparison_copy.json').read_text())
  assert found['test']['accuracy']['difference'] == 0
  assert found['test']['accuracy']['p_value'] == 1
  assert 'Synthetic' in out
  assert found['about']['second'] == str(copy.resolve())
  # Another image on one side of a split: the others are compared, and that one is named with its reason.
  text = (copy / 'predictions/test.csv').read_text()
  (copy / 'predictions/test.csv').unlink()
  (copy / 'predictions/test.csv').write_text(text.replace('TEST/', 'OTHER/', 1))
  code, out, err = run('evaluate', f'--workdir={folder}', f'--compare={copy}')
  assert code == 0, err
  assert re.search('^validation: macro_f1', out, re.M)
  assert re.search('^test: not compared: .*predicted by one model and not by the other', out, re.M)
  found = json.loads((folder / 'comparison_copy.json').read_text())
  assert 'validation' in found
  assert 'test' not in found
  assert set(found['about']['not_compared']) == {'test'}
  code, _, err = run('evaluate', f'--workdir={folder}', f'--compare={tmp_path}')
  assert (code, err.count('\n')) == (2, 1)
  assert f'{tmp_path}: no run here' in err
