"""What every test shares: two fake CPU devices, compiled programs, one finished run, real images by name."""

import gc
import importlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from bloodcell_jax.system import process

# Before jax is first imported anywhere.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count=2'
# What is compiled in one test is found again by the next, by the other worker, by every process that a test starts and
# by the next session, as it is by a user's next run: in the user's cache. Every program is kept: a run
# compiles dozens of small ones.
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
process.keep_compiled()
process.switch_off_ynnpack()
# The other worker has the other core: threads of linear algebra would wait there for work, and take processor time
# while they wait.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import signal

import blank_figure
import drawn_once
import jax
import kept_programs
import pytest
import shared_runs
import starting

from bloodcell_jax.storage import workdir

jax.config.update('jax_numpy_rank_promotion', 'raise')

ROOT = pathlib.Path(__file__).parent.parent
# Files of few long tests, the longest first.
LONG = (
  'study/running_test.py', 'entry_point_test.py', 'old_runs_test.py', 'kill_test.py', 'starved_test.py',
  'ensemble_runs/vectorized_test.py', 'unread_output_test.py', 'other_system_test.py', 'hostile_names_test.py',
  'without_attributes_test.py', 'adapt_command_test.py', 'full_disk_test.py', 'moved_run_test.py', 'advice_test.py',
  'ensemble_runs/ensemble_training_test.py', 'identity/same_probabilities_test.py', 'weights/files_fuzz_test.py',
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
  """The workers take files in the order of `LONG`, not those of most tests first; smears are drawn once."""
  config.option.loadscopereorder = False
  # Workers and the processes that they start inherit it.
  if drawn_once.FOLDER not in os.environ:
    os.environ[drawn_once.FOLDER] = tempfile.mkdtemp()
    config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(drawn_once.FOLDER)))
  drawn_once.put()
  kept_programs.keep_all()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Long files come first: the last one would keep one worker busy while the other has nothing left to do."""
  place = {ROOT / 'tests' / name: number for number, name in enumerate(LONG)}
  items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
  """What was loaded and collected stays until the end; no collection of garbage looks through it again."""
  # Its plugin loads it at the end of any session. Loaded after the freeze, Hypothesis would not see who refers to the
  # random generators of other libraries, and warn.
  importlib.import_module('hypothesis')
  gc.freeze()
  # Tracing leaves much that is no garbage, which is looked through less often than by default.
  gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope='session')
def real_images() -> pathlib.Path:
  """The Kaggle folder named by BLOODCELL_DATA; tests that need it are skipped where it is not set."""
  folder = os.environ.get('BLOODCELL_DATA')
  if not folder:
    pytest.skip('BLOODCELL_DATA is not set to a folder of the real images')
  return pathlib.Path(folder)


@pytest.fixture(scope='module')
def blank_figures() -> Iterator[None]:
  """Every figure is written as the same small picture, for modules that claim nothing of what a figure shows.

  Drawing takes a third of a small run. Figures are drawn in `tests/plots`, `tests/entry_point_test.py` and others.
  """
  with pytest.MonkeyPatch.context() as patch:
    for each in blank_figure.replacements():
      patch.setattr(*each)
    yield


@pytest.fixture(scope='module')
def finished(tmp_path_factory) -> tuple[pathlib.Path, str]:
  """The folder of a tiny run that was started as a user starts it, and what it printed."""

  def train(folder: pathlib.Path) -> None:
    printed = starting.finish(folder / 'tiny')
    (folder / 'printed.txt').write_text(printed)

  folder = shared_runs.copy('finished', train, tmp_path_factory)
  return folder / 'tiny', (folder / 'printed.txt').read_text()


@pytest.fixture(scope='module')
def single(blank_figures, tmp_path_factory) -> workdir.Workdir:
  """A finished run of one network, for `tests/identity`."""
  import small_run

  return workdir.Workdir(shared_runs.copy('single', small_run.run, tmp_path_factory))


@pytest.fixture(scope='module')
def ensemble(blank_figures, tmp_path_factory) -> workdir.Workdir:
  """A finished ensemble of two networks, for `tests/identity`."""
  import small_run

  def train(folder: pathlib.Path) -> None:
    small_run.run(folder, 'svr', **{'ensemble.method': 'average'})

  return workdir.Workdir(shared_runs.copy('ensemble', train, tmp_path_factory))


@pytest.fixture(scope='module')
def averaged(blank_figures, tmp_path_factory) -> workdir.Workdir:
  """A finished ensemble of three networks, for `tests/ensemble_runs`."""
  import small_ensemble

  return workdir.Workdir(shared_runs.copy('averaged', small_ensemble.run, tmp_path_factory))


@pytest.fixture
def default_hangup():
  """SIGHUP as it is by default, for processes started by a test: `nohup` would make them ignore it."""
  before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
  yield
  signal.signal(signal.SIGHUP, before)
