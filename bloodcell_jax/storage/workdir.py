"""A run's folder: its paths, its config and environment, and whether it belongs to an experiment."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax

import bloodcell_jax
from bloodcell_jax.base import pipelines, run_format, shell, types
from bloodcell_jax.storage import config_keys, continuation
from bloodcell_jax.system import atomic, missing_path

# The key of a folder that holds no run of its own, only the combined predictions of others.
COMBINED = 'combined_runs'
# The entry of metrics.json that belongs to no split: mean and spread over the folds of a cross-validation.
FOLDS = 'folds'
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'pillow', 'scikit-learn')


class Workdir:
  """Paths inside a run's folder; reads and writes config.json and environment.json."""

  def __init__(self, path: str | pathlib.Path, cache: pathlib.Path | None = None):
    """The folder at `path`; `cache` holds decoded images and frozen features, in the folder itself where it is None."""
    self.path = pathlib.Path(path)
    self.config = self.path / 'config.json'
    self.environment = self.path / 'environment.json'
    self.checkpoints = self.path / 'checkpoints'
    self.cache = cache or self.path / 'cache'
    self.statistics = self.path / 'statistics.npz'
    self.history = self.path / 'history.jsonl'
    self.metrics = self.path / 'metrics.json'
    self.calibration = self.path / 'calibration.json'
    self.unlike = self.path / 'unlike.npz'
    self.figures = self.path / 'figures'
    self.ensemble = self.path / 'ensemble.json'
    self.report = self.path / 'report.html'
    self.log = self.path / 'log.txt'
    self.digests = self.path / 'digests.csv'
    self.thumbnails = self.path / 'thumbnails.npz'
    self.adaptation = self.path / 'adaptation.json'
    self.next_labels = self.path / 'label_next.csv'

  def predictions(self, split: str) -> pathlib.Path:
    return self.path / 'predictions' / f'{split}.csv'

  def groups(self, split: str) -> pathlib.Path:
    return self.path / 'groups' / f'{split}.csv'

  def list(self, name: str) -> pathlib.Path:
    """The run's own copy of the list that `data.NAME` names, such as groups_csv."""
    return self.path / 'lists' / f'{name.removesuffix("_csv")}.csv'

  def review(self, split: str) -> pathlib.Path:
    return self.path / 'review' / f'{split}.json'

  def write_config(self, config: Mapping[str, Any]) -> None:
    """Writes the resolved flat config unless the folder holds a run of another config; the run keeps its format.

    A trained run also keeps the place of its images until those at another place are known to be the same. A command
    that was refused, or stopped before anything was trained, leaves no run: the corrected command may follow it.

    Raises:
      UserError: as `check_continued`.
    """
    config = self.with_format(config)
    if self.config.exists() and self.has_results():
      self.check_continued(config)
      # In the order of the file, so that the same command again leaves the same bytes.
      config = {key: config[key] for key in {**_read_json(self.config), **config} if key in config}
      # These keys describe the present figures and calibration; `begin_scoring` changes them when it replaces those.
      saved, is_described = self.read_config(), self.environment.exists()
      config = {
        key: saved.get(key, value)
        if config_keys.is_of_figures(key)
        or (is_described and key in config_keys.PLACES)
        or (key == pipelines.KEY and value == pipelines.AUTO)
        or continuation.is_kept(key, config)
        else value
        for key, value in config.items()
      }
    else:
      # What a command that was refused has written of another config or of other data.
      for path in (self.environment, self.statistics, self.digests, self.thumbnails):
        path.unlink(missing_ok=True)
    atomic.write_json(self.config, dict(config))

  def has_results(self) -> bool:
    """Whether anything was trained or combined in the folder, by the run or by one of its members or folds."""
    if any(path.exists() for path in (self.metrics, self.history, self.ensemble, self.report)):
      return True
    return any(
      next(self.path.glob(f'{parts}{self.checkpoints.name}/*'), None)
      for parts in ('', 'members/*/', 'folds/*/')
    )

  def with_format(self, config: Mapping[str, Any]) -> dict[str, Any]:
    """The flat config with the format of the folder's run; without a run, its own format or the current one.

    Raises:
      UserError: the run's config is damaged.
    """
    if self.config.exists():
      number = self.read_config()[run_format.KEY]
    else:
      number = config.get(run_format.KEY, run_format.CURRENT)
    return {**config, run_format.KEY: number}

  def check_config(self, config: Mapping[str, Any]) -> None:
    """Raises UserError if the folder holds a run of another config, naming every key that differs."""
    differing = config_keys.differences(self.read_config(), config)
    if differing:
      listed = '; '.join(f'{key} was {old!r} and is {new!r}' for key, old, new in differing)
      raise types.UserError(
        f'{self.path} holds a run of another config: {listed}. Choose another --workdir for a new run; to continue '
        'this one, set these keys as they were'
      )

  def check_continued(self, config: Mapping[str, Any]) -> None:
    """As `check_config`, for a command that trains; raises UserError also where `continuation.check` refuses it."""
    self.check_config(config)
    continuation.check(self.path, self.read_config(), config)

  def begin_scoring(self, evaluation: Mapping[str, Any], keeps_unlike: bool = False) -> None:
    """Removes what is written anew with the figures, and writes the keys that the next calibration is fitted with.

    **Guarantees**: whenever the process ends, no calibration stands beside keys that it was not fitted with, and no
    report beside figures that it does not show.

    Args:
      evaluation: `Experiment.evaluation`, keys of the section `evaluate`.
      keeps_unlike: whether the measure of unlike images stays; else it goes with the report and the calibration.
    """
    for path in (self.report, self.calibration, *(() if keeps_unlike else (self.unlike,))):
      path.unlink(missing_ok=True)
    own = {f'evaluate.{key}': value for key, value in evaluation.items()}
    atomic.write_json(self.config, {**self.read_config(), **own})

  def read_config(self) -> dict[str, Any]:
    """The flat config of the run under the current keys, with the run's format.

    Raises:
      UserError: there is no run here, or its config is damaged or of a later version.
    """
    return run_format.upgrade(_read_json(self.config), str(self.config))

  def write_environment(
    self,
    devices: Sequence[jax.Device],
    data: Mapping[str, Any],
    network: Mapping[str, Any],
    is_trained: bool = False,
  ) -> None:
    """Writes versions, devices, commit, network and the data's fingerprint, unless the run used other data.

    Args:
      devices: that train.
      data: a description of the images.
      network: a description of the network.
      is_trained: nothing remains to be trained, so that what a file already here says of versions, devices, commit,
        date and network, those of the training, is kept.

    Raises:
      UserError: the folder's run used other images, labels, groups or splits.
    """
    before: dict[str, Any] = {}
    if self.environment.exists():
      self.check_data(data['fingerprint'])
      before = self.read_environment() if is_trained else {}
    atomic.write_json(
      self.environment,
      {
        'bloodcell_jax': bloodcell_jax.__version__,
        'git_commit': _git_commit(),
        'python': platform.python_version(),
        'platform': platform.platform(),
        'num_cores': os.cpu_count(),
        'date': time.strftime('%Y-%m-%d', time.gmtime()),
        'packages': {name: importlib.metadata.version(name) for name in PACKAGES},
        'devices': [{'platform': d.platform, 'kind': d.device_kind} for d in devices],
        'network': dict(network),
        **before,
        'data': dict(data),
      },
    )

  def read_environment(self) -> dict[str, Any]:
    """Versions, devices, commit and a description of the data.

    Raises:
      UserError: it is missing or damaged.
    """
    return _read_json(self.environment)

  def read_metrics(self) -> dict[str, Any]:
    """All entries, with today's names of the keys of `evaluate`; empty where nothing has been scored.

    Raises:
      UserError: they are damaged.
    """
    try:
      entries = json.loads(atomic.read_text(self.metrics))
    except FileNotFoundError:
      return {}
    except ValueError:
      raise types.UserError(
        f'{self.metrics}: damaged, or changed since it was written; remove it and evaluate the run again'
      ) from None
    return {name: with_current_evaluation(entry) for name, entry in entries.items()}

  def read_splits(self) -> dict[str, Any]:
    """The figures of merit by split. Raises UserError if they are damaged."""
    return {name: entry for name, entry in self.read_metrics().items() if not _is_of_folds(name, entry)}

  def read_folds(self) -> dict[str, Any] | None:
    """Mean and spread over the folds of a cross-validation, or None. Raises UserError if they are damaged."""
    entry = self.read_metrics().get(FOLDS)
    return entry if entry is not None and _is_of_folds(FOLDS, entry) else None

  def check_data(self, fingerprint: str) -> None:
    """Raises UserError if the folder's run used other images, labels, groups or splits."""
    before = self.read_environment()['data']['fingerprint']
    if before != fingerprint:
      raise types.UserError(
        f'{self.path} holds a run on other data (images, labels, groups or splits; fingerprint {before}, now '
        f'{fingerprint}). Name the folder of its own images with --data_dir, or choose another --workdir for a new run'
      )


