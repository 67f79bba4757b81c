"""A run on data that leaks: refused by name, or trained and marked wherever a figure stands."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pathlib
import shutil

import evaluating
import pytest
from PIL import Image

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import train
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.plots import figure
from bloodcell_jax.runs import scoring
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import signals
from configs import default

pytestmark = pytest.mark.usefixtures('blank_figures')

CHANGES = {
  'data.source': 'folders', 'data.image_size': 46, 'data.pipeline': 'numpy', 'data.cache': 'memory',
  'train.batch_size': 4, 'train.epochs': 1, 'train.steps_per_epoch': 1, 'train.num_devices': 1,
  'evaluate.num_resamples': 100,
}  # fmt: skip
NOTE = 'Leak: 1 training image shares a photograph with validation and 1 test image is in training'


def images(folder: pathlib.Path, leaks: bool) -> pathlib.Path:
  """Folders of TRAIN, VALIDATION and TEST; where it leaks, an image of TRAIN lies in each of the others too."""
  spec = embedded.Spec(num_train=4, num_test=1, num_copies=1, height=48, width=64, seed=0)
  drawn = [image for image in embedded.draw_all(spec) if image.split in ('TRAIN', 'TEST')]
  of_class: dict[str, int] = {}
  for image in drawn:
    place = of_class[image.class_name] = of_class.get(image.class_name, -1) + 1
    split = 'VALIDATION' if image.split == 'TRAIN' and place == 3 else image.split
    path = folder / split / image.class_name / f'{place}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.png)
  if leaks:
    for split, place in (('VALIDATION', 0), ('TEST', 1)):
      content = (folder / 'TRAIN' / 'MONOCYTE' / f'{place}.png').read_bytes()
      (folder / split / 'MONOCYTE' / f'again{place}.png').write_bytes(content)
  return folder


def run(folder: pathlib.Path, data: pathlib.Path, **changes) -> workdir.Workdir:
  flat = {**experiment.flat(default.get_config()), **CHANGES, 'data.dir': str(data), **changes}
  train.run(commands.Request(experiment.nest(flat), 'test', str(folder), ()), signals.Stop())
  return workdir.Workdir(folder)


def collect_notes(patch: pytest.MonkeyPatch) -> dict[str, str]:
  """The note of each figure that is written from now on, by the figure's name."""
  seen: dict[str, str] = {}
  write, write_shared = figure.write, figure.write_shared

  def keep(path, plot, note):
    seen[pathlib.Path(path).name] = note
    write(path, plot, note)

  def keep_shared(path, plot, values, note):
    seen[pathlib.Path(path).name] = note
    write_shared(path, plot, values, note)

  patch.setattr(figure, 'write', keep)
  patch.setattr(figure, 'write_shared', keep_shared)
  return seen


@pytest.fixture
def notes(monkeypatch) -> dict[str, str]:
  return collect_notes(monkeypatch)


@dataclasses.dataclass(frozen=True)
class Finished:
  """A run: its images, folder, the note of each figure, and what was printed."""

  data: pathlib.Path
  folder: workdir.Workdir
  notes: dict[str, str]
  out: str


def finish(top: pathlib.Path, leaks: bool) -> Finished:
  data, out = images(top / 'cells', leaks), io.StringIO()
  with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
    seen = collect_notes(patch)
    folder = run(top / 'run', data, **({'data.allow_leak': True} if leaks else {}))
  return Finished(data, folder, seen, out.getvalue())


@pytest.fixture(scope='module')
def leaky(blank_figures, tmp_path_factory) -> Finished:
  return finish(tmp_path_factory.mktemp('leaky'), leaks=True)


@pytest.fixture(scope='module')
def clean(blank_figures, tmp_path_factory) -> Finished:
  return finish(tmp_path_factory.mktemp('clean'), leaks=False)


def test_training_on_a_leak_is_refused_by_the_names_of_the_files(tmp_path):
  with pytest.raises(types.UserError, match=r'data\.allow_leak=True') as caught:
    run(tmp_path / 'run', images(tmp_path / 'cells', leaks=True))
  for name in (
    'TRAIN/MONOCYTE/0.png and VALIDATION/MONOCYTE/again0.png',
    'TEST/MONOCYTE/again1.png and TRAIN',
  ):
    assert name in str(caught.value)
  assert '\n' not in str(caught.value)
  assert not (tmp_path / 'run' / 'checkpoints').exists()


def test_an_allowed_leak_is_said_with_every_figure_page_and_metrics_file(leaky):
  folder, notes = leaky.folder, leaky.notes
  counts = {'train_in_validation': 1, 'test_in_training': 1}
  environment = folder.read_environment()['data']
  assert environment['leaks'] == counts
  assert sum(images for images, _ in environment['counts']['train'].values()) == 12, 'nothing is left out'
  metrics = json.loads(folder.metrics.read_text())
  assert set(metrics) == {'validation', 'test', 'test_clean'}
  assert all(entry['leak'] == counts and entry['note'].startswith(NOTE) for entry in metrics.values())
  assert NOTE in folder.report.read_text()
  assert set(notes) == {path.name for path in folder.figures.iterdir()}
  assert all(note.startswith(NOTE) for note in notes.values())
  assert leaky.out.strip().splitlines()[-1].startswith(NOTE)


