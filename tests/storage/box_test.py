"""The model in the box: its card tells the truth about its files, and its network answers as recorded."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from benchmarks import box as box_maker
from benchmarks import box_card
from bloodcell_jax import commands
from bloodcell_jax.adaptation import home_images
from bloodcell_jax.base import types
from bloodcell_jax.export import card as card_lib
from bloodcell_jax.inference import classifier, error_rates
from bloodcell_jax.storage import box, home_features, workdir
from bloodcell_jax.train import signals
from bloodcell_jax.weights import own


@pytest.fixture(scope='module')
def card():
  return box.read_card()


@pytest.fixture(scope='module')
def loaded() -> classifier.Classifier:
  return classifier.load(workdir.Workdir(box.FOLDER), signals.Stop())


def test_the_card_has_the_digest_of_every_other_file(card):
  assert set(card['sha256']) == set(box.files()) - {box.CARD, box.CARD_TEXT}


def test_a_file_that_was_changed_is_refused(tmp_path, monkeypatch):
  copy = tmp_path / 'box'
  shutil.copytree(box.FOLDER, copy)
  monkeypatch.setattr(box, 'FOLDER', copy)
  box.read_card()
  (copy / 'calibration.json').write_text((copy / 'calibration.json').read_text() + ' ')
  with pytest.raises(types.UserError, match=r'calibration\.json: missing or changed'):
    box.read_card()
  shutil.rmtree(copy)
  with pytest.raises(types.UserError, match='no model in the box; name the folder of a run'):
    box.line()


def test_the_figures_of_the_card_are_those_of_the_run(card):
  splits = workdir.Workdir(box.FOLDER).read_splits()
  assert set(card['figures']) == set(splits) >= {'validation', 'test'}
  for split, entry in splits.items():
    for name in ('num_images', 'num_groups', 'accuracy', 'macro_f1', 'per_class'):
      assert card['figures'][split][name] == entry[name]


def test_the_page_of_the_card_is_written_from_its_values(card):
  text = (box.FOLDER / box.CARD_TEXT).read_text()
  assert text == box_card.text(card)
  for entry in card['figures'].values():
    assert card_lib.figure(entry['accuracy']) in text
  for words in ('Research use only', 'DOI 10.17632/snkd93bnjr.1', 'MIT', 'CC BY 4.0', f'Seed {card["seed"]}'):
    assert words in text
  wrong = {**card, 'figures': {**card['figures'], 'test': card['figures']['validation']}}
  assert box_card.text(wrong) != text


def test_the_network_gives_the_recorded_probabilities(loaded):
  recorded = json.loads((box.FOLDER / box_maker.ANSWERS).read_text())
  now = box_maker.answers(loaded)
  assert now['class_names'] == recorded['class_names'] == list(loaded.class_names)
  before_NK, now_NK = (np.array(list(each['probabilities'].values())) for each in (recorded, now))
  np.testing.assert_allclose(now_NK, before_NK, atol=1e-4)
  assert abs(now_NK - before_NK[::-1]).max() > 1e-3, 'the answers of other smears differ'


def test_calibration_and_measure_belong_to_the_network(loaded):
  assert loaded.rule is not None
  assert loaded.measure is not None
  assert loaded.measure.fitted_for.fingerprint == loaded.models.networks[0].fingerprint


def test_the_box_knows_how_often_it_errs(loaded):
  known = error_rates.read(
    workdir.Workdir(box.FOLDER), loaded.class_names, loaded.rule, loaded.job.experiment.data.source
  )
  assert known is not None
  assert known.split in ('test_clean', 'test')
  assert np.unique(known.laboratory_G).tolist() == ['blood-cells', 'pbc']
  outcome_KJ = known.outcome_GKJ.sum(0)
  entry = workdir.Workdir(box.FOLDER).read_splits()[known.split]
  assert outcome_KJ.sum() == entry['num_images']


def test_it_brings_what_an_adaptation_needs_of_its_images(loaded, tmp_path):
  fingerprint = loaded.models.networks[0].fingerprint
  home = home_images.read(workdir.Workdir(box.FOLDER), loaded.job.experiment, '', fingerprint)
  assert not home.sample
  assert home.digests
  learned = home.features.of_split('train')
  laboratory_N = np.array([group.split('/')[0] for group in learned.group_N.tolist()])
  for laboratory in np.unique(laboratory_N):
    assert set(learned.label_N[laboratory_N == laboratory].tolist()) == set(range(len(loaded.class_names)))
  # They are the output layer's input: with it they give the classes of these images, and shuffled they do not.
  layer = loaded.models.networks[0].output_layer
  judged = home.features.of_split('test')
  right_N = layer.logits(judged.embedding_ND).argmax(1) == judged.label_N
  assert right_N.mean() > 0.85
  assert (layer.logits(judged.embedding_ND[::-1]).argmax(1) == judged.label_N).mean() < 0.6
  # Without them it is refused.
  shutil.copytree(box.FOLDER, tmp_path / 'box')
  (tmp_path / 'box' / home_features.FILE).unlink()
  with pytest.raises(types.UserError, match=r'came without the images .* adapt another run'):
    home_images.read(workdir.Workdir(tmp_path / 'box'), loaded.job.experiment, '', fingerprint)


def test_the_box_is_small_and_names_no_place_of_a_computer():
  sizes = {name: path.stat().st_size for name, path in box.files().items()}
  assert sizes[own.FILE] <= box_maker.MOST_WEIGHTS
  assert sum(sizes.values()) <= box_maker.MOST_BYTES
  place = re.compile(r'[\'" =:]/\w+/\w')
  assert place.search('"dir": "/home/someone/cells"')
  for path in box.FOLDER.glob('*.json'):
    assert not place.search(path.read_text().replace('https://', '')), path.name


def test_other_commands_work_in_a_copy(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  request = commands.Request(None, '', box.NAME, ())
  assert request.folder() == box.COPY == request.folder()
  assert box.files()
  for name, path in box.files().items():
    assert (box.COPY / name).read_bytes() == path.read_bytes()
  # What is written there later is kept; the model of another version is not taken for this one.
  (box.COPY / 'metrics.json').write_text('{}')
  assert (request.folder() / 'metrics.json').read_text() == '{}'
  (box.COPY / box.CARD).write_text('{}')
  with pytest.raises(types.UserError, match='rename it'):
    request.folder()
  # A folder of one's own with that name is meant.
  (tmp_path / box.NAME).mkdir()
  assert str(request.folder()) == box.NAME
