"""The exported folder: whole or not there, its card says what the run says, its examples run without JAX."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import starting
import trained
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode, near_copies
from bloodcell_jax.export import card as card_text
from bloodcell_jax.export import folder, formats, program
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import seen_images
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import signals

ROOT = pathlib.Path(__file__).parent.parent.parent
NUM = 3


def export(*arguments: object) -> tuple[int, str, str]:
  """Exit code, standard output, standard error of the command."""
  return starting.run('export', *arguments, loads=('tensorflow',))


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> workdir.Workdir:
  """The folder of a finished run that has been exported, in every format that is installed."""
  made = trained.write_run(tmp_path_factory.mktemp('runs') / 'tiny', trained.load('cnn_a', trained.RULE))
  code, out, err = export(f'--workdir={made.path}')
  assert code == 0, err
  (made.path / 'said.txt').write_text(out)
  return made


@pytest.fixture(scope='module')
def loaded(run) -> classifier.Classifier:
  return classifier.load(run, signals.Stop())


def installed() -> list[formats.Format]:
  return [known for known in formats.FORMATS.values() if not known.missing()]


def test_the_export_of_another_run_is_not_replaced(tmp_path):
  one, two = (workdir.Workdir(tmp_path / name) for name in ('one', 'two'))
  target = tmp_path / 'portable'
  folder.check(target, one)
  target.mkdir()
  (target / folder.CARD).write_text(json.dumps({'run': str(one.path)}))
  folder.check(target, one)
  with pytest.raises(
    types.UserError,
    match=r'portable: holds the export of another run \(.*\); choose another folder with --to',
  ):
    folder.check(target, two)
  # Inside its run an export belongs to it, wherever the run lay before; an earlier version named no run.
  (two.path / 'export').mkdir(parents=True)
  (two.path / 'export' / folder.CARD).write_text(json.dumps({'run': '/before/two'}))
  folder.check(two.path / 'export', two)
  (target / folder.CARD).write_text('{}')
  folder.check(target, two)


def test_the_folder_holds_what_is_installed_and_says_what_is_not(run):
  present = {path.name for path in (run.path / 'export').iterdir()}
  assert present == {known.file for known in installed()} | {folder.CONTRACT, folder.CARD, folder.CARD_TEXT}
  said = (run.path / 'said.txt').read_text()
  for known in formats.FORMATS.values():
    assert re.search(f'^(left out: )?{known.name}: ', said, re.M)
  assert said.strip().splitlines()[-1].startswith('Synthetic data')
  assert not [path for path in run.path.iterdir() if path.name.startswith('.')]


def test_the_card_says_note_intervals_calibration_and_parity(run, loaded):
  card = json.loads((run.path / 'export' / folder.CARD).read_text())
  text = (run.path / 'export' / folder.CARD_TEXT).read_text()
  figures = json.loads(run.metrics.read_text())['test']
  entry = figures['accuracy']
  assert card['figures']['test']['accuracy'] == entry
  assert f'{entry["value"]:.3f} [{entry["low"]:.3f}, {entry["high"]:.3f}]' in text
  assert f'| test | {figures["num_groups"]} | {figures["num_images"]} |' in text
  for words in (loaded.note, 'Research use only', 'logits divided by 1.6', 'under 0.7', 'Synthetic data'):
    assert words in text
  assert card['note'] == loaded.note
  assert card['output']['calibrated'] is True
  for known in installed():
    found = card['parity'][known.name]
    assert found['max_difference'] < 1e-5
    assert (found['split'], found['top1_agreement']) == ('test', 1)
    # 4 classes x 2 photographs x 2 views.
    assert (found['num_groups'], found['num_images']) == (8, 16)
  assert 'stretch the brightness' in text
  assert 'around the nucleus' not in text, 'this run sees whole images'


def test_figures_of_another_epoch_are_called_that(run, loaded):
  right = json.loads((run.path / 'export' / folder.CARD).read_text())
  assert 'another epoch' not in card_text.text(right, loaded, installed())
  wrong = {**right, 'model': {**right['model'], 'checkpoint': {'best_epoch': 2, 'epochs': 2}}}
  assert 'belong to another epoch than the exported model: test' in card_text.text(wrong, loaded, installed())


def blocks(run: workdir.Workdir) -> dict[str, str]:
  """The examples of the card by format."""
  text = (run.path / 'export' / folder.CARD_TEXT).read_text()
  return dict(re.findall(r'^(\w+):\n\n```python\n(.*?)```', text, re.M | re.S))


def start(
  code: str, where: pathlib.Path, stubs: pathlib.Path, *arguments: object
) -> subprocess.CompletedProcess:
  environment = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  environment |= {'PYTHONPATH': str(stubs), 'TF_CPP_MIN_LOG_LEVEL': '2'}
  command = [sys.executable, '-c', code, *map(str, arguments)]
  return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=300)


def stub(path: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path:
  """A folder whose packages of these names cannot be imported."""
  for name in names:
    (path / name).mkdir(parents=True)
    (path / name / '__init__.py').write_text("raise ImportError('blocked by the test')\n")
  return path


@pytest.mark.parametrize('name', formats.FORMATS)
def test_the_examples_run_without_jax_and_name_the_probabilities_of_the_run(run, loaded, name, tmp_path):
  if formats.FORMATS[name].missing():
    pytest.skip('its libraries are not installed')
  code = blocks(run)[name]
  assert len(code.splitlines()) <= 18
  blocked = ('flax', 'bloodcell_jax') if name == 'stablehlo' else ('jax', 'jaxlib', 'flax', 'bloodcell_jax')
  stubs = stub(tmp_path / 'stubs', blocked)
  file = tmp_path / 'cell.png'
  photo, exif = Image.fromarray(trained.data(100).image_NHWC[0]), Image.Exif()
  exif[0x0112] = 6  # to be turned by 90 degrees
  photo.putalpha(Image.linear_gradient('L').resize(photo.size))
  photo.save(file, exif=exif)
  done = start(code, run.path / 'export', stubs, file)
  assert done.returncode == 0, done.stderr
  lines = [line.split() for line in done.stdout.splitlines()]
  if name == 'safetensors':
    assert tuple(lines[0]) == loaded.class_names
    assert ['conv2d_1/kernel', '[3,', '3,', '3,', '32]'] in lines
    return
  image_HWC, _ = decode.image(str(file), loaded.job.experiment.data.decode)
  expected_K = trained.probabilities(loaded, image_HWC[None])[0]
  assert [line[0] for line in lines] == list(loaded.class_names)
  np.testing.assert_allclose([float(line[1]) for line in lines], expected_K, atol=2e-5)
  assert not np.allclose(expected_K[::-1], expected_K, atol=1e-3), 'else the order would not be seen'


def test_the_stubs_do_block_jax(tmp_path):
  done = start('import jax', tmp_path, stub(tmp_path / 'stubs', ('jax',)))
  assert 'blocked by the test' in done.stderr


def write(target: pathlib.Path, run, loaded, chosen, poll=lambda: None) -> None:
  images = trained.images(loaded.job.experiment.data.decode.image_size, NUM)
  folder.write(target, run, loaded, program.build(loaded), chosen, images, poll, lambda line: None)


def test_the_images_that_the_run_has_seen_lie_beside_the_weights_that_a_run_can_begin_with(
  run, loaded, tmp_path
):
  seen = ('digests.csv', 'thumbnails.npz')
  known = workdir.Workdir(tmp_path / 'run')
  shutil.copytree(run.path, known.path)
  read = trained.data(loaded.job.experiment.data.decode.image_size)
  thumbnail_NHW = np.zeros((len(read.table), near_copies.SIDE, near_copies.SIDE), np.uint8)
  seen_images.write(known, dataclasses.replace(read, thumbnail_NHW=thumbnail_NHW), '')
  write(tmp_path / 'with', known, loaded, [formats.FORMATS['safetensors']])
  assert [(tmp_path / 'with' / name).exists() for name in seen] == [True, True]
  copied, kept = (atomic.read_csv(each.digests)[1:] for each in (workdir.Workdir(tmp_path / 'with'), known))
  assert [(role, *digests) for role, _, *digests in copied] == [
    (role, *digests) for role, _, *digests in kept
  ]
  assert {role for role, *_ in copied} == {'trained', 'chosen'}
  # A program with which no run can begin, and a run that kept none.
  write(tmp_path / 'program', known, loaded, [formats.FORMATS['stablehlo']])
  write(tmp_path / 'old', run, loaded, [formats.FORMATS['safetensors']])
  for place in ('program', 'old'):
    assert [(tmp_path / place / name).exists() for name in seen] == [False, False]


def broken() -> formats.Format:
  """A format whose programs take the channels in another order."""
  good = formats.FORMATS['safetensors']

  def read(path, exported):
    run = good.read(path, exported)
    return lambda image_BHWC: run(image_BHWC[..., ::-1].copy())

  return dataclasses.replace(good, name='broken', read=read)


def test_a_failed_parity_leaves_the_folder_as_it_was(run, loaded, tmp_path):
  good, target = formats.FORMATS['safetensors'], tmp_path / 'model'
  with pytest.raises(types.RunError, match="broken: differs from the run's own network by 0"):
    write(target, run, loaded, [good, broken()])
  assert list(tmp_path.iterdir()) == []
  write(target, run, loaded, [good])
  before = {path.name: path.read_bytes() for path in target.iterdir()}
  assert 'model.safetensors' in before
  with pytest.raises(types.RunError):
    write(target, run, loaded, [broken()])
  assert {path.name: path.read_bytes() for path in target.iterdir()} == before
  assert [path.name for path in tmp_path.iterdir()] == ['model']


def test_a_stop_between_formats_leaves_nothing(run, loaded, tmp_path):
  asked = []

  def poll() -> None:
    asked.append(1)
    if len(asked) == 2:
      raise signals.Stopped

  good = formats.FORMATS['safetensors']
  with pytest.raises(signals.Stopped):
    write(tmp_path / 'model', run, loaded, [good, good], poll)
  assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(run, loaded, tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(types.UserError, match='not an export'):
    write(tmp_path, run, loaded, [formats.FORMATS['safetensors']])
  assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


def test_an_error_while_a_folder_is_written_leaves_the_one_before(tmp_path):
  with atomic.folder(tmp_path / 'made') as beside:
    (beside / 'a').write_text('first')
  with pytest.raises(FileNotFoundError), atomic.folder(tmp_path / 'made') as beside:
    (beside / 'a').rename(beside / 'c')
  assert (tmp_path / 'made' / 'a').read_text() == 'first'
  with atomic.folder(tmp_path / 'made') as beside:
    (beside / 'b').write_text('third')
  assert [path.name for path in (tmp_path / 'made').iterdir()] == ['b']
  assert [path.name for path in tmp_path.iterdir()] == ['made']


def test_a_missing_library_is_one_line_that_says_what_to_install(monkeypatch):
  monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: None if 'onnx' in name else object())
  with pytest.raises(types.UserError, match='pip install "onnx>='):
    formats.choose(['onnx'])
  chosen, left_out = formats.choose([])
  assert [known.name for known in chosen] == ['stablehlo', 'savedmodel', 'safetensors']
  assert len(left_out) == 1
  assert 'left out: onnx: onnx and onnxruntime are not installed' in left_out[0]
  monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: object())
  assert formats.choose([])[1] == []


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (['--format=tflite', '--workdir=RUN'], 'choose among onnx, stablehlo, savedmodel, safetensors'),
    (['--format=safetensors', '--workdir=UNTRAINED'], 'train the run first'),
  ],
)
def test_bad_usage_is_one_line_and_exit_code_2(run, arguments, said, tmp_path):
  (tmp_path / 'untrained').mkdir()
  for name in ('config.json', 'environment.json'):
    (tmp_path / 'untrained' / name).write_bytes((run.path / name).read_bytes())
  places = {'RUN': str(run.path), 'UNTRAINED': str(tmp_path / 'untrained')}
  typed = [re.sub('UNTRAINED|RUN', lambda found: places[found[0]], argument) for argument in arguments]
  code, _, err = export(*typed)
  assert code == 2, err
  assert said in err
  assert len(err.strip().splitlines()) == 1, err
