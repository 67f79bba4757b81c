"""What docs/architecture.md says of the code, read from the syntax trees."""

from __future__ import annotations

import ast
import graphlib
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = 'bloodcell_jax'
SOURCES = sorted(
  path for top in (PACKAGE, 'configs', 'benchmarks') for path in (ROOT / top).rglob('*.py')
) + [ROOT / 'main.py']
# The rooms, folders of the package, in rows from the top: a file imports from its own room and from lower rows only.
ROWS = (
  ('commands',),
  ('study', 'serving'),
  ('audit', 'explain', 'export'),
  ('inference', 'ensemble_runs', 'adaptation'),
  ('runs',),
  ('reports',),
  ('config', 'storage'),
  ('data', 'models', 'weights', 'optim', 'heads', 'ensembles', 'stats', 'plots', 'train'),
  ('fields',),
  ('system',),
  ('base',),
)
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
# Libraries that take seconds to load or belong to one room, and where they may be imported.
LIBRARIES = {
  'tensorflow': ('data/tensorflow_cpu.py',),
  'tensorflow_datasets': ('data/sources/tfds_builder.py', 'data/sources/tfds_source.py'),
  'orbax': ('train/checkpoint.py',),
  'matplotlib': ('plots/',),
  'tensorboard': ('train/events.py',),
  'ml_collections': ('config/experiment.py', 'config/section.py', 'commands/command_line.py'),
  'sklearn': (
    'heads/',
    'ensembles/stacking.py',
    'stats/roc_area.py',
    'stats/agreement.py',
    'audit/colour_nn.py',
    'base/groups.py',
  ),
  'scipy': (
    'stats/',
    'audit/',
    'ensembles/boosting.py',
    'heads/logistic.py',
    'explain/explainer.py',
    'explain/randomness.py',
    'data/augmentation/',
    'inference/classifier.py',
    'runs/forward.py',
  ),
  'skimage': ('data/images/locate.py', 'data/augmentation/photometric.py', 'fields/'),
  'cv2': ('audit/', 'data/images/wide_colours.py', 'fields/'),
  'tifffile': ('data/images/tiff.py',),
  'PIL': ('data/', 'plots/', 'explain/cam.py', 'reports/review_images.py'),
  'h5py': ('weights/hdf5.py',),
  'safetensors': ('weights/', 'export/'),
  'filelock': ('system/cpp_library.py', 'system/lock.py', 'system/program_cache.py'),
  'starlette': ('serving/',),
  'uvicorn': ('serving/',),
  'onnx': ('export/onnx_',),
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


def room(module: str) -> str:
  """The folder below the package that the module lies in; '' for the package itself."""
  return module.removeprefix(f'{PACKAGE}.').split('.')[0] if '.' in module else ''


def wrong_imports(name: str, source: str) -> list[str]:
  """The rooms that module `name` imports from although they stand in its own row or above."""
  own = room(name)
  rooms = {room(module) for module in imported(source) if module.startswith(f'{PACKAGE}.')}
  return sorted(other for other in rooms - {own} if other in ROW and ROW[other] <= ROW[own])


def circle(imports: dict[str, set[str]]) -> list[str]:
  """Modules that import one another in a circle; empty where there is none."""
  try:
    list(graphlib.TopologicalSorter(imports).static_order())
  except graphlib.CycleError as error:
    return error.args[1]
  return []


def between_parts(imports: dict[str, set[str]], inside: str) -> dict[str, set[str]]:
  """What the parts of a room, its folders and files, import from one another."""
  parts: dict[str, set[str]] = {}
  for name, modules in imports.items():
    if name.startswith(f'{inside}.'):
      part = name.removeprefix(f'{inside}.').split('.')[0]
      others = {m.removeprefix(f'{inside}.').split('.')[0] for m in modules if m.startswith(f'{inside}.')}
      parts.setdefault(part, set()).update(others - {part})
  return parts


def misplaced(path: str, source: str) -> list[str]:
  """The libraries imported by a file that is not one of their places."""
  libraries = {module.split('.')[0] for module in imported(source)} & set(LIBRARIES)
  return sorted(name for name in libraries if not path.startswith(LIBRARIES[name]))


def without_docstring(source: str) -> list[str]:
  """The module (''), public classes and public functions without a docstring."""
  tree = ast.parse(source)
  found = [] if ast.get_docstring(tree) or not tree.body else ['']
  for node in ast.iter_child_nodes(tree):
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith('_'):
      # The fields of a plain record have comments of their own.
      is_record = isinstance(node, ast.ClassDef) and all(isinstance(n, ast.AnnAssign) for n in node.body)
      if not ast.get_docstring(node) and not is_record:
        found.append(node.name)
  return found


def package_files() -> dict[str, pathlib.Path]:
  """Module name -> file."""
  files = (ROOT / PACKAGE).rglob('*.py')
  return {'.'.join(p.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): p for p in files}


def test_every_file_lies_in_a_room():
  assert {room(name) for name in package_files()} - {''} <= set(ROW)
  assert [path.name for path in (ROOT / PACKAGE).glob('*.py')] == ['__init__.py']


def test_imports_point_one_way():
  wrong = {
    name: wrong_imports(name, path.read_text()) for name, path in package_files().items() if room(name)
  }
  assert {name: rooms for name, rooms in wrong.items() if rooms} == {}


def test_an_import_up_or_across_is_seen():
  assert wrong_imports('bloodcell_jax.data.dataset', 'from bloodcell_jax.stats import metrics') == ['stats']
  assert wrong_imports('bloodcell_jax.train.loop', 'import bloodcell_jax.runs.job') == ['runs']
  assert wrong_imports('bloodcell_jax.base.types', 'from bloodcell_jax.system import atomic') == ['system']
  assert wrong_imports('bloodcell_jax.runs.job', 'from bloodcell_jax.train import loop') == []


def test_no_modules_import_one_another_in_a_circle():
  files = package_files()
  # Annotations that only a type checker reads count too: two files that need each other's names are one.
  imports = {
    name: {module for module in imported(path.read_text()) if module in files} for name, path in files.items()
  }
  assert circle(imports) == []
  assert circle({'a': {'b'}, 'b': {'c'}, 'c': {'a'}}), 'the check itself must see one'


def test_no_folders_of_a_room_import_one_another_in_a_circle():
  files = package_files()
  imports = {
    name: {module for module in imported(path.read_text()) if module in files} for name, path in files.items()
  }
  parts = between_parts(imports, f'{PACKAGE}.data')
  assert {'sources', 'images', 'division', 'augmentation', 'dataset', 'reading'} <= set(parts)
  assert all(circle(between_parts(imports, f'{PACKAGE}.{name}')) == [] for name in ROW)


def test_a_circle_of_folders_without_a_circle_of_files_is_seen():
  imports = {'data.dataset': {'data.division.leaks'}, 'data.division.folds': {'data.dataset'}}
  assert circle(imports) == []
  assert circle(between_parts(imports, 'data')), (
    'two files of one folder, one above and one below another part'
  )


def test_heavy_libraries_stay_in_their_places():
  wrong = {}
  for path in package_files().values():
    inside = path.relative_to(ROOT / PACKAGE).as_posix()
    if names := misplaced(inside, path.read_text()):
      wrong[inside] = names
  assert wrong == {}


def test_only_one_file_says_pmap():
  says = [path.name for path in package_files().values() if 'pmap(' in path.read_text()]
  assert says == ['devices.py']


def test_a_library_out_of_its_place_is_seen():
  assert misplaced('models/cnn.py', 'import tensorflow as tf\nfrom matplotlib import pyplot') == [
    'matplotlib',
    'tensorflow',
  ]
  assert misplaced('data/dataset.py', 'import scipy.ndimage, sklearn.svm, skimage, cv2') == [
    'cv2',
    'scipy',
    'skimage',
    'sklearn',
  ]


def test_no_file_is_a_drawer():
  drawers = ('utils', 'util', 'helpers', 'common', 'misc')
  assert [str(path) for path in SOURCES if path.stem in drawers] == []


def test_everything_public_says_what_it_is():
  wrong = {str(path.relative_to(ROOT)): without_docstring(path.read_text()) for path in SOURCES}
  assert {path: names for path, names in wrong.items() if names} == {}


def test_a_missing_docstring_is_seen():
  assert without_docstring('def run(): pass') == ['', 'run']


def test_the_map_lists_every_room_in_its_row():
  text = (ROOT / 'docs' / 'architecture.md').read_text()
  rows = [
    ' '.join(rooms) if len(rooms) == 1 else '{' + ' '.join(rooms) + '}'
    for rooms in ROWS
    if any((ROOT / PACKAGE / name).is_dir() for name in rooms)
  ]
  assert ' > '.join(rows) in ' '.join(text.split())


def loaded_by(statement: str, *folders: pathlib.Path) -> set[str]:
  """The top-level modules loaded in a fresh process after the statement; those of `folders` come first."""
  code = f'{statement}\nimport sys; print(*{{name.split(".")[0] for name in sys.modules}})'
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, (*folders, ROOT)))},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return set(done.stdout.split())


def test_training_loads_no_tensorflow_and_help_loads_no_jax(tmp_path):
  assert 'tensorflow' not in loaded_by('import bloodcell_jax.commands.train, bloodcell_jax.train.loop')
  assert 'jax' not in loaded_by('import main')
  # In the place of the library, which takes seconds to load.
  (tmp_path / 'tensorflow.py').write_text(
    'import types\nconfig = types.SimpleNamespace(set_visible_devices=lambda *given: None)\n'
  )
  lazy = 'from bloodcell_jax.data.tensorflow_cpu import tf; '
  assert 'tensorflow' not in loaded_by(lazy, tmp_path)
  assert 'tensorflow' in loaded_by(f'{lazy}tf.config', tmp_path), 'the check itself must see it'
