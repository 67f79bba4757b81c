"""The series of `benchmarks.growth`: what grows in each, and in which steps."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import growth_runs, growth_step

# What a child process measures.
STEP, SCORES, AVERAGE = 'step', 'scores', 'average'


@dataclasses.dataclass(frozen=True)
class Point:
  """One size of a series."""

  work: float  # in the unit of the series
  label: str  # for the table
  argument: Any  # of the child or of the run


@dataclasses.dataclass(frozen=True)
class Series:
  """One thing that grows, all else equal."""

  title: str
  unit: str  # of the work
  model: str
  points: tuple[Point, ...]
  judged: tuple[str, ...]  # quantities of which the line is judged
  child: str  # what a child process measures; '' for whole runs
  run: Callable[[pathlib.Path, Any], Any] | None  # a whole run of a size below a folder
  # Whether each size compiles a program of its own, and is run once before it is measured; else the first alone is.
  compiles_each: bool


def steps(
  title: str, unit: str, cases: Sequence[growth_step.Case], work: Callable[[growth_step.Case], float]
) -> Series:
  """A series of steps."""
  points = tuple(Point(work(case), _label(case), dataclasses.asdict(case)) for case in cases)
  return Series(title, unit, cases[0].model, points, ('ms', 'step_mb'), STEP, None, False)


def series(is_quick: bool, images: Sequence[int]) -> dict[str, Series]:
  """Every series by name.

  Args:
    is_quick: the smallest sizes.
    images: numbers of training images of the series `images`.
  """
  case = growth_step.Case
  batch, small = (2, 112) if is_quick else (50, 150)
  sides = (96, 104, 112) if is_quick else (96, 128, 150, 224, 300)
  vgg_sides = (48, 56, 64) if is_quick else (48, 75, 150, 224, 300)
  batches = (1, 2, 3) if is_quick else (10, 25, 50, 100, 200)
  widths = (0.5, 0.75, 1.0) if is_quick else (0.5, 0.75, 1.0, 1.5, 2.0)
  classes = (4, 10, 40) if is_quick else (4, 10, 100, 1000)
  evaluated = (100, 200, 300) if is_quick else (1000, 3000, 10_000, 30_000)
  members = (1, 2, 3) if is_quick else (1, 2, 4, 8)

  def numbers(values: Sequence[int]) -> tuple[Point, ...]:
    return tuple(Point(value, f'{value:,}', value) for value in values)

  def evaluations(sizes: Sequence[tuple[int, int]], changing: int) -> tuple[Point, ...]:
    return tuple(Point(size[changing], f'{size[changing]:,}', size) for size in sizes)

  scored = 300 if is_quick else 2000
  average = f'the mean of the probabilities of {growth_runs.AVERAGED:,} images'
  whole = ('ms', 'processor_ms', 'resident_mb')
  return {
    'side': steps(
      'a training step against the side of its images', 'pixels of an image',
      [case('cnn_b', side, batch, 1.0, 4) for side in sides], lambda c: c.side**2,
    ),
    'vgg16_side': steps(
      'VGG16 to block 4, forward, against the side of its images', 'pixels of an image',
      [case('vgg16_forward', side, min(8, batch), 1.0, 4) for side in vgg_sides], lambda c: c.side**2,
    ),
    'batch': steps(
      'a training step against its batch', 'images of a batch',
      [case('cnn_b', small, size, 1.0, 4) for size in batches], lambda c: c.batch_size,
    ),
    'width': steps(
      'a training step against the width of its convolutions', 'GFLOP of the step',
      [case('cnn_b', small, batch, width, 4) for width in widths], lambda c: c.gflop,
    ),
    'class_steps': steps(
      'a training step against the number of classes', 'classes',
      [case('cnn_b', small, batch, 1.0, num) for num in classes], lambda c: c.classes,
    ),
    'class_scores': Series(
      f'an evaluation of {scored:,} images against the number of classes', 'classes', 'none',
      evaluations([(num, scored) for num in classes], 0), ('ms', 'resident_mb'), SCORES, None, False,
    ),
    'image_scores': Series(
      'an evaluation of four classes against the number of images', 'images', 'none',
      evaluations([(4, num) for num in evaluated], 1), ('ms', 'resident_mb'), SCORES, None, False,
    ),
    'class_runs': Series(
      f'a whole run against the number of classes, {growth_runs.IMAGES_A_CLASS} images each', 'classes', 'cnn_a',
      numbers(classes), whole, '', growth_runs.by_classes, True,
    ),
    'images': Series(
      'a whole run of 200 updates against the number of training images', 'training images', 'cnn_a', numbers(images),
      whole, '', growth_runs.by_images, False,
    ),
    'members': Series(
      'a whole run against the number of members, trained one after the other', 'members', 'cnn_a', numbers(members),
      whole, '', growth_runs.by_members, False,
    ),
    'averaging': Series(
      f'{average} against the number of members', 'members', 'none', numbers(members), ('ms', 'resident_mb'), AVERAGE,
      None, False,
    ),
  }  # fmt: skip


def _label(case: growth_step.Case) -> str:
  width = '' if case.width == 1 else f', filters x {case.width:g}'
  classes = '' if case.classes == 4 else f', {case.classes:,} classes'
  return f'{case.batch_size} of {case.side}x{case.side}{width}{classes}'
