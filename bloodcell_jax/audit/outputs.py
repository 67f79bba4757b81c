"""The pairs that an audit found, as a table and as pictures, and the groups that it proposes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bloodcell_jax.audit import grouping, near_duplicates, scan, summary
from bloodcell_jax.base import types
from bloodcell_jax.data.division import leaks
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import remarks
from bloodcell_jax.fields import geometry
from bloodcell_jax.plots import figure, samples
from bloodcell_jax.runs import scoring
from bloodcell_jax.system import atomic

_MOST_SHOWN = 6  # pairs a figure
_PAIR_COLUMNS = 'file_a file_b split_a split_b label_a label_b kind inliers overlap mirrored xx xy x yx yy y'


def write(
  folder: pathlib.Path,
  scanned: scan.Scan,
  duplicates: near_duplicates.Duplicates,
  copies_P2: np.ndarray,
  group_N: np.ndarray,
  max_pixels: int,
  poll: Callable[[], None],
) -> None:
  """Writes pairs.csv, groups.csv and figures/*.png; a figure without pairs is not written.

  Where images lie in several folders inside their class folders, `groups_by_folder.csv` has groups that leave neither
  these folders nor the groups found apart.

  Args:
    folder: of the audit.
    scanned: the images.
    duplicates: the pairs.
    copies_P2: pairs of rows that are equal when reduced, of `copies.pairs`.
    group_N: the proposed group of each image.
    max_pixels: the limit with which the images were read.
    poll: called between figures.
  """
  links = _equal_links(scanned) + [('near', link) for link in duplicates.links]
  links += _reduced_links(scanned, copies_P2)
  links += [('touching', link) for link in duplicates.touching]
  atomic.write_csv(folder / 'pairs.csv', _pairs(scanned.table, links))
  atomic.write_csv(folder / 'groups.csv', _groups(scanned.table, group_N))
  by_folder, by_folder_N = folder / remarks.GROUPS_FILE, summary.by_folder(scanned.table, group_N)
  if by_folder_N is None:
    by_folder.unlink(missing_ok=True)
  else:
    atomic.write_csv(by_folder, _groups(scanned.table, by_folder_N))
  _draw(folder, max_pixels, scanned, links, group_N, poll)


def _equal_links(scanned: scan.Scan) -> list[tuple[str, near_duplicates.Link]]:
  """Links of identical images: each further image with the first one."""
  identity_23 = np.array([[1.0, 0, 0], [0, 1, 0]])
  links = []
  for rows in grouping.repeated(scanned.pixels_N):
    for row in rows[1:].tolist():
      first = int(rows[0])
      kind = 'bytes' if scanned.table.digest[row] == scanned.table.digest[first] else 'pixels'
      num = int(scanned.points.start[row + 1] - scanned.points.start[row])
      links.append((kind, near_duplicates.Link(first, row, geometry.Match(num, identity_23, False, 1.0))))
  return links


def _reduced_links(scanned: scan.Scan, copies_P2: np.ndarray) -> list[tuple[str, near_duplicates.Link]]:
  """Links of reduced or re-saved copies: each with the first image that it is a copy of."""
  identity_23 = np.array([[1.0, 0, 0], [0, 1, 0]])
  differ = scanned.pixels_N[copies_P2[:, 0]] != scanned.pixels_N[copies_P2[:, 1]]
  apart_P2 = copies_P2[differ]
  _, first = np.unique(apart_P2[:, 1], return_index=True)
  return [
    ('reduced', near_duplicates.Link(int(a), int(b), geometry.Match(0, identity_23, False, 1.0)))
    for a, b in apart_P2[np.sort(first)]
  ]


def _pairs(table: types.Table, links: list[tuple[str, near_duplicates.Link]]) -> Iterator[list[Any]]:
  yield _PAIR_COLUMNS.split()
  for kind, link in links:
    both = (link.a, link.b)
    columns = [column[i] for column in (table.file, table.split) for i in both]
    columns += [table.class_names[table.label[i]] for i in both]
    map_23 = [f'{value:.4f}' for value in link.match.affine_23.ravel()]
    result = [kind, link.match.inliers, f'{link.match.overlap:.3f}', int(link.match.mirrored)]
    yield [*columns, *result, *map_23]


def _groups(table: types.Table, group_N: np.ndarray) -> Iterator[list[Any]]:
  yield ['file', 'group']
  for file, group in zip(table.file.tolist(), group_N.tolist(), strict=True):
    yield [file, f'g{group:05d}']


def _draw(
  folder: pathlib.Path,
  max_pixels: int,
  scanned: scan.Scan,
  links: list[tuple[str, near_duplicates.Link]],
  group_N: np.ndarray,
  poll: Callable[[], None],
) -> None:
  """Figures of some pairs: both images, and the second warped onto the first."""
  side_N, label_N = summary.sides(scanned.table), scanned.table.label
  near = [link for kind, link in links if kind != 'touching']
  across = [link for link in near if side_N[link.a] != side_N[link.b]]
  conflicting = [link for link in near if label_N[link.a] != label_N[link.b]]
  within = [link for link in near if side_N[link.a] == side_N[link.b] and label_N[link.a] == label_N[link.b]]
  touching = [link for kind, link in links if kind == 'touching']
  for name, title, chosen in (
    ('between_splits', 'The same field or cell in two splits', _clearest(across, group_N)),
    ('conflicting_labels', 'Overlapping images with different labels', _clearest(conflicting, group_N)),
    ('near_duplicates', 'Near-duplicates within a split', within[:: max(1, len(within) // _MOST_SHOWN)]),
    (
      'touching',
      f'Overlap of less than {near_duplicates.LEAST_OVERLAP:.0%}: neighbours, not joined',
      touching,
    ),
  ):
    path = folder / 'figures' / f'{name}.png'
    if not chosen:
      path.unlink(missing_ok=True)
      continue
    poll()
    images, captions = [], []
    for link in chosen[:_MOST_SHOWN]:
      a, b = (decode.upright(scanned.table.content[i], max_pixels) for i in (link.a, link.b))
      images += [
        a,
        b,
        geometry.warp(b, link.match, scanned.points.size_N2[link.b], scanned.points.size_N2[link.a]),
      ]
      captions += [_caption(scanned.table, link.a), _caption(scanned.table, link.b)]
      is_mirrored = ', mirrored' if link.match.mirrored else ''
      captions.append(f'second warped onto first{is_mirrored}:\n{link.match.inliers} matching keypoints')
    figure.write(
      path, samples.plot(images, captions, 6, title), scoring.note(scanned.table.synthetic, leaks.NONE)
    )


def _clearest(links: list[near_duplicates.Link], group_N: np.ndarray) -> list[near_duplicates.Link]:
  """The pair of each group with the largest overlap; largest first."""
  links = sorted(links, key=lambda link: -link.match.overlap)
  first_of = {int(group_N[link.a]): link for link in reversed(links)}
  return sorted(first_of.values(), key=lambda link: -link.match.overlap)


def _caption(table: types.Table, row: int) -> str:
  name = pathlib.PurePosixPath(str(table.file[row])).name
  return f'{table.split[row]}\n{table.class_names[table.label[row]]}\n{name}'
