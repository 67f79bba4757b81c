"""The images of a study, decoded once for all neighbouring rows that see them alike."""

from __future__ import annotations

from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.runs import own_lists, run_data
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


class Images:
  """Reads the images of runs and keeps the last ones in memory; `read` is a `run_data.ReadImages`.

  **Guarantees**: a run gets the images and the division that `run_data.read_images` would give it.
  """

  def __init__(self) -> None:
    self.num_decoded = 0  # times that images were decoded
    self._spec: reading.Spec | None = None
    self._data: dataset.Dataset | None = None

  def read(
    self,
    exp: experiment.Experiment,
    folder: workdir.Workdir,
    stop: signals.Stop,
    progress: progress_lib.Progress,
  ) -> dataset.Dataset:
    """The images of a run, from memory where the run before saw them alike."""
    exp = own_lists.in_use(folder, exp, progress.line)
    if self._data is None or self._spec != exp.data:
      # Released first: two sets may not fit into memory.
      self._spec = self._data = None
      self._data = run_data.read_images(exp, folder, stop, progress)
      self._spec = exp.data
      self.num_decoded += 1
    return run_data.divide(reading.divide(self._data, exp.data, exp.division_seed), exp)
