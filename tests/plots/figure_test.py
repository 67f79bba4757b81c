"""Every figure keeps its text inside, is written whole, and leaves Matplotlib as it was."""

import io
import pathlib
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from drawn import MAKERS, NOTE
from PIL import Image

from bloodcell_jax.plots import distribution, figure


def overhang(made):
  """How far, in inches, what is drawn reaches over the figure's border."""
  made.draw_without_rendering()
  box, size = made.get_tightbbox(), made.get_size_inches()
  return max(-box.x0, -box.y0, box.x1 - size[0], box.y1 - size[1])


@pytest.mark.parametrize('name', MAKERS)
def test_every_figure_is_a_png_that_keeps_its_text_inside_and_says_its_note(name):
  made = MAKERS[name]()
  data = figure.png(made, NOTE)
  shape = Image.open(io.BytesIO(data)).size
  np.testing.assert_allclose(shape, made.get_size_inches() * figure.DPI, atol=1)
  assert ' '.join(made.get_supxlabel().split()) == NOTE
  assert overhang(made) < 0.02
  # Negative control: without the line breaks the note does not fit into a narrow figure.
  made._supxlabel.set_text(' '.join([NOTE] * 3))
  assert overhang(made) > 0.5


def test_without_a_note_there_is_none():
  made = MAKERS['confusion']()
  figure.png(made, '')
  assert made.get_supxlabel() == ''


def test_a_figure_is_written_whole_and_the_same_every_time(tmp_path):
  path = tmp_path / 'figures' / 'history.png'
  figure.write(path, MAKERS['history'](), NOTE)
  first = path.read_bytes()
  figure.write(path, MAKERS['history'](), NOTE)
  assert path.read_bytes() == first
  assert [item.name for item in path.parent.iterdir()] == ['history.png']
  figure.write(path, MAKERS['history'](), '')
  assert path.read_bytes() != first


def test_drawing_leaves_matplotlib_as_it_was():
  before = dict(matplotlib.rcParams)
  for make in MAKERS.values():
    made = make()
  figure.png(made, '')
  assert dict(matplotlib.rcParams) == before


def test_neither_plots_nor_stats_load_pyplot_tensorflow_or_scikit_learn():
  names = 'plots.confusion plots.distribution plots.figure plots.history plots.reliability plots.samples'
  names += ' plots.diversity plots.members_curve stats.bootstrap stats.calibration stats.metrics stats.paired'
  code = ''.join(f'import bloodcell_jax.{name}\n' for name in names.split())
  heavy = ('matplotlib.pyplot', 'tensorflow', 'sklearn', 'scipy')
  code += f'import sys\nprint([m for m in {heavy} if m in sys.modules])'
  root = pathlib.Path(__file__).parents[2]
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=root, check=True)
  assert done.stdout.strip() == '[]'


def test_the_note_changes_a_figure():
  plain, marked = (figure.png(distribution.plot({'train': {'A': (3, 2)}}), note) for note in ('', NOTE))
  assert plain != marked


def test_a_figure_that_runs_share_is_drawn_once_and_again_for_other_data(tmp_path, monkeypatch):
  drawn = []

  def draw(counts):
    drawn.append(counts)
    return distribution.plot({'train': {'A': counts}})

  for name, counts, note in (('a', (3, 2), ''), ('b', (3, 2), ''), ('c', (4, 2), ''), ('d', (3, 2), NOTE)):
    figure.write_shared(tmp_path / name, draw, counts, note)
  assert drawn == [(3, 2), (4, 2), (3, 2)]
  first, second, third, noted = ((tmp_path / name).read_bytes() for name in 'abcd')
  assert first == second == figure.png(distribution.plot({'train': {'A': (3, 2)}}), '')
  assert len({first, third, noted}) == 3
