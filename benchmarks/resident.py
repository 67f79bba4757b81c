"""The way `resident` of `benchmarks.accelerator`: images on the device, augmented there, several updates a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.step_cases import CASES


def calls(name: str) -> tuple[Callable[[], Any], int]:
  """A call of several updates with the study's augmentation, as in a run, which returns their losses; and how many.

  Args:
    name: cnn_a or cnn_b.
  """
  from bloodcell_jax.system import process

  process.set_up()
  import jax

  from bloodcell_jax.config import experiment
  from bloodcell_jax.runs import cost, resident_updates
  from bloodcell_jax.train import signals
  from configs import cnn_b_augmented

  case = CASES[name]
  changes = {
    'model.name': name,
    'model.dropout_rate': case.dropout_rate,
    'train.batch_size': case.batch_size,
    'data.image_size': case.input_shape[0],
    'data.pipeline': 'device',
  }
  exp = experiment.from_flat({**experiment.flat(cnn_b_augmented.get_config()), **changes})
  job, stage = cost.black_job(exp, ('a', 'b', 'c', 'd'), signals.Stop()), exp.stages[0]
  resident = resident_updates.build(job, stage, None)
  assert resident is not None, 'asked for above'
  size, batches, key = resident.many.size, resident.batches(0), job.dropout_key()
  state = [job.initial_state(stage, job.params, 0)]

  def run() -> Any:
    input_U = jax.tree.map(lambda *leaf_U: np.stack(leaf_U), *(next(batches) for _ in range(size)))
    state[0], report_U = resident.many.step(state[0], input_U, size, key, np.float32(1))
    return report_U.loss

  return run, size
