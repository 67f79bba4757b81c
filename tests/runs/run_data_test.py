"""Images are read to the end, or until a stop is requested."""

from __future__ import annotations

import json

import pytest

from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.runs import job, run_data, run_record
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress, signals
from configs import default


@pytest.fixture
def cells(tmp_path):
  """A folder of images with one that cannot be read, whose name looks like a name and a reason."""
  spec = embedded.Spec(num_train=4, num_test=0, num_copies=1, height=48, width=64, seed=0)
  for i, drawn in enumerate(embedded.draw_all(spec)):
    path = tmp_path / 'cells' / embedded.CLASS_NAMES[drawn.label] / f'{i}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(drawn.png)
  (path.parent / 'a: b.png').write_bytes(b'cut')
  return tmp_path / 'cells'


def test_the_rows_of_a_run_are_found_again_without_decoding_whatever_the_files_left_out_are_called(
  cells, tmp_path
):
  config = {
    **experiment.flat(default.get_config()),
    'data.source': 'folders', 'data.dir': str(cells), 'data.on_bad_image': 'skip', 'data.image_size': 46,
    'data.validation_fraction': 0.5, 'data.test_fraction': 0.0, 'data.pipeline': 'numpy',
  }  # fmt: skip
  exp, folder = experiment.resolve(experiment.nest(config)), workdir.Workdir(tmp_path / 'run')
  data = run_data.reader(exp, folder.cache)(lambda done, total: None)
  made = job.Job(exp, data, exp.transform.standardize, None, signals.Stop())
  folder.write_config(config)
  run_record.describe(folder, made, {})
  found = run_data.undecoded(folder, exp)
  assert found.table.file.tolist() == data.table.file.tolist()
  assert {name: rows.tolist() for name, rows in found.rows.items()} == {
    name: rows.tolist() for name, rows in data.rows.items()
  }
  # What was written down by earlier versions is read: it holds but for such names.
  said = json.loads(folder.environment.read_text())
  (record,) = said['data']['skipped']
  assert record['file'].endswith('/a: b.png')
  said['data']['skipped'] = [f'{record["file"].replace(": ", " ")}: {record["reason"]}']
  atomic.write_json(folder.environment, said)
  (cells / record['file']).rename(cells / record['file'].replace(': ', ' '))
  assert len(run_data.undecoded(folder, exp).table) == len(data.table)


def test_a_stop_is_heard_between_two_blocks_of_images():
  stop, read = signals.Stop(), []

  def build(on_progress):
    for done in range(0, 100, 10):
      on_progress(done, 100)
      read.append(done)
      stop.requested = done >= 20
    raise AssertionError('read on')

  with pytest.raises(signals.Stopped):
    run_data.read(build, stop, progress.Progress())
  assert read == [0, 10, 20]