def problem(entry: Any) -> types.Problem:
  """A file left out, as environment.json has it: a record; of earlier versions a line, `file: reason`."""
  if isinstance(entry, str):
    return types.Problem(*entry.partition(': ')[::2])
  return types.Problem(**entry)


def with_current_evaluation(entry: Any) -> Any:
  """A record of any version whose `evaluation`, if it has one, gets today's keys of `evaluate`."""
  if not isinstance(entry, dict) or not isinstance(entry.get('evaluation'), dict):
    return entry
  # Earlier versions did not record this one.
  share = run_format.ADDED['evaluate.unlike_share']
  keys = run_format.upgrade_section('evaluate', entry['evaluation'])
  return {**entry, 'evaluation': {'unlike_share': share, **keys}}


def _is_of_folds(name: str, entry: Mapping[str, Any]) -> bool:
  # Earlier versions may have scored a folder of this name.
  return name == FOLDS and 'num_folds' in entry


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  try:
    return json.loads(atomic.read_text(path))
  except (FileNotFoundError, NotADirectoryError):
    above = next((each for each in path.parent.parents if (each / path.name).is_file()), None)
    if above is not None and path.name == 'config.json':
      raise types.UserError(
        f'{path.parent}: is a part of a run; name its folder, --workdir={shell.word(above)}'
      ) from None
    where = '' if path.parent.exists() else missing_path.hint(str(path.parent))
    raise types.UserError(
      f'{path.parent}: no run here ({path.name} is missing); train one first{where}'
    ) from None
  except ValueError:
    raise types.UserError(
      f'{path}: not JSON, or changed since it was written; {atomic.restoring(path)}, or choose another --workdir'
    ) from None


def _git_commit() -> str | None:
  """The commit of a checkout of this package; None where it is installed, also within another one's checkout."""
  package = pathlib.Path(__file__).resolve().parent.parent

  def ask(*arguments: str) -> str:
    return subprocess.run(
      ['git', *arguments], cwd=package, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()

  try:
    if pathlib.Path(ask('rev-parse', '--show-toplevel')).resolve() != package.parent:
      return None
    return ask('rev-parse', 'HEAD')
  except (OSError, subprocess.SubprocessError):
    return None
