"""The pairs that an audit found, as a table and as pictures, and the groups that it proposes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bloodcell_jax.audit import geometry, grouping, near_duplicates, scan, summary
from bloodcell_jax.base import types
from bloodcell_jax.data.division import leaks
from bloodcell_jax.data.images import decode
from bloodcell_jax.plots import figure, samples
from bloodcell_jax.runs import scoring
from bloodcell_jax.system import atomic

_MOST_SHOWN = 6  # pairs a figure
_PAIR_COLUMNS = 'file_a file_b split_a split_b label_a label_b kind inliers overlap mirrored xx xy x yx yy y'


def write(
  folder: pathlib.Path,
  seen: scan.Survey,
  found: near_duplicates.Found,
  group_N: np.ndarray,
  max_pixels: int,
  poll: Callable[[], None],
) -> None:
  """Writes pairs.csv, groups.csv and figures/*.png; what is not there to be shown leaves no figure.

  Args:
    folder: where.
    seen: the images.
    found: the pairs.
    group_N: the group proposed for each image.
    max_pixels: as the images were read.
    poll: called between figures.
  """
  links = _equal_links(seen) + [('near', link) for link in found.links]
  links += [('touching', link) for link in found.touching]
  atomic.write_csv(folder / 'pairs.csv', _pairs(seen.table, links))
  atomic.write_csv(folder / 'groups.csv', _groups(seen.table, group_N))
  _draw(folder, max_pixels, seen, links, group_N, poll)


def _equal_links(seen: scan.Survey) -> list[tuple[str, near_duplicates.Link]]:
  """Each further image of equal bytes or pixels, with the first one."""
  same = np.array([[1.0, 0, 0], [0, 1, 0]])
  links = []
  for rows in grouping.repeated(seen.pixels_N):
    for row in rows[1:].tolist():
      first = int(rows[0])
      kind = 'bytes' if seen.table.digest[row] == seen.table.digest[first] else 'pixels'
      num = int(seen.points.start[row + 1] - seen.points.start[row])
      links.append((kind, near_duplicates.Link(first, row, geometry.Match(num, same, False, 1.0))))
  return links


def _pairs(table: types.Table, links: list[tuple[str, near_duplicates.Link]]) -> Iterator[list[Any]]:
  yield _PAIR_COLUMNS.split()
  for kind, link in links:
    both = (link.a, link.b)
    columns = [column[i] for column in (table.file, table.split) for i in both]
    columns += [table.class_names[table.label[i]] for i in both]
    map_23 = [f'{value:.4f}' for value in link.match.affine_23.ravel()]
    found = [kind, link.match.inliers, f'{link.match.overlap:.3f}', int(link.match.mirrored)]
    yield [*columns, *found, *map_23]


def _groups(table: types.Table, group_N: np.ndarray) -> Iterator[list[Any]]:
  yield ['file', 'group']
  for file, group in zip(table.file.tolist(), group_N.tolist(), strict=True):
    yield [file, f'g{group:05d}']


def _draw(
  folder: pathlib.Path,
  max_pixels: int,
  seen: scan.Survey,
  links: list[tuple[str, near_duplicates.Link]],
  group_N: np.ndarray,
  poll: Callable[[], None],
) -> None:
  """Some pairs between splits, of two labels, and within a split: each image, and the second laid on the first."""
  side_N, label_N = summary.sides(seen.table), seen.table.label
  near = [link for kind, link in links if kind != 'touching']
  across = [link for link in near if side_N[link.a] != side_N[link.b]]
  conflicting = [link for link in near if label_N[link.a] != label_N[link.b]]
  within = [link for link in near if side_N[link.a] == side_N[link.b] and label_N[link.a] == label_N[link.b]]
  touching = [link for kind, link in links if kind == 'touching']
  for name, title, chosen in (
    ('between_splits', 'Shared between splits', _clearest(across, group_N)),
    ('conflicting_labels', 'Images that overlap and have two labels', _clearest(conflicting, group_N)),
    ('near_duplicates', 'Near-duplicates within a split', within[:: max(1, len(within) // _MOST_SHOWN)]),
    ('touching', f'Overlap by less than {near_duplicates.LEAST_OVERLAP:.0%}: not joined', touching),
  ):
    path = folder / 'figures' / f'{name}.png'
    if not chosen:
      path.unlink(missing_ok=True)
      continue
    poll()
    images, captions = [], []
    for link in chosen[:_MOST_SHOWN]:
      a, b = (decode.upright(seen.table.content[i], max_pixels) for i in (link.a, link.b))
      images += [a, b, geometry.lay(b, link.match, seen.points.size_N2[link.b], seen.points.size_N2[link.a])]
      captions += [_caption(seen.table, link.a), _caption(seen.table, link.b)]
      captions += [
        f'right on left: {link.match.inliers} places' + (', mirrored' if link.match.mirrored else '')
      ]
    figure.write(
      path, samples.plot(images, captions, 6, title), scoring.note(seen.table.synthetic, leaks.NONE)
    )


def _clearest(links: list[near_duplicates.Link], group_N: np.ndarray) -> list[near_duplicates.Link]:
  """Of each group the pair that shares most, and those that share most first."""
  links = sorted(links, key=lambda link: -link.match.overlap)
  first_of = {int(group_N[link.a]): link for link in reversed(links)}
  return sorted(first_of.values(), key=lambda link: -link.match.overlap)


def _caption(table: types.Table, row: int) -> str:
  name = pathlib.PurePosixPath(str(table.file[row])).name
  return f'{table.split[row]}\n{table.class_names[table.label[row]]}\n{name}'
