"""What every test shares: two fake CPU devices, implicit rank promotion as an error, real images by name."""

import io
import os
import pathlib
from collections.abc import Iterator

# Before jax is first imported anywhere.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count=2'

import signal

import jax
import pytest
from PIL import Image

jax.config.update('jax_numpy_rank_promotion', 'raise')

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope='session', autouse=True)
def _programs(tmp_path_factory: pytest.TempPathFactory) -> None:
  """What is compiled in one test is found again by the next, as it is by a user's next run."""
  jax.config.update('jax_compilation_cache_dir', str(tmp_path_factory.mktemp('programs')))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)


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
  from bloodcell_jax.plots import figure

  buffer = io.BytesIO()
  Image.new('RGB', (8, 8), 'white').save(buffer, 'PNG')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(figure, 'png', lambda fig, note: buffer.getvalue())
    yield


@pytest.fixture
def default_hangup():
  """SIGHUP as it is by default, for processes started by a test: `nohup` would make them ignore it."""
  before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
  yield
  signal.signal(signal.SIGHUP, before)
