"""Damaged and hostile files of weights are read or refused in one line: no crash, no hang, no endless memory."""

import mutation
import numpy as np
import pytest
import watched
import weight_files


def wrong(found):
  return [(one.case, one.said, round(one.seconds, 1)) for one in found if one.is_failure]


@pytest.mark.long
def test_hostile_and_damaged_files_are_read_or_refused():
  sound, generator = weight_files.sound(), np.random.default_rng(3)
  cases, labels = list(weight_files.hostile().values()), list(weight_files.hostile())
  for i in range(105):
    suffix = list(sound)[i % len(sound)]
    data = mutation.mutated(sound[suffix], sound['own.safetensors'], generator)
    cases.append((weight_files.checksum_kept(data) if i % 2 else data, suffix))
    labels.append(f'{suffix} {i}')
  cases += [(data, suffix) for suffix, data in sound.items()]
  found = watched.run('victims:read_weights', cases, [*labels, *sound], 60.0, 600)
  assert wrong(found) == []
  assert {one.said for one in found[-len(sound) :]} == {'ok'}
  # The control: what is hostile is not let in, but for what is only odd.
  hostile = {one.case for one in found[: len(weight_files.hostile())] if one.said == 'ok'}
  odd = {'h5 links', 'h5 many layers', 'h5 scalar', 'h5 float128', 'keras deep layers'}
  assert hostile <= odd, hostile - odd
