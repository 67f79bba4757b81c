"""What docs/architecture.md says of the code, read from the syntax trees."""

from __future__ import annotations

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = sorted(
  path for top in ('bloodcell_jax', 'configs', 'benchmarks') for path in (ROOT / top).rglob('*.py')
) + [ROOT / 'main.py']
# From the top: a file imports only what stands in a later row, or in its own package.
LAYERS = (
  ('main',),
  ('commands',),
  ('ensembling',),
  ('boosted',),
  ('member',),
  ('cross_validation', 'export', 'explanation_page'),
  ('identify', 'explanation'),
  ('classifier', 'combining', 'together', 'deep_trees'),
  ('committee',),
  ('opening', 'staging', 'evidence'),
  ('top',),
  ('frozen', 'findings'),
  ('report', 'scoring', 'preview', 'comparison', 'review_page', 'survey', 'verdict'),
  ('report_members', 'ensemble_file', 'calibration_file'),
  ('report_split',),
  ('job',),
  ('experiment',),
  (
    'stages',
    'section',
    'workdir',
    'lock',
    'predict',
    'predictions',
    'by_group',
    'review',
    'page',
    'census',
    'journal',
  ),
  ('data', 'models', 'weights', 'optim', 'train', 'heads', 'stats', 'ensembles', 'explain', 'plots', 'audit'),
  ('groups', 'parallel', 'atomic', 'process'),
  ('run_format',),
  ('tree', 'rng', 'values', 'memory'),
  ('types',),
)
ROW = {unit: row for row, units in enumerate(LAYERS) for unit in units}
# Libraries that cost seconds or belong to one room, and where they may be named.
ROOMS = {
  'tensorflow': ('data/tensorflow_cpu.py',),
  'tensorflow_datasets': ('data/tfds_builder.py', 'data/tfds_source.py'),
  'orbax': ('train/checkpoint.py',),
  'matplotlib': ('plots/',),
  'tensorboard': ('train/events.py',),
  'cv2': ('audit/',),
  'ml_collections': ('experiment.py', 'section.py'),
  'jax2onnx': ('export/onnx_file.py',),
  'onnx': ('export/onnx_file.py',),
  'onnxruntime': ('export/onnx_file.py',),
}


def imported(source: str) -> set[str]:
  """Every module that a source names in an import, `from a import b` as `a.b`."""
  found: set[str] = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
  return found


def unit(module: str) -> str:
  return module.removeprefix('bloodcell_jax.').split('.')[0]


def wrong_imports(name: str, source: str) -> list[str]:
  """The imports of module `name` that point up or across."""
  own = unit(name)
  units = {unit(m) for m in imported(source) if m.startswith('bloodcell_jax.') and unit(m) in ROW}
  return sorted(other for other in units - {own} if ROW[other] <= ROW[own])


def misplaced(path: str, source: str) -> list[str]:
  """The libraries named in a file that is not one of their rooms."""
  libraries = {module.split('.')[0] for module in imported(source)} & set(ROOMS)
  return sorted(name for name in libraries if not path.startswith(ROOMS[name]))


def without_docstring(source: str) -> list[str]:
  """The module (''), public classes and public functions that do not say what they are."""
  tree = ast.parse(source)
  found = [] if ast.get_docstring(tree) or not tree.body else ['']
  for node in ast.iter_child_nodes(tree):
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith('_'):
      # A plain record of fields, each with its comment, says enough by its name.
      is_record = isinstance(node, ast.ClassDef) and all(isinstance(n, ast.AnnAssign) for n in node.body)
      if not ast.get_docstring(node) and not is_record:
        found.append(node.name)
  return found


def package_files() -> list[pathlib.Path]:
  return [path for path in SOURCES if 'bloodcell_jax' in path.parts]


def module_name(path: pathlib.Path) -> str:
  return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


@pytest.mark.parametrize('path', package_files(), ids=module_name)
def test_imports_point_one_way(path):
  name = module_name(path)
  if name != 'bloodcell_jax':
    assert unit(name) in ROW, f'{name}: give it a row in LAYERS and in docs/architecture.md'
    assert wrong_imports(name, path.read_text()) == []


def test_an_import_up_or_across_is_seen():
  assert wrong_imports('bloodcell_jax.data.kaggle', 'from bloodcell_jax.stats import metrics') == ['stats']
  assert wrong_imports('bloodcell_jax.train.loop', 'import bloodcell_jax.job') == ['job']
  assert wrong_imports('bloodcell_jax.types', 'from bloodcell_jax import rng') == ['rng']


@pytest.mark.parametrize('path', package_files(), ids=module_name)
def test_heavy_libraries_stay_in_their_rooms(path):
  inside = path.relative_to(ROOT / 'bloodcell_jax').as_posix()
  assert misplaced(inside, path.read_text()) == []
  if inside != 'parallel.py':
    assert 'pmap(' not in path.read_text()


def test_a_library_out_of_its_room_is_seen():
  assert misplaced('models/cnn.py', 'import tensorflow as tf\nfrom matplotlib import pyplot') == [
    'matplotlib',
    'tensorflow',
  ]


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_a_drawer_of_helpers(path):
  assert path.stem not in ('utils', 'util', 'helpers', 'common', 'misc')


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_public_says_what_it_is(path):
  assert without_docstring(path.read_text()) == []


def test_a_missing_docstring_is_seen():
  assert without_docstring('def run(): pass') == ['', 'run']


def missing_paths(text: str) -> list[str]:
  """Paths between back-ticks that do not exist in the project."""
  found = re.findall(r'`([\w./-]+(?:/|\.(?:py|md|txt|toml|csv)))`', text)
  # What a run or a user makes, which is no part of the project.
  made = (
    'runs/',
    'predictions/',
    'predictions.csv',
    'differential.csv',
    'groups/',
    'checkpoints/',
    'config.json',
    'figures/',
    'labels.csv',
    'groups.csv',
    'pairs.csv',
    'model_card.md',
    'members/',
    'out_of_fold.csv',
  )
  return [
    p
    for p in found
    if not p.startswith(made) and not any((ROOT / top / p).exists() for top in ('', 'bloodcell_jax'))
  ]


@pytest.mark.parametrize('path', sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')]), ids=lambda p: p.name)
def test_paths_named_in_the_docs_exist(path):
  assert missing_paths(path.read_text()) == []


def test_a_path_that_does_not_exist_is_seen():
  assert missing_paths('see `bloodcell_jax/nowhere.py` and `README.md`') == ['bloodcell_jax/nowhere.py']


def loaded_by(statement: str) -> set[str]:
  """The top-level modules loaded in a fresh process after the statement."""
  code = f'{statement}\nimport sys; print(*{{name.split(".")[0] for name in sys.modules}})'
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return set(done.stdout.split())


def test_training_loads_no_tensorflow_and_help_loads_no_jax():
  assert 'tensorflow' not in loaded_by('import bloodcell_jax.commands.train, bloodcell_jax.train.loop')
  assert 'jax' not in loaded_by('import main')
  assert 'tensorflow' in loaded_by('from bloodcell_jax.data.tensorflow_cpu import tf; tf.constant'), (
    'the check itself must see it'
  )
