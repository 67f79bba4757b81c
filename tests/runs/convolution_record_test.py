"""How a run's convolutions are computed is written down, and a change on another machine is said."""

import json

import pytest

from bloodcell_jax.config import experiment
from bloodcell_jax.models import compiled_pool
from bloodcell_jax.runs import convolution_record
from bloodcell_jax.storage import workdir
from configs import default


def resolve(**changes):
  return experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **changes}))


@pytest.mark.parametrize(
  ('missing', 'changes', 'said'),
  [
    ('', {}, 'compiled'),
    ('no C++ compiler', {}, 'winograd (no C++ compiler)'),
    ('', {'model.convolution': 'direct'}, 'direct'),
  ],
)
def test_it_says_what_computes_the_convolutions(monkeypatch, missing, changes, said):
  monkeypatch.setattr(compiled_pool, 'missing', lambda: missing)
  assert convolution_record.used(resolve(**changes)) == said


@pytest.mark.parametrize(
  ('before', 'missing', 'is_said'),
  [
    ('compiled', '', False),
    ('compiled', 'no C++ compiler', True),
    ('winograd (no C++ compiler)', '', True),
    ('winograd (no C++ compiler)', 'no room', False),
    (None, '', False),
  ],
)
def test_a_change_on_the_way_is_said_with_its_reason(tmp_path, monkeypatch, before, missing, is_said):
  monkeypatch.setattr(compiled_pool, 'missing', lambda: missing)
  folder = workdir.Workdir(tmp_path)
  network = {} if before is None else {convolution_record.KEY: before}
  folder.environment.write_text(json.dumps({'network': network}))
  line = convolution_record.note(resolve(), folder)
  assert ('continues with' in line) == is_said
  if is_said:
    assert line.startswith(f'the run was begun with convolutions {before} and continues with ')
    assert missing in line


@pytest.mark.parametrize(
  ('name', 'missing', 'is_said'),
  [('cnn_a', '', False), ('cnn_a', 'no C++ compiler', True), ('vgg16', 'no C++ compiler', False)],
)
def test_a_new_run_of_the_study_says_what_it_loses(tmp_path, monkeypatch, name, missing, is_said):
  monkeypatch.setattr(compiled_pool, 'missing', lambda: missing)
  line = convolution_record.note(resolve(**{'model.name': name}), workdir.Workdir(tmp_path))
  assert bool(line) == is_said
  assert missing in line or not is_said
  assert ('less than half the time' in line) == is_said