def test_a_clean_run_has_no_such_note(clean):
  folder = clean.folder
  assert folder.read_environment()['data']['leaks'] == {'train_in_validation': 0, 'test_in_training': 0}
  assert not any(entry['note'] for entry in json.loads(folder.metrics.read_text()).values())
  assert clean.notes
  assert not any(clean.notes.values())
  for text in (folder.report.read_text(), clean.out):
    assert 'Leak:' not in text


def test_notes_of_synthetic_data_and_of_a_leak_are_both_said():
  counts = {'train_in_validation': 1, 'test_in_training': 1}
  both = scoring.note(True, counts)
  assert both.startswith(scoring.SYNTHETIC)
  assert NOTE in both
  assert scoring.note(False, dict.fromkeys(counts, 0)) == ''
  # Of images that were not drawn, it is the training that is said to be synthetic.
  of_others = scoring.note_of_others(True, counts)
  assert of_others.startswith(scoring.SYNTHETIC_TRAINING)
  assert NOTE in of_others
  assert 'no real cells' not in of_others
  assert scoring.note_of_others(False, dict.fromkeys(counts, 0)) == ''


def test_a_run_with_a_leak_says_so_when_evaluated_again_on_any_images(leaky, tmp_path, notes, monkeypatch):
  folder = workdir.Workdir(tmp_path / 'run')
  shutil.copytree(leaky.folder.path, folder.path)
  before = json.loads(folder.metrics.read_text())
  evaluating.run(monkeypatch, folder.path)
  assert json.loads(folder.metrics.read_text()) == before
  assert notes
  evaluating.run(monkeypatch, folder.path, data_dir=str(leaky.data / 'TRAIN'))
  assert json.loads(folder.metrics.read_text())['TRAIN']['note'].startswith(NOTE)
  assert all(note.startswith(NOTE) for note in notes.values())


def test_a_folder_that_the_run_was_trained_on_is_no_test(clean, tmp_path, notes, monkeypatch, capsys):
  data, folder = clean.data, workdir.Workdir(tmp_path / 'run')
  shutil.copytree(clean.folder.path, folder.path)

  def scored(path: pathlib.Path, name: str) -> dict:
    notes.clear()
    evaluating.run(monkeypatch, folder.path, data_dir=str(path))
    return json.loads(folder.metrics.read_text())[name]

  entry = scored(data / 'TRAIN', 'TRAIN')
  said = (
    f'of {entry["num_images"]} images, {entry["num_images"]} were trained on: these figures are not a test'
  )
  counts = {'chosen': 0, 'copies_trained': 0, 'copies_chosen': 0}
  assert entry['seen'] == {'num_images': entry['num_images'], 'trained': entry['num_images'], **counts}
  assert entry['leak']['test_in_training'] == entry['num_images']
  assert f'TRAIN: {said}' in capsys.readouterr().out
  assert said[1:] in entry['note']
  assert notes
  assert all(said[1:] in note for note in notes.values())
  assert said[1:] in folder.report.read_text()
  assert str(data / 'TRAIN') in folder.report.read_text()
  # So do those that were saved again as JPEG and resized.
  for path in (data / 'TRAIN').glob('*/*.png'):
    place = tmp_path / 'resaved' / path.parent.name
    place.mkdir(parents=True, exist_ok=True)
    Image.open(path).resize((96, 72)).save(place / f'{path.stem}.jpg', quality=60)
  entry = scored(tmp_path / 'resaved', 'resaved')
  num = entry['num_images']
  assert (entry['seen']['trained'], entry['seen']['copies_trained']) == (0, num)
  assert entry['leak']['test_in_training'] == num
  said = (
    f'{num} are copies of images that were trained on (saved again, resized or cropped): these figures are no'
  )
  assert said in capsys.readouterr().out
  assert said in entry['note']
  assert said in folder.report.read_text()
  # Negative control: the test images were not seen. A second folder of the name has an entry of its own.
  other = tmp_path / 'tuesday' / 'TRAIN'
  shutil.copytree(data / 'TEST', other)
  entry = scored(other, 'TRAIN-2')
  assert (entry['seen']['trained'], entry['seen']['chosen'], entry['leak']['test_in_training']) == (0, 0, 0)
  assert 'none of the' in capsys.readouterr().out
  assert not entry['note']
  scored(data / 'TRAIN', 'TRAIN')
  assert set(json.loads(folder.metrics.read_text())) - {'validation', 'test', 'test_clean'} == {
    'TRAIN',
    'TRAIN-2',
    'resaved',
  }
  # A list beside its images is read too, and a run that kept no digests says that it cannot know.
  folder.digests.unlink()
  (other / 'mine.csv').write_text('File;Label\r\nMONOCYTE/4.png;MONOCYTE\r\nNEUTROPHIL/4.png;NEUTROPHIL\r\n')
  entry = scored(other / 'mine.csv', 'mine')
  assert (entry['num_images'], entry['seen'], entry['leak']['test_in_training']) == (2, None, None)
  assert 'whether the run has seen these images is not known' in capsys.readouterr().out
