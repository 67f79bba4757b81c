"""Thousands of damaged and hostile inputs, each in a process that may die of it; prints and writes what became of them.

    python tests/soak/fuzz.py images --cases=20000 --images=FOLDER --to=images.json
    python tests/soak/fuzz.py weights --cases=5000 --to=weights.json
    python tests/soak/fuzz.py csv --cases=5000 --to=csv.json
    python tests/soak/fuzz.py listing --cases=100000 --to=listing.json

Not collected by pytest. FOLDER holds photographs; without it images are drawn. Exit code 1 where a case failed.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

import mutation
import numpy as np
import watched
import weight_files
from PIL import Image

SECONDS, MEGABYTES = 60.0, 2048.0  # of one case; an image of data.max_pixels takes 1,000 MB
BLOCK = 1000  # cases made at a time
CSV = {
  'groups': b'file,group,source\nA/a.png,1,x\nA/b.png,2,y\n',
  'labels': b'file,label,sha256_16\nA/a.png,X,\nA/b.png,Y,\n',
  'inputs': b'file\nimages/A/a.png\nimages/A/b.png\n',
  'predictions': b'file,label,group,predicted,confidence,prob_A,prob_B\na,A,g,A,0.9,0.9,0.1\nb,B,h,A,0.6,0.6,0.4\n',
}


def sources(kind: str, folder: str) -> tuple[dict[str, tuple[bytes, str]], dict[str, tuple[bytes, str]], str]:
  """Sound cases, hostile cases, and who reads them."""
  if kind == 'weights':
    sound = {suffix: (data, suffix) for suffix, data in weight_files.sound().items()}
    return sound, weight_files.hostile(), 'victims:read_weights'
  if kind == 'csv':
    hostile = {
      f'{name} {what}': (data, name)
      for name in CSV
      for what, data in {
        'nul': b'file,\0',
        'huge cell': b'file,group\n"' + b'x' * 2**24,
        'empty': b'',
      }.items()
    }
    return {name: (data, name) for name, data in CSV.items()}, hostile, 'victims:read_csv'
  paths = sorted(pathlib.Path(folder).rglob('*.jp*g')) if folder else []
  paths = paths[:: max(1, len(paths) // 8)][:8]
  images = [Image.open(path).convert('RGB') for path in paths] or [
    mutation.drawn(96, seed) for seed in (0, 1)
  ]
  sound = {
    f'{name} {i}': (data, 'full')
    for i, one in enumerate(images)
    for name, data in mutation.encoded(one).items()
  }
  for i, path in enumerate(paths):
    sound[f'photograph {i}'] = (path.read_bytes(), 'full')
  return sound, {name: (data, 'full') for name, data in mutation.hostile().items()}, 'victims:decode_image'


def fuzz(kind: str, num_cases: int, seed: int, folder: str) -> dict:
  """The summary of so many cases: each sound and hostile one, then mutations."""
  sound, hostile, target = sources(kind, folder)
  generator, names = np.random.default_rng(seed), list(sound)
  found = watched.run(target, [*sound.values(), *hostile.values()], [*names, *hostile], SECONDS, MEGABYTES)
  not_sound = [one.case for one in found[: len(names)] if one.said != 'ok']
  while len(found) < num_cases:
    cases, labels = [], []
    for _ in range(min(BLOCK, num_cases - len(found))):
      name, other = (names[int(generator.integers(len(names)))] for _ in range(2))
      data = mutation.mutated(sound[name][0], sound[other][0], generator)
      if kind == 'weights' and generator.random() < 0.5:
        data = weight_files.checksum_kept(data)
      how = ('full', 'nucleus')[int(generator.integers(10)) == 0] if kind == 'images' else sound[name][1]
      cases.append((data, how))
      labels.append(f'{name}, case {len(found) + len(labels)}')
    found += watched.run(target, cases, labels, SECONDS, MEGABYTES)
    print(f'{len(found):,} of {num_cases:,}, {sum(one.is_failure for one in found)} failures', flush=True)
  return {
    'kind': kind,
    'seed': seed,
    'files': len(sound),
    'sound but refused': not_sound,
    **watched.summary(found),
  }


def listing(num_files: int) -> dict:
  """How long it takes to find, tell apart and hash so many files, and how much memory."""
  from bloodcell_jax.data.images import image_files
  from bloodcell_jax.data.sources import input_paths

  with tempfile.TemporaryDirectory() as folder:
    for i in range(num_files):
      path = pathlib.Path(folder, f'{i % 100}', f'{i}.png')
      if i < 100:
        path.parent.mkdir()
      path.write_bytes(b'' if i % 2 else b'x')
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    found, problems = input_paths.find([folder])
    listed = time.monotonic() - began
    digests = image_files.digests([one.path for one in found])
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert len(found) == num_files
  return {
    'kind': 'listing',
    'cases': num_files,
    'failures': [str(one) for one in problems] + ['digests'] * (len(set(digests)) != 2),
    'seconds to list': round(listed, 2),
    'seconds in all': round(took, 2),
    'megabytes more': (after - before) // 1024,
  }


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('kind', choices=('images', 'weights', 'csv', 'listing'))
  parser.add_argument('--cases', type=int, default=20_000)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--images', default='')
  parser.add_argument('--to', default='fuzz.json')
  given = parser.parse_args()
  began = time.monotonic()
  is_listing = given.kind == 'listing'
  made = listing(given.cases) if is_listing else fuzz(given.kind, given.cases, given.seed, given.images)
  watched.write(given.to, {**made, 'minutes': round((time.monotonic() - began) / 60, 1)})
  return 1 if made['failures'] else 0


if __name__ == '__main__':
  sys.exit(main())
