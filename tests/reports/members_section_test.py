"""Which networks the report of an ensemble describes."""

from __future__ import annotations

import pytest

from bloodcell_jax.reports import members_section
from bloodcell_jax.storage import ensemble_file, workdir
from bloodcell_jax.system import atomic

A, B = {'name': 'cnn_a', 'num_parameters': 5}, {'name': 'cnn_b', 'num_parameters': 7}


@pytest.fixture
def folder(tmp_path) -> workdir.Workdir:
  """An ensemble of members cnn_a, cnn_b, cnn_a."""
  made = workdir.Workdir(tmp_path)
  for number, network in enumerate((A, B, A), 1):
    own = workdir.Workdir(ensemble_file.member(made, number))
    own.path.mkdir(parents=True)
    atomic.write_json(own.environment, {'network': network})
  return made


def test_each_architecture_of_the_members_is_described_once(folder):
  assert members_section.networks(folder, {'members': ['1', '2', '3']}, A) == [A, B]


@pytest.mark.parametrize(
  'ensemble',
  [
    None,
    {'members': ['1', '3']},
    {'members': ['8', '9']},
    {'members': ['runs/a', 'runs/b'], 'runs': ['/runs/a', '/runs/b']},
  ],
)
def test_one_architecture_is_described_by_the_run_itself(folder, ensemble):
  own = {**A, 'stages': ['of the run']}
  assert members_section.networks(folder, ensemble, own) == [own]
