"""Where training images lie is left to the program: on an accelerator that has the memory, and as a run began."""

from __future__ import annotations

import types

import pytest

from bloodcell_jax.config import experiment
from bloodcell_jax.runs import pipeline_choice
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress
from configs import default

# Of so many images of the default size an eighth of the memory is a little more.
NUM, FREE = 1000, 8 * 1000 * 3 * 64**2 + 8


def resolve(**changes) -> experiment.Experiment:
  flat = {**experiment.flat(default.get_config()), 'data.image_size': 64, **changes}
  return experiment.resolve(experiment.nest(flat))


def accelerator(platform: str = 'gpu', free: int = FREE) -> types.SimpleNamespace:
  """What the choice asks of the devices."""
  device = types.SimpleNamespace(memory_stats=lambda: {'bytes_limit': free})
  on = types.SimpleNamespace(platform=platform, each=[device])
  on.local = on
  return on


def images(num: int) -> types.SimpleNamespace:
  """What the choice asks of the data."""
  return types.SimpleNamespace(rows={'train': range(num - 1), 'validation': range(1)})


def test_images_lie_on_an_accelerator_that_has_the_memory():
  assert pipeline_choice.choose(resolve(), accelerator(), images(NUM)) == 'device'
  assert (
    pipeline_choice.choose(resolve(**{'augment.rotation_range': 10.0}), accelerator(), images(NUM))
    == 'device'
  )


@pytest.mark.parametrize(
  ('changes', 'on', 'num'),
  [
    ({}, accelerator('cpu'), NUM),
    ({}, accelerator(), NUM + 1),
    ({}, accelerator(free=FREE - 9), NUM),
    ({'augment.hue_range': 0.1}, accelerator(), NUM),
    ({'data.cache': 'none'}, accelerator(), NUM),
    ({'ensemble.method': 'average', 'ensemble.members': 2, 'ensemble.vectorized': 2}, accelerator(), NUM),
  ],
  ids=[
    'a CPU',
    'more images',
    'less memory',
    'an augmentation of the host alone',
    'images on the disk',
    'members in one program',
  ],
)
def test_otherwise_in_the_memory_of_the_host(changes, on, num):
  assert pipeline_choice.choose(resolve(**changes), on, images(num)) == 'tf_data'


def test_a_run_keeps_what_it_began_with_on_any_machine(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(pipeline_choice.devices, 'devices', lambda *args: accelerator())
  folder = workdir.Workdir(tmp_path)
  flat = experiment.flat(default.get_config())
  folder.write_config({**flat, 'data.pipeline': 'tf_data'})
  assert pipeline_choice.settle(resolve(), folder, images(NUM), progress.Progress()).pipeline == 'device', (
    'nothing was trained'
  )
  assert 'data.pipeline: device, because' in capsys.readouterr().out
  (folder.checkpoints / '4').mkdir(parents=True)
  assert pipeline_choice.settle(resolve(), folder, images(NUM), progress.Progress()).pipeline == 'tf_data'
  forced = resolve(**{'data.pipeline': 'numpy'})
  assert pipeline_choice.settle(forced, folder, images(NUM), progress.Progress()) is forced
